"""Mistakes put into the loss, the drop paths, the moving average and the workers of the port's training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np
import numpy.typing as npt
import paddle
import paddle.nn.functional as F
from paddle import Tensor

from alignment.selftest.inject.paddle_tools import (
    change_parts,
    change_rates,
    change_result,
    drop_paths,
    with_gradient_times,
    wrap,
)
from paddle_impl.training.ema import Ema
from paddle_impl.training.parallel import World
from recipe.batches import Split


def _drop_paths(trainer: Any, change: str) -> None:
    """Change the rates of the drop paths, or what they do with what is kept."""
    layers, top = drop_paths(trainer), trainer.config.model.drop_path_rate
    rates = [layer.drop_prob for layer in layers]
    changed = {
        "constant": [max(rates)] * len(rates),
        "reversed": rates[::-1],
        "rate reached": [top * (number // 2) / (len(layers) // 2 - 1) for number in range(len(layers))],
        "attention only": [0.0 if number % 2 else rate for number, rate in enumerate(rates)],
    }
    for layer, rate in zip(layers, changed.get(change, rates), strict=True):
        layer.drop_prob = rate
        if change not in changed:
            layer.forward = _dropping(layer, change)


def _dropping(layer: Any, change: str) -> Callable[[Tensor], Tensor]:
    correct = layer.forward

    def forward(x: Tensor) -> Tensor:
        kept = 1 - layer.drop_prob
        if change == "unscaled":
            return correct(x) * kept if layer.training and layer.drop_prob else correct(x)
        if change == "scaled twice":
            return correct(x) / kept
        if not layer.drop_prob:
            return x
        whole = float(layer.draw((x.shape[0],) + (1,) * (x.ndim - 1)).flat[0] < kept)
        return x * (whole / kept)

    return forward


def _factor(trainer: Any, share: str) -> int:
    return int(trainer.config.data.batch_size if share == "batch" else trainer.config.run.accumulation)


def _loss_scaled(trainer: Any, share: str) -> None:
    factor = _factor(trainer, share)
    change_result(trainer, "_loss", lambda loss: loss * factor)


def _gradients_scaled(trainer: Any, share: str) -> None:
    """Report the correct loss, and send back a gradient that is not divided."""
    _loss_scale_left(trainer, _factor(trainer, share))


def _loss_scale_left(trainer: Any, factor: float) -> None:
    change_result(trainer, "_loss", lambda loss: with_gradient_times(loss, factor))


def _last_micro_batch_only(trainer: Any) -> None:
    """Clear the gradients of the first micro-batch before the second; the loss that is reported is correct."""
    numbers = count(1)

    def changed(loss: Tensor) -> Tensor:
        return loss if next(numbers) % trainer.config.run.accumulation == 0 else loss * 0 + loss.detach()

    change_result(trainer, "_loss", changed)


def _teacher_lost(trainer: Any) -> None:
    trainer._loss._distil = lambda logits, images: (logits * 0).sum()


def _distilled(trainer: Any, change: str) -> None:
    loss = trainer._loss
    temperature = loss.distillation.temperature

    def distil(logits: Tensor, images: Tensor) -> Tensor:
        with paddle.no_grad():
            teacher = loss.teacher(images.flip(-1) if change == "teacher sees a mirror" else images)
        own, goal = (F.log_softmax(side / temperature, axis=1) for side in (logits, teacher))
        if change == "reversed divergence":
            return (own.exp() * (own - goal)).sum() * (temperature**2 / logits.size)
        scale = 1.0 if change == "temperature not squared" else temperature**2
        size = logits.shape[0] if change == "over the batch" else logits.size
        return (goal.exp() * (goal - own)).sum() * (scale / size)

    loss._distil = distil
    if change == "heads exchanged":
        trainer._loss = lambda outputs, images, targets: loss(outputs[::-1], images, targets)


def _average(trainer: Any, change: str) -> None:
    """Change when the average takes up the weights, what it keeps of them, or what it starts from."""
    fresh = trainer._built() if change == "fresh" else None

    def changed(parts: Any) -> Any:
        if fresh is not None:
            average = Ema(fresh, trainer.config.ema.decay)
            average._source = parts.model
            return replace(parts, average=average)
        update = parts.average.update
        if change == "early":
            wrap(parts.optimizer, "step", lambda step: lambda: (update(), step()))
        parts.average.update = _updating(trainer, change, parts.average, update)
        return parts

    change_parts(trainer, changed)


def _updating(trainer: Any, change: str, average: Ema, update: Callable[[], None]) -> Callable[[], None]:
    decay, numbers = average.decay, count(1)

    def wrong() -> None:
        number = next(numbers)
        if change in ("never", "early") or (change == "every second" and number % 2):
            return
        if change == "warmed up":
            average.decay = min(decay, (1 + number) / (10 + number))
        for _ in range(trainer.config.run.accumulation if change == "micro" else 1):
            update()
        if change == "in float32":
            for tensor in average.model.state_dict().values():
                tensor.set_value(tensor.astype("float32").astype(tensor.dtype))

    return wrong


def _mixing_repeated(trainer: Any) -> None:
    """Mix all micro-batches of a run alike: the stream does not depend on which one it is for."""

    class Repeated:
        """The streams of the tape, all those of mixing being the first."""

        def stream(self, *key: Any) -> Any:
            """See `recipe.draws.Randomness`."""
            return trainer._tape.stream(*(("mixing", 0, 0, 0) if key[0] == "mixing" else key))

    def repeated(loader: Any) -> Any:
        loader._randomness = Repeated()
        return loader

    change_result(trainer, "_loader", repeated)


class _WrongWorld(World):
    """Workers that exchange their gradients wrongly; the loss that they report is correct."""

    change = ""

    def sum_gradients(self, parameters: Sequence[Tensor], extra: Sequence[float] = ()) -> npt.NDArray[np.float64]:
        """See `World.sum_gradients`."""
        own = [None if tensor.grad is None else tensor.grad.clone() for tensor in parameters]
        sums = super().sum_gradients(parameters, extra)
        for parameter, gradient in zip(parameters, own, strict=True):
            if parameter.grad is not None and gradient is not None:
                if self.change == "divided twice":
                    parameter.grad = parameter.grad / self.size
                else:
                    parameter.grad = (gradient if self.change == "alone" else parameter.grad) * self.size
        return sums


class _Strided(Split):
    """Workers that take every second image, as Paddle's `DistributedBatchSampler` deals them out."""

    def positions(self, update: int, micro: int) -> Any:
        """See `Split.positions`."""
        start, step = update * self.global_batch, self.world * self.accumulation
        return range(start + micro, start + self.global_batch, step)


