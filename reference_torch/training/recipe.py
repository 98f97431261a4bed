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
    """Losses and gradient norm of an update.

    Attributes:
        losses: Loss of each micro-batch, shape `()`.
        gradient_norm: Norm of all gradients before they were clipped, shape `()`.
    """

    losses: tuple[Tensor, ...]
    gradient_norm: Tensor


@dataclass(frozen=True)
class Recipe:
    """Everything that a run consists of, but its data.

    Attributes:
        config: The configuration.
        model: Model in training mode.
        optimizer: Optimizer of the model's parameters.
        schedule: Sets the optimizer's rate; call its `finish_epoch` after each epoch.
        loss: Loss of outputs, images and targets.
        ema: Moving average, as a model in `module`; None where it is turned off.
        notes: What was read from the weights and what was changed, one line each.
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
        """Average the gradients over micro-batches, clip them, do a step, and update the average.

        Args:
            micro_batches: Images `(batch, channels, height, width)` and targets of each, on the model's device.
            before: Called with the number of each micro-batch before its forward pass, to seed its draws.
            context: Entered around forward pass and loss, for autocast.
            scaler: Scales the loss in half precision.
            share: Called after the backward passes, to average the gradients over several processes.
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
    """The recipe of a configuration.

    Args:
        config: The configuration.
        world: Devices that share a global batch, for the learning rate.
        device: Device of the model.

    Raises:
        TrainingError: A checkpoint holds another model, or the teacher has other classes.
        CheckpointError: A checkpoint cannot be read, or holds no model.
        HubError: A checkpoint cannot be fetched.
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
