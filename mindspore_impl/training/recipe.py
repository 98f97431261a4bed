"""A configuration as MindCV's objects: optimizer, loss and mixed precision, and one update of them all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, TypeAlias

import numpy as np
from mindcv.optim.adamw import AdamW
from mindcv.utils.amp import auto_mixed_precision
from mindspore import ParameterTuple, Tensor, nn
from mindspore import dtype as mstype

from mindspore_impl.training.cells import Apply, Gradients, Loss, Mean, PitForward, PlainForward
from mindspore_impl.training.parallel import World
from mindspore_impl.training.starting import Builder, create_model, parameters, start
from recipe.config import Config, peak_rate, scaled_schedule
from recipe.config import Optimizer as OptimizerConfig
from recipe.draws import Randomness
from recipe.schedule import CosineSchedule

MicroBatch: TypeAlias = "tuple[Any, Any]"
"""Images `(batch, 3, height, width)`, float32, and targets, `(batch, classes)` float32 or `(batch,)` int64."""
_TOKENS = ("pos_embed", "cls_token")
_FIRST_SCALE, _SCALE_WINDOW = 2.0**24, 2000
"""What MindSpore's dynamic loss scale begins with, and the updates without overflow after which it is doubled."""


def decay_groups(model: nn.Cell, *, decay_all: bool) -> tuple[list[Any], list[Any]]:
    """Return the trained parameters that decay, and those that do not, by the rule of timm.

    Vectors are exempt, and tokens and position embeddings, unless everything decays.
    """
    decay: list[Any] = []
    exempt: list[Any] = []
    for parameter in model.trainable_params():
        free = parameter.ndim <= 1 or parameter.name.endswith(".bias") or parameter.name in _TOKENS
        (exempt if free and not decay_all else decay).append(parameter)
    return decay, exempt


def create_optimizer(model: nn.Cell, config: OptimizerConfig, rates: Sequence[float]) -> AdamW:
    """MindCV's AdamW, whose first step takes the first of the rates.

    Args:
        model: Its trainable parameters are updated.
        config: Decay and moments.
        rates: The rate of each update of the run.
    """
    decay, exempt = decay_groups(model, decay_all=config.decay_all)
    groups = [{"params": decay, "weight_decay": config.weight_decay}] if decay else []
    groups += [{"params": exempt, "weight_decay": 0.0}] if exempt else []
    first, second = config.betas
    return AdamW(
        [*groups, {"order_params": model.trainable_params()}],
        learning_rate=list(rates),
        beta1=first,
        beta2=second,
        eps=config.epsilon,
    )


def all_rates(schedule: CosineSchedule, updates: int) -> list[float]:
    """The rate of every update of a run with so many updates in an epoch."""
    return [schedule.rate(epoch, update) for epoch in range(schedule.epochs) for update in range(updates)]


@dataclass
class LossScale:
    """The factor of the loss, which keeps small gradients from vanishing in float16.

    Attributes:
        value: The factor of the next update.
        dynamic: True if it is halved where gradients overflow and doubled after 2000 updates without.
        drops: True if an update whose gradients overflow is left out.
    """

    value: float = 1.0
    dynamic: bool = False
    drops: bool = False
    good: int = 0

    @classmethod
    def of(cls, config: Config) -> LossScale:
        """The scale of a configuration; in float32 there is none, unless it is a fixed one."""
        ours = config.mindspore
        half = amp_level(config) != "O0"
        if ours.loss_scale_type == "fixed":
            return cls(ours.loss_scale, drops=ours.drop_overflow_update)
        if not half:
            return cls()
        first = _FIRST_SCALE if ours.loss_scale_type == "auto" else ours.loss_scale
        return cls(first, dynamic=True, drops=True)

    def overflowed(self) -> None:
        """Take note of an update whose gradients were not finite."""
        if self.dynamic:
            self.value, self.good = max(1.0, self.value / 2), 0

    def passed(self) -> None:
        """Take note of an update that was done."""
        if not self.dynamic:
            return
        self.good += 1
        if self.good == _SCALE_WINDOW:
            self.value, self.good = self.value * 2, 0


def amp_level(config: Config) -> str:
    """MindCV's level of mixed precision: O0 in float32."""
    return config.mindspore.amp_level if config.run.precision in ("float16", "mixed") else "O0"


@dataclass(frozen=True, slots=True)
class Updated:
    """Loss and gradient norm of an update.

    Attributes:
        loss: Mean loss of the micro-batches of all devices.
        gradient_norm: Norm of all gradients before they were clipped.
        applied: False if the gradients overflowed and the update was left out.
    """

    loss: float
    gradient_norm: float
    applied: bool


