"""Mistakes put into what drives the port's training: schedule, decay, optimizer, loss, average, workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import cos, pi
from typing import Any

import numpy as np
import numpy.typing as npt
import paddle
from paddle import Tensor
from paddle.optimizer.lr import CosineAnnealingDecay, LinearWarmup

from alignment.arrays import Array
from alignment.selftest.inject.paddle_tools import Schedule, assembled
from paddle_impl.layers import DropPath
from paddle_impl.training.ema import Ema
from paddle_impl.training.parallel import World
from paddle_impl.training.schedule import CosineSchedule


def _schedule(trainer: Any, change: str) -> None:
    def wrong(parts: Any) -> Any:
        right: CosineSchedule = parts.schedule
        config, peak = right.config, right.peak

        def at(epoch: int) -> float:
            if change == "late":
                return right.rate(max(0, epoch - 1))
            if change == "halved":
                return right.rate(epoch) / 2
            t = max(0, epoch - 1) if config.deit_quirk else epoch
            if t < config.warmup_epochs or t >= config.epochs:
                return right.rate(epoch)
            share, reach = t / config.epochs, peak - config.minimum_rate
            if change == "restarted":
                share = (t - config.warmup_epochs) / (config.epochs - config.warmup_epochs)
            return config.minimum_rate + reach * (1 - share if change == "linear" else (1 + cos(pi * share)) / 2)

        rates = _of_paddle(right) if change == "paddle" else [at(epoch) for epoch in range(right.epochs)]

        def rate(epoch: int, update: int = 0) -> float:
            return rates[epoch]

        return replace(parts, schedule=Schedule(right, rate))

    assembled(trainer, wrong)


def _of_paddle(right: CosineSchedule) -> list[float]:
    """What Paddle's own scheduler gives when it is told that epoch 0 is over before it began."""
    config, rates = right.config, []
    cosine = CosineAnnealingDecay(right.peak, T_max=config.epochs - config.warmup_epochs, eta_min=0.0)
    schedule = LinearWarmup(cosine, config.warmup_epochs, config.warmup_rate, right.peak, last_epoch=0)
    for _ in range(right.epochs):
        rates.append(float(schedule.get_lr()))
        schedule.step()
    return rates


def _rate_late(trainer: Any) -> None:
    """Each update runs at the rate of the one before."""

    def wrong(parts: Any) -> Any:
        right, before = parts.schedule, [parts.schedule.rate(0, 0)]

        def rate(epoch: int, update: int = 0) -> float:
            before.append(right.rate(epoch, update))
            return float(before[-2])

        return replace(parts, schedule=Schedule(right, rate))

    assembled(trainer, wrong)


def _decays(trainer: Any, parameter: str, on: bool = True) -> None:
    def wrong(parts: Any) -> Any:
        wanted = dict(parts.model.named_parameters())[parameter]
        decaying = [each for each in parts.optimizer._decaying if each is not wanted]
        parts.optimizer._decaying = [*decaying, wanted] if on else decaying
        return parts

    assembled(trainer, wrong)


def _drop_paths(trainer: Any, change: str) -> None:
    layers = [layer for layer in trainer.parts.model.sublayers() if isinstance(layer, DropPath)]
    rates = [layer.drop_prob for layer in layers]
    wrong = {"constant": [max(rates)] * len(rates), "reversed": rates[::-1]}[change]
    for layer, rate in zip(layers, wrong, strict=True):
        layer.drop_prob = rate


def _drop_path_unscaled(trainer: Any) -> None:
    def without_scale(layer: Any) -> Callable[[Tensor], Tensor]:
        right = layer.forward

        def forward(x: Tensor) -> Tensor:
            result: Tensor = right(x)
            return result * (1 - layer.drop_prob) if layer.training and layer.drop_prob else result

        return forward

    layers: list[Any] = [each for each in trainer.parts.model.sublayers() if isinstance(each, DropPath)]
    for layer in layers:
        layer.forward = without_scale(layer)


def _uncorrected(trainer: Any) -> None:
    """The powers of the betas are taken to be zero, as if many steps were done."""
    right = trainer.apply

    def wrong(gradients: Mapping[str, Array], rate: float) -> None:
        optimizer = trainer.parts.optimizer
        if not optimizer.named_state():
            named = trainer.parts.model.named_parameters()
            optimizer.set_named_state({f"moment1/{name}": paddle.zeros_like(each) for name, each in named})
        for name, tensor in optimizer.named_state().items():
            if "pow_acc" in name:
                tensor.set_value(tensor * 0)
        right(gradients, rate)

    trainer.apply = wrong


