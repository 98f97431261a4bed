"""A configuration as timm's objects: model, optimizer, scheduler, average and loss, and one update of them all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from timm.utils import ModelEmaV2
from torch import Tensor, nn
from torch.optim import Optimizer

from recipe.config import Config
from recipe.rates import peak_rate
from reference_torch.training.losses import RecipeLoss
from reference_torch.training.optimizer import clip_gradients, create_optimizer, gradient_norm
from reference_torch.training.schedule import EpochSchedule
from reference_torch.training.starting import load_teacher, start


@dataclass(frozen=True, slots=True)
class Updated:
    """What an update was.

    Attributes:
        losses: Of each micro-batch, shape `()`.
        gradient_norm: Of all gradients before they were clipped, shape `()`.
    """

    losses: tuple[Tensor, ...]
    gradient_norm: Tensor


@dataclass(frozen=True)
class Recipe:
    """What a run consists of.

    Attributes:
        config: The configuration.
        model: In training mode.
        optimizer: Over the model.
        schedule: Sets the optimizer's rate; call its `finish_epoch` after each epoch.
        loss: Takes outputs, images and targets.
        ema: The average in `module`; None where it is turned off.
        notes: What loading the weights changed.
    """

    config: Config
    model: nn.Module
    optimizer: Optimizer
    schedule: EpochSchedule
    loss: RecipeLoss
    ema: ModelEmaV2 | None
    notes: tuple[str, ...] = ()

    def update(
        self,
        micro_batches: Sequence[tuple[Tensor, Tensor]],
        *,
        before: Callable[[int], None] = lambda micro: None,
        context: Callable[[], AbstractContextManager[Any]] = nullcontext,
        scaler: torch.amp.GradScaler | None = None,
        share: Callable[[], None] = lambda: None,
    ) -> Updated:
        """One update: the gradient averaged over micro-batches, clipped, stepped along, and averaged into the EMA.

        Args:
            micro_batches: Images `(batch, channels, height, width)` and targets of each, on the model's device.
            before: Called with the number of each micro-batch before its forward pass, to set up what is random.
            context: Entered around forward pass and loss: autocast, where it is wanted.
            scaler: Scales the loss of half precision.
            share: Called when the gradients are there, to average them over several processes.
        """
        losses = []
        self.optimizer.zero_grad(set_to_none=True)
        for micro, (images, targets) in enumerate(micro_batches):
            before(micro)
            with context():
                loss = self.loss(self.model(images), images, targets)
            part = loss / len(micro_batches)
            (part if scaler is None else scaler.scale(part)).backward()
            losses.append(loss.detach())
        if scaler is not None:
            scaler.unscale_(self.optimizer)
        share()
        norm = gradient_norm(self.model)
        clip_gradients(self.model, self.config.optimizer)
        if scaler is None:
            self.optimizer.step()
        else:
            scaler.step(self.optimizer)
            scaler.update()
        if self.ema is not None:
            self.ema.update(self.model)
        return Updated(tuple(losses), norm)


def prepare(config: Config, *, world: int = 1, device: str | torch.device = "cpu") -> Recipe:
    """Everything that a run of this configuration needs, but its data.

    Args:
        config: The configuration.
        world: Devices that share a global batch, for the learning rate.
        device: Where the model goes.

    Raises:
        TrainingError: A checkpoint holds another model, or the teacher has other classes.
        CheckpointError: A checkpoint cannot be read, or holds no model.
        HubError: It cannot be fetched.
    """
    started, teacher = start(config), load_teacher(config)
    model = started.model.to(device)
    optimizer = create_optimizer(model, config.optimizer, peak_rate(config, world))
    return Recipe(
        config,
        model,
        optimizer,
        EpochSchedule(config.schedule, optimizer),
        RecipeLoss(config, None if teacher is None else teacher.to(device)),
        ModelEmaV2(model, decay=config.ema.decay) if config.ema.decay else None,
        started.notes,
    )
