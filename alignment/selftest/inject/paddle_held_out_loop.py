"""Mistakes in what drives the port's training, for the held-out faults, `alignment.selftest.faults.held_out_models`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import cos, pi, sqrt
from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import Tensor

from alignment.selftest.inject.paddle_tools import Schedule, assembled
from paddle_impl.layers import DropPath
from paddle_impl.training.ema import Ema
from paddle_impl.training.parallel import World
from recipe.order import Split

_UPDATES = 2
"""Updates of an epoch of the self-test's recipes."""


def _scheduled(trainer: Any, change: str) -> None:
    """The warm-up or the cosine, otherwise; the rest is right."""

    def wrong(parts: Any) -> Any:
        right, config = parts.schedule, parts.schedule.config

        def rate(epoch: int, update: int = 0) -> float:
            t = max(0, epoch - 1) if config.deit_quirk else epoch
            if t >= config.epochs or (t < config.warmup_epochs) != change.startswith("warm-up"):
                return float(right.rate(epoch, update))
            within = min(update, _UPDATES - 1) / _UPDATES if change == "every update" else 0.0
            return _rate(change, config, right.peak, t + within)

        return replace(parts, schedule=Schedule(right, rate))

    assembled(trainer, wrong)


def _rate(change: str, config: Any, peak: float, t: float) -> float:
    low, reach, share = config.minimum_rate, peak - config.minimum_rate, t / config.epochs
    first, warmed = config.warmup_rate, t / config.warmup_epochs
    forms: Mapping[str, Callable[[], float]] = {
        "warm-up a step up": lambda: first + (warmed + 1 / config.warmup_epochs) * (peak - first),
        "warm-up by powers": lambda: first * (peak / first) ** warmed,
        "power": lambda: low + reach * (1 - share) ** 0.9,
        "steps": lambda: peak * 0.1 ** (t // 7),
        "cooldown within": lambda: low + reach * (1 + cos(pi * t / (config.epochs + config.cooldown_epochs))) / 2,
        "restarts": lambda: low + reach * (1 + cos(pi * (2 * share % 1))) / 2,
        "every update": lambda: low + reach * (1 + cos(pi * share)) / 2,
    }
    return forms[change]()


def _decayed(trainer: Any, change: str) -> None:
    """Which parameters decay, or how much each does."""

    def wrong(parts: Any) -> Any:
        optimizer, named = parts.optimizer, dict(parts.model.named_parameters())
        if change == "biases":
            optimizer._decaying = [each for name, each in named.items() if each.ndim > 1 or name.endswith(".bias")]
            optimizer._decaying = [each for each in optimizer._decaying if each.shape[0] != 1]
        else:
            optimizer.step = _stepping(optimizer, _decay_changed(optimizer, named, change))
        return parts

    assembled(trainer, wrong)


def _decay_changed(optimizer: Any, named: Mapping[str, Tensor], change: str) -> Callable[[Callable[[], None]], None]:
    decaying = {id(each) for each in optimizer._decaying}

    def step(right: Callable[[], None]) -> None:
        rate, decay = optimizer.get_lr(), optimizer._decay
        for name, each in named.items():
            if id(each) in decaying:
                less = 0.5 if change == "less in the first stage" and ".0.blocks." in name else 1.0
                power = 2 if change == "square of the rate" else 1
                each.scale_(1 - rate**power * decay * less)
        optimizer._decay = 0.0
        right()
        optimizer._decay = decay

    return step


def _stepping(optimizer: Any, step: Callable[[Callable[[], None]], None]) -> Callable[[], None]:
    right = optimizer.step

    @paddle.no_grad()
    def wrong() -> None:
        step(right)

    return wrong


def _updated(trainer: Any, change: str) -> None:
    """The moments are right; what is made of them is not."""

    def wrong(parts: Any) -> Any:
        optimizer, named = parts.optimizer, dict(parts.model.named_parameters())
        largest: dict[str, Tensor] = {}
        firsts: dict[str, Tensor] = {}
        count = [0]

        def step(right: Callable[[], None]) -> None:
            factor = 1 - optimizer.get_lr() * optimizer._decay
            decaying = {id(each) for each in optimizer._decaying}
            before = {name: each * (factor if id(each) in decaying else 1) for name, each in named.items()}
            right()
            count[0] += 1
            state = optimizer.named_state()
            for name, each in named.items():
                first, second = state[f"moment1/{name}"], state[f"moment2/{name}"]
                peak = largest[name] = paddle.maximum(largest.get(name, second), second)
                clipped = (first - 0.9 * firsts.get(name, 0 * first)) / 0.1
                firsts[name] = first.clone()
                given = (first, second, peak, clipped, before[name])
                each.set_value(before[name] - optimizer.get_lr() * _direction(change, count[0], name, *given))

        optimizer.step = _stepping(optimizer, step)
        return parts

    assembled(trainer, wrong)


def _direction(
    change: str, t: int, name: str, first: Tensor, second: Tensor, peak: Tensor, gradient: Tensor, before: Tensor
) -> Tensor:
    """What the rate is multiplied with, for betas of 0.9 and 0.999 and an epsilon of 1e-8."""
    mean, variance = first / (1 - 0.9**t), second / (1 - 0.999**t)
    right = mean / (variance.sqrt() + 1e-8)
    forms: Mapping[str, Callable[[], Tensor]] = {
        "largest variance": lambda: mean / ((peak / (1 - 0.999**t)).sqrt() + 1e-8),
        "epsilon within": lambda: mean / (variance + 1e-8).sqrt(),
        "epsilon uncorrected": lambda: first / (second.sqrt() + 1e-8) * (sqrt(1 - 0.999**t) / (1 - 0.9**t)),
        "nesterov": lambda: (0.9 * mean + 0.1 * gradient / (1 - 0.9**t)) / (variance.sqrt() + 1e-8),
        "momentum only": lambda: first,
        "trust ratio": lambda: right * (before.norm() / right.norm()),
        "biases twice": lambda: right * (2.0 if name.endswith("bias") else 1.0),
        "in float32": lambda: right.astype("float32").astype(right.dtype),
    }
    return forms[change]()


def _gradients(trainer: Any, change: str) -> None:
    """What is done to the gradients before the optimizer's step, instead of clipping by their norm or after it."""

    def wrong(parts: Any) -> Any:
        right, limit = parts.optimizer._grad_clip, trainer.config.optimizer.clip

        def clip(pairs: list[tuple[Tensor, Tensor]]) -> list[tuple[Tensor, Tensor]]:
            if change == "by value":
                return [(each, gradient.clip(-limit, limit)) for each, gradient in pairs]
            if change == "Paddle's own":
                norm = paddle.stack([gradient.square().sum() for _, gradient in pairs]).sum().sqrt()
                return [(each, gradient * (limit / norm).clip(max=1.0)) for each, gradient in pairs]
            centred = [gradient - gradient.mean() if each.ndim > 1 else gradient for each, gradient in pairs]
            return list(right([(each, gradient) for (each, _), gradient in zip(pairs, centred, strict=True)]))

        parts.optimizer._grad_clip = clip
        return parts

    assembled(trainer, wrong)


def _moments_forgotten(trainer: Any) -> None:
    """Each epoch begins with a fresh optimizer."""

    def wrong(parts: Any) -> Any:
        optimizer, count = parts.optimizer, [0]

        def step(right: Callable[[], None]) -> None:
            if count[0] and count[0] % _UPDATES == 0:
                beta = {"beta1_pow_acc": 0.9, "beta2_pow_acc": 0.999}
                for name, tensor in optimizer.named_state().items():
                    tensor.set_value(paddle.full_like(tensor, beta.get(name.partition("/")[0], 0.0)))
            count[0] += 1
            right()

        optimizer.step = _stepping(optimizer, step)
        return parts

    assembled(trainer, wrong)


def _averaged(trainer: Any, change: str) -> None:
    def wrong(parts: Any) -> Any:
        average: Ema = parts.average
        right, decay, count = average.update, average.decay, [0]

        def update() -> None:
            count[0] += 1
            if change == "warmed up":
                average.decay = min(decay, (1 + count[0]) / (10 + count[0]))
            if change == "every second" and count[0] % 2:
                return
            right()
            if change == "in float32":
                for tensor in average.model.state_dict().values():
                    tensor.set_value(tensor.astype("float32").astype(tensor.dtype))

        average.update = update
        return parts

    assembled(trainer, wrong)


def _paths_dropped(trainer: Any, change: str) -> None:
    """Rates, or masks, of the drop paths."""
    layers: list[Any] = [each for each in trainer.parts.model.sublayers() if isinstance(each, DropPath)]
    top = trainer.config.model.drop_path_rate
    for number, layer in enumerate(layers):
        if change == "rate reached":
            layer.drop_prob = top * (number // 2) / (len(layers) // 2 - 1)
        elif change == "attention only":
            layer.drop_prob = layer.drop_prob if number % 2 == 0 else 0.0
        else:
            layer.forward = _dropping(layer, change)


def _dropping(layer: Any, change: str) -> Callable[[Tensor], Tensor]:
    right = layer.forward

    def forward(x: Tensor) -> Tensor:
        if change == "scaled twice":
            result: Tensor = right(x)
            return result / (1 - layer.drop_prob)
        if not layer.drop_prob:
            return x
        kept = float(layer.draw((x.shape[0],) + (1,) * (x.ndim - 1)).flat[0] < 1 - layer.drop_prob)
        return x * (kept / (1 - layer.drop_prob))

    return forward


def _last_micro_batch_only(trainer: Any) -> None:
    """The gradients of the first micro-batch are cleared before the second; the loss that is told is right."""
    right, count = trainer._loss, [0]

    def wrong(*given: Any) -> Tensor:
        count[0] += 1
        loss: Tensor = right(*given)
        return loss if count[0] % trainer.config.run.accumulation == 0 else loss * 0 + loss.detach()

    trainer._loss = wrong


def _loss_scale_left(trainer: Any, factor: float) -> None:
    right = trainer._loss

    def wrong(*given: Any) -> Tensor:
        loss: Tensor = right(*given)
        return loss * factor - (loss * (factor - 1)).detach()

    trainer._loss = wrong


def _distilled(trainer: Any, change: str) -> None:
    loss = trainer._loss
    given = loss.distillation

    def distil(logits: Tensor, images: Tensor) -> Tensor:
        with paddle.no_grad():
            teacher = loss.teacher(images.flip(-1) if change == "teacher sees a mirror" else images)
        own, goal = (F.log_softmax(each / given.temperature, axis=1) for each in (logits, teacher))
        if change == "reversed divergence":
            return (own.exp() * (own - goal)).sum() * (given.temperature**2 / logits.size)
        scale = 1.0 if change == "temperature not squared" else given.temperature**2
        count = logits.shape[0] if change == "over the batch" else logits.size
        return (goal.exp() * (goal - own)).sum() * (scale / count)

    loss._distil = distil
    if change == "heads exchanged":
        trainer._loss = lambda outputs, images, targets: loss(outputs[::-1], images, targets)


def _mixing_repeated(trainer: Any) -> None:
    """All micro-batches of a run mix alike: the stream is not told which one it is for."""
    right = trainer._loader

    class Repeated:
        """The streams of the tape, all those of mixing being the first."""

        def stream(self, *key: Any) -> Any:
            """See `recipe.draws.Randomness`."""
            return trainer._tape.stream(*(("mixing", 0, 0, 0) if key[0] == "mixing" else key))

    def loader() -> Any:
        made = right()
        made._randomness = Repeated()
        return made

    trainer._loader = loader


class _Divided(World):
    """Workers whose gradients are divided by their number, which the loss had been divided by already."""

    def sum_gradients(self, parameters: Sequence[Tensor], extra: Sequence[float] = ()) -> Any:
        """See `World.sum_gradients`."""
        sums = super().sum_gradients(parameters, extra)
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.grad = parameter.grad / self.size
        return sums


class _Strided(Split):
    """Workers that take every second image, as Paddle's `DistributedBatchSampler` deals them out."""

    def positions(self, update: int, micro: int) -> Any:
        """See `Split.positions`."""
        start, step = update * self.global_batch, self.world * self.accumulation
        return range(start + micro, start + self.global_batch, step)


def _workers(trainer: Any, change: str) -> None:
    """Mistakes that only several workers make."""
    right, loader = trainer.join, trainer._loader

    def join(world: World) -> None:
        right(_Divided(world.rank, world.size) if change == "divided twice" and world.size > 1 else world)
        if world.size == 1:
            return
        if change == "rate times workers":
            assembled(trainer, lambda parts: replace(parts, schedule=_times(parts.schedule, world.size)))
        if change == "weights not shared":
            start = trainer.start
            trainer.start = lambda weights: start(_moved(weights, world.rank))

    def strided() -> Any:
        made, config = loader(), trainer.config
        world = trainer._processes
        made._split = _Strided(
            made._split.count, config.data.batch_size, config.run.accumulation, world.size, world.rank
        )
        return made

    trainer.join = join
    if change == "images dealt out":
        trainer._loader = strided


def _times(right: Any, factor: float) -> Schedule:
    return Schedule(right, lambda epoch, update=0: right.rate(epoch, update) * factor)


def _moved(weights: Mapping[str, Any], rank: int) -> dict[str, Any]:
    generator = np.random.default_rng(rank)
    return {
        name: array + 0.02 * rank * generator.standard_normal(array.shape).astype(array.dtype)
        for name, array in weights.items()
    }


HELD_OUT_COURSE: Mapping[str, Callable[..., None]] = {
    "scheduled": _scheduled,
    "decayed": _decayed,
    "updated": _updated,
    "gradients": _gradients,
    "moments forgotten": _moments_forgotten,
    "averaged": _averaged,
    "paths dropped": _paths_dropped,
    "last micro-batch only": _last_micro_batch_only,
    "loss scale left": _loss_scale_left,
    "distilled": _distilled,
    "mixing repeated": _mixing_repeated,
    "workers": _workers,
}
"""Injectors by kind, for `alignment.selftest.inject.paddle_training_data`."""