def _workers(trainer: Any, change: str) -> None:
    """Put in mistakes that only several workers make."""

    def joining(join: Callable[[World], None]) -> Callable[[World], None]:
        def wrong(world: World) -> None:
            join(_world(world, change))
            if world.size > 1 and change == "rate times workers":
                change_rates(trainer, lambda right: lambda epoch, update: right.rate(epoch, update) * world.size)
            if world.size > 1 and change == "weights not shared":
                wrap(trainer, "start", lambda start: lambda weights: start(_moved(weights, world.rank)))

        return wrong

    def strided(loader: Any) -> Any:
        config, world = trainer.config, trainer._processes
        sizes = loader._split.count, config.data.batch_size, config.run.accumulation
        loader._split = _Strided(*sizes, world.size, world.rank)
        return loader

    wrap(trainer, "join", joining)
    if change == "images dealt out":
        change_result(trainer, "_loader", strided)


def _world(world: World, change: str) -> World:
    if change == "alike":
        return World(0, world.size)
    if change in ("summed", "alone", "divided twice"):
        wrong = _WrongWorld(world.rank, world.size)
        object.__setattr__(wrong, "change", change)
        return wrong
    return world


def _moved(weights: Mapping[str, Any], rank: int) -> dict[str, Any]:
    generator = np.random.default_rng(rank)
    return {
        name: array + 0.02 * rank * generator.standard_normal(array.shape).astype(array.dtype)
        for name, array in weights.items()
    }


LOOP_FAULTS: Mapping[str, Callable[..., None]] = {
    "drop paths": _drop_paths,
    "paths dropped": _drop_paths,
    "drop path unscaled": lambda trainer: _drop_paths(trainer, "unscaled"),
    "loss scaled": _loss_scaled,
    "gradients scaled": _gradients_scaled,
    "loss scale left": _loss_scale_left,
    "last micro-batch only": _last_micro_batch_only,
    "teacher lost": _teacher_lost,
    "distilled": _distilled,
    "average": _average,
    "averaged": _average,
    "mixing repeated": _mixing_repeated,
    "ranks": _workers,
    "workers": _workers,
}
"""Injectors by kind; each is given the trainer and the fault's arguments."""