class Recipe:
    """Everything that a run consists of, but its data.

    Args:
        config: The configuration.
        updates: Updates of an epoch.
        world: The processes that share a global batch; one by default.
        builder: Makes the model and that of the average; by default MindCV's.

    Attributes:
        model: MindCV's model.
        average: The moving average, a model whose parameters have the prefix `ema.`; None where it is turned off.
        optimizer: MindCV's AdamW.
        schedule: The rates.
        notes: What was read from the weights and what was changed, one line each.

    Raises:
        TrainingError: A checkpoint holds another model.
        CheckpointError: A checkpoint cannot be read, or holds no model.
    """

    def __init__(
        self, config: Config, updates: int, world: World | None = None, builder: Builder = create_model
    ) -> None:
        self.config, self._world = config, world or World()
        size = self._world.size
        started = start(config, builder)
        self.model, self.notes = started.model, started.notes
        self.average = _average(builder(config), self.model) if config.ema.decay else None
        self.schedule = CosineSchedule(scaled_schedule(config, size), peak_rate(config, size), updates)
        self.optimizer = create_optimizer(self.model, config.optimizer, all_rates(self.schedule, updates))
        self.scale = LossScale.of(config)
        forward = (PitForward if config.model.name.startswith("pit") else PlainForward)(self.model)
        auto_mixed_precision(forward, amp_level(config))
        loss = Loss(forward, 0.0 if config.mixing.active else config.loss.smoothing)
        weights = ParameterTuple(self.model.trainable_params())
        everything = ParameterTuple(parameters(self.model).values())
        averages = None if self.average is None else ParameterTuple(parameters(self.average).values())
        self._gradients = Gradients(loss, weights).set_train()
        self._mean = Mean(config.run.accumulation)
        self._apply = Apply(self.optimizer, everything, averages)

    def update(self, micro_batches: Sequence[MicroBatch], factors: Callable[[int, int], Any]) -> Updated:
        """Average the gradients over micro-batches and devices, clip them, do a step, and update the average.

        Args:
            micro_batches: Images and targets of each.
            factors: Gives the factors of the drop paths for the number of a micro-batch and its images.
        """
        losses: list[float] = []
        gradients: list[Any] = []
        norm: Any = None
        scale = Tensor(self.scale.value, mstype.float32)
        for micro, (images, targets) in enumerate(micro_batches):
            drop = Tensor(factors(micro, len(images)))
            loss, norm, each = self._gradients(Tensor(images), _targets(targets), drop, scale)
            losses.append(float(loss.asnumpy()))
            gradients += each
        if len(micro_batches) > 1:
            norm, gradients = self._mean(*gradients)
        loss = float(np.mean(losses))
        if self._world.share is not None:
            mean, norm, gradients = self._world.share(Tensor(loss, mstype.float32), *gradients)
            loss = float(mean.asnumpy())
        norm = float(norm.asnumpy())
        if not isfinite(norm) and self.scale.drops:
            self.scale.overflowed()
            done = self.optimizer.global_step
            done.set_data(done + 1)  # the rate belongs to the place in the run
            return Updated(loss, norm, applied=False)
        self.step(gradients, norm, self.config.ema.decay)
        self.scale.passed()
        return Updated(loss, norm, applied=True)

    def step(self, gradients: Sequence[Tensor], norm: float, decay: float) -> None:
        """Clip gradients, do a step of the optimizer with them, and update the average.

        Args:
            gradients: Float32, one for each trained parameter, in the model's order.
            norm: The norm of all of them together.
            decay: Share of itself that the average keeps; 1 leaves it as it is.
        """
        clip = self.config.optimizer.clip
        part = 1.0 if clip is None else min(1.0, clip / (norm + 1e-6))
        self._apply(Tensor(part, mstype.float32), Tensor(decay, mstype.float32), *gradients)


def drop_path_factors(model: Any, rates: Sequence[float], randomness: Randomness, place: tuple[Any, ...]) -> Any:
    """Factors of both drop paths of every block for a function of the batch's size; see `PitForward`.

    A block's n-th drop path draws `random((batch, 1, 1))` from the stream `(*place, path, 0)`, with its path in the
    reference; what is below 1 - rate is kept and divided by it.

    Args:
        model: A PiT of MindCV's.
        rates: Drop path rate of each block.
        randomness: Source of the streams.
        place: First words of the streams' names.
    """
    paths = [
        f"transformers.{stage}.blocks.{block}"
        for stage, transformer in enumerate(model.transformers)
        for block in range(len(transformer.blocks))
    ]

    def factors(batch: int) -> Any:
        drawn = np.ones((2 * len(paths), batch, 1, 1), np.float32)
        for at, (path, rate) in enumerate(zip(paths, rates, strict=True)):
            for which in (0, 1) if rate > 0 else ():
                stream = randomness.stream(*place, f"{path}.drop_path{which + 1}", 0)
                kept = np.asarray(stream.random((batch, 1, 1)) < 1 - rate, np.float32)
                drawn[2 * at + which] = kept / np.float32(1 - rate)
        return drawn

    return factors


def drop_path_rates(model: Any, highest: float) -> list[float]:
    """The drop path rate of each block of a PiT, which rises linearly from 0."""
    blocks = sum(len(transformer.blocks) for transformer in model.transformers)
    return [highest * block / blocks for block in range(blocks)]


def _average(average: nn.Cell, model: nn.Cell) -> nn.Cell:
    """A second model with the weights of the first, which nothing trains."""
    average.set_train(False)
    for parameter, weight in zip(average.get_parameters(), model.get_parameters(), strict=True):
        parameter.set_data(Tensor(weight.asnumpy()))
        parameter.name = f"ema.{weight.name}"
        parameter.requires_grad = False
    return average


def _targets(targets: Any) -> Tensor:
    return Tensor(targets.astype(np.int32) if targets.ndim == 1 else targets.astype(np.float32))