def _coupled(trainer: Any) -> None:
    """Decay as Adam with L2 has it: a part of the gradient, after it was clipped."""

    def wrong(parts: Any) -> Any:
        optimizer, clip = parts.optimizer, parts.optimizer._grad_clip
        decaying, decay = {id(each) for each in optimizer._decaying}, optimizer._decay
        optimizer._decay = 0.0
        optimizer._grad_clip = lambda pairs: [
            (each, gradient + decay * each.detach() if id(each) in decaying else gradient)
            for each, gradient in (pairs if clip is None else clip(pairs))
        ]
        return parts

    assembled(trainer, wrong)


def _decay_unscaled(trainer: Any) -> None:
    right = trainer.apply

    def wrong(gradients: Mapping[str, Array], rate: float) -> None:
        trainer.parts.optimizer._decay = trainer.config.optimizer.weight_decay / rate
        right(gradients, rate)

    trainer.apply = wrong


def _clipped_alone(trainer: Any) -> None:
    def wrong(parts: Any) -> Any:
        limit = trainer.config.optimizer.clip
        parts.optimizer._grad_clip = lambda pairs: [
            (each, gradient * (limit / gradient.square().sum().sqrt()).clip(max=1.0)) for each, gradient in pairs
        ]
        return parts

    assembled(trainer, wrong)


def _factor(trainer: Any, share: str) -> int:
    config = trainer.config
    return int(config.data.batch_size if share == "batch" else config.run.accumulation)


def _loss_scaled(trainer: Any, share: str) -> None:
    right, factor = trainer._loss, _factor(trainer, share)
    trainer._loss = lambda *given: right(*given) * factor


def _gradients_scaled(trainer: Any, share: str) -> None:
    """The loss that is told is right; what is sent back is not divided."""
    right, factor = trainer._loss, _factor(trainer, share)

    def wrong(*given: Any) -> Tensor:
        loss: Tensor = right(*given)
        return loss * factor - (loss * (factor - 1)).detach()

    trainer._loss = wrong


def _teacher_lost(trainer: Any) -> None:
    trainer._loss._distil = lambda logits, images: (logits * 0).sum()


def _average(trainer: Any, change: str) -> None:
    fresh = trainer._built() if change == "fresh" else None

    def wrong(parts: Any) -> Any:
        if fresh is not None:
            average = Ema(fresh, trainer.config.ema.decay)
            average._source = parts.model
            return replace(parts, average=average)
        right = parts.average.update
        if change == "never":
            parts.average.update = lambda: None
        elif change == "micro":
            parts.average.update = lambda: [right() for _ in range(trainer.config.run.accumulation)]
        else:
            parts.average.update = lambda: None
            _before(parts.optimizer, right)
        return parts

    assembled(trainer, wrong)


def _before(optimizer: Any, first: Callable[[], None]) -> None:
    right = optimizer.step

    def step() -> None:
        first()
        right()

    optimizer.step = step


class _WrongWorld(World):
    """Workers that put their gradients together wrongly; what they tell of the loss is right."""

    change = ""

    def sum_gradients(self, parameters: Sequence[Tensor], extra: Sequence[float] = ()) -> npt.NDArray[np.float64]:
        """See `World.sum_gradients`."""
        own = [None if each.grad is None else each.grad.clone() for each in parameters]
        sums = super().sum_gradients(parameters, extra)
        for parameter, gradient in zip(parameters, own, strict=True):
            if parameter.grad is not None and gradient is not None:
                parameter.grad = gradient * self.size if self.change == "alone" else parameter.grad * self.size
        return sums


def _ranks(trainer: Any, change: str) -> None:
    right = trainer.join

    def join(world: World) -> None:
        if change == "alike":
            wrong = World(0, world.size)
        else:
            wrong = _WrongWorld(world.rank, world.size)
            object.__setattr__(wrong, "change", change)
        right(wrong)

    trainer.join = join


COURSE_FAULTS: Mapping[str, Callable[..., None]] = {
    "schedule": _schedule,
    "rate late": _rate_late,
    "decays": _decays,
    "drop paths": _drop_paths,
    "drop path unscaled": _drop_path_unscaled,
    "uncorrected": _uncorrected,
    "coupled": _coupled,
    "decay unscaled": _decay_unscaled,
    "clipped alone": _clipped_alone,
    "loss scaled": _loss_scaled,
    "gradients scaled": _gradients_scaled,
    "teacher lost": _teacher_lost,
    "average": _average,
    "ranks": _ranks,
}
"""Injectors by kind; each is given the trainer and the fault's arguments."""
