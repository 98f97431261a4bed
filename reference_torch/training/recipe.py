"""A configuration as timm's objects: model, optimizer, scheduler, average and loss, and one update of them all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from timm.optim import create_optimizer_v2
from timm.scheduler import CosineLRScheduler
from timm.utils import ModelEmaV2
from timm.utils.clip_grad import dispatch_clip_grad
from torch import Tensor, nn
from torch.optim import Optimizer

from recipe.config import Config, Schedule, peak_rate, scaled_schedule, schedule_time
from recipe.config import Optimizer as OptimizerConfig
from reference_torch.training.losses import RecipeLoss
from reference_torch.training.starting import load_teacher, start


def create_optimizer(model: nn.Module, recipe: OptimizerConfig, rate: float) -> Optimizer:
    """The optimizer that timm's factory makes.

    Where everything decays, timm gets the parameters and not the model, whose list of exempt names it would respect.

    Args:
        model: Its trainable parameters are updated.
        recipe: Decay and moments.
        rate: Learning rate at the end of the warm-up.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return create_optimizer_v2(
        parameters if recipe.decay_all else model,
        opt="adamw",
        lr=rate,
        weight_decay=recipe.weight_decay,
        eps=recipe.epsilon,
        betas=recipe.betas,
    )


def clip_gradients(model: nn.Module, recipe: OptimizerConfig) -> None:
    """Scale the gradients down if their norm exceeds the limit, if there is one."""
    if recipe.clip is not None:
        dispatch_clip_grad(model.parameters(), recipe.clip, mode="norm")


@torch.no_grad()
def gradient_norm(model: nn.Module) -> Tensor:
    """Norm of all gradients together, shape `()`."""
    return torch.nn.utils.get_total_norm([tensor.grad for tensor in model.parameters() if tensor.grad is not None])


class EpochSchedule:
    """Sets the rate of an optimizer, epoch by epoch.

    DeiT steps the scheduler after an epoch with that epoch's number; timm expects the number of the next epoch.

    Args:
        config: Epochs and rates.
        optimizer: The rate of its groups is that at the end of the warm-up.
    """

    def __init__(self, config: Schedule, optimizer: Optimizer) -> None:
        self.config = config
        self.optimizer = optimizer
        self.scheduler = CosineLRScheduler(
            optimizer,
            t_initial=config.cosine[1],
            lr_min=config.minimum_rate,
            warmup_t=config.warmup_epochs,
            warmup_lr_init=config.warmup_rate,
            warmup_prefix=config.decay_epochs is not None,
        )
        if config.ahead:
            self.scheduler.step(config.ahead)

    @property
    def epochs(self) -> int:
        """Epochs of the run, cooldown included."""
        return self.config.epochs + self.config.cooldown_epochs

    @property
    def rate(self) -> float:
        """The rate of the coming update."""
        return float(self.optimizer.param_groups[0]["lr"])

    def finish_epoch(self, epoch: int) -> None:
        """Set the rate of the epoch after this one, counted from 0, which has ended."""
        self.scheduler.step(schedule_time(self.config, epoch + 1))

    def begin_update(self, epoch: int, update: int, updates: int) -> None:
        """Set the rate of an update, both counted from 0, of an epoch with so many `updates`, where it may differ."""
        if self.config.per_update:
            self.scheduler.step(schedule_time(self.config, epoch, update, updates))


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
        EpochSchedule(scaled_schedule(config, world), optimizer),
        RecipeLoss(config, None if teacher is None else teacher.to(device)),
        ModelEmaV2(model, decay=config.ema.decay) if config.ema.decay else None,
        started.notes,
    )
