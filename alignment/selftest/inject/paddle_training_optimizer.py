"""Mistakes put into the schedule, the decay and the optimizer of the port's training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count
from math import cos, pi, sqrt
from typing import Any

import paddle
from paddle import Tensor
from paddle.optimizer.lr import CosineAnnealingDecay, LinearWarmup

from alignment.arrays import Array
from alignment.selftest.inject.paddle_tools import change_clip, change_parts, change_rates, change_step, wrap
from recipe.schedule import CosineSchedule

UPDATES = 2
"""Updates of an epoch of the self-test's recipes."""


def _schedule(trainer: Any, change: str) -> None:
    """Change the warm-up or the cosine, or all rates; what a change does not concern stays correct."""

    def rates(schedule: CosineSchedule) -> Callable[[int, int], float]:
        config = schedule.config
        if change == "paddle":
            paddles = _of_paddle(schedule)
            return lambda epoch, _: paddles[epoch]
        if change == "late":
            return lambda epoch, update: schedule.rate(max(0, epoch - 1), update)
        if change == "halved":
            return lambda epoch, update: schedule.rate(epoch, update) / 2

        def rate(epoch: int, update: int) -> float:
            t = max(0, epoch - 1) if config.deit_quirk else epoch
            if t >= config.epochs or (t < config.warmup_epochs) != change.startswith("warm-up"):
                return float(schedule.rate(epoch, update))
            within = min(update, UPDATES - 1) / UPDATES if change == "every update" else 0.0
            return _rate(change, config, schedule.peak, t + within)

        return rate

    change_rates(trainer, rates)


def _rate(change: str, config: Any, peak: float, t: float) -> float:
    low, reach, share = config.minimum_rate, peak - config.minimum_rate, t / config.epochs
    first, warm, warmed = config.warmup_rate, config.warmup_epochs, t / config.warmup_epochs

    def cosine(share: float) -> float:
        return low + reach * (1 + cos(pi * share)) / 2

    forms: Mapping[str, Callable[[], float]] = {
        "restarted": lambda: cosine((t - warm) / (config.epochs - warm)),
        "linear": lambda: low + reach * (1 - share),
        "warm-up a step up": lambda: first + (warmed + 1 / warm) * (peak - first),
        "warm-up by powers": lambda: first * (peak / first) ** warmed,
        "power": lambda: low + reach * (1 - share) ** 0.9,
        "steps": lambda: peak * 0.1 ** (t // 7),
        "cooldown within": lambda: cosine(t / (config.epochs + config.cooldown_epochs)),
        "restarts": lambda: cosine(2 * share % 1),
        "every update": lambda: cosine(share),
    }
    return forms[change]()


def _of_paddle(schedule: CosineSchedule) -> list[float]:
    """Return the rates of Paddle's own scheduler that takes epoch 0 to be over before it began."""
    config, rates = schedule.config, []
    cosine = CosineAnnealingDecay(schedule.peak, T_max=config.epochs - config.warmup_epochs, eta_min=0.0)
    warmup = LinearWarmup(cosine, config.warmup_epochs, config.warmup_rate, schedule.peak, last_epoch=0)
    for _ in range(schedule.epochs):
        rates.append(float(warmup.get_lr()))
        warmup.step()
    return rates


def _rate_late(trainer: Any) -> None:
    """Give each update the rate of the one before."""

    def rates(schedule: Any) -> Callable[[int, int], float]:
        before = [schedule.rate(0, 0)]

        def rate(epoch: int, update: int) -> float:
            before.append(schedule.rate(epoch, update))
            return float(before[-2])

        return rate

    change_rates(trainer, rates)


def _decays(trainer: Any, parameter: str, on: bool = True) -> None:
    def changed(parts: Any) -> Any:
        other = dict(parts.model.named_parameters())[parameter]
        decaying = [tensor for tensor in parts.optimizer._decaying if tensor is not other]
        parts.optimizer._decaying = [*decaying, other] if on else decaying
        return parts

    change_parts(trainer, changed)


def _biases_decay(parts: Any) -> Any:
    named = parts.model.named_parameters()
    decaying = [tensor for name, tensor in named if tensor.ndim > 1 or name.endswith(".bias")]
    parts.optimizer._decaying = [tensor for tensor in decaying if tensor.shape[0] != 1]
    return parts


def _decayed(trainer: Any, change: str) -> None:
    """Change which parameters decay, or how much each does."""

    def make(parts: Any, correct: Callable[[], None]) -> Callable[[], None]:
        optimizer = parts.optimizer
        decaying = {id(tensor) for tensor in optimizer._decaying}

        def step() -> None:
            rate, decay = optimizer.get_lr(), optimizer._decay
            for name, tensor in parts.model.named_parameters():
                if id(tensor) in decaying:
                    less = 0.5 if change == "less in the first stage" and ".0.blocks." in name else 1.0
                    power = 2 if change == "square of the rate" else 1
                    tensor.scale_(1 - rate**power * decay * less)
            optimizer._decay = 0.0
            correct()
            optimizer._decay = decay

        return step

    if change == "biases":
        change_parts(trainer, _biases_decay)
    else:
        change_step(trainer, make)


def _uncorrected(trainer: Any) -> None:
    """Take the powers of the betas to be zero, as if many steps were done."""

    def make(apply: Callable[..., None]) -> Callable[..., None]:
        def wrong(gradients: Mapping[str, Array], rate: float) -> None:
            optimizer = trainer.parts.optimizer
            if not optimizer.named_state():
                named = trainer.parts.model.named_parameters()
                optimizer.set_named_state({f"moment1/{name}": paddle.zeros_like(tensor) for name, tensor in named})
            for name, tensor in optimizer.named_state().items():
                if "pow_acc" in name:
                    tensor.set_value(tensor * 0)
            apply(gradients, rate)

        return wrong

    wrap(trainer, "apply", make)


def _decay_unscaled(trainer: Any) -> None:
    def make(apply: Callable[..., None]) -> Callable[..., None]:
        def wrong(gradients: Mapping[str, Array], rate: float) -> None:
            trainer.parts.optimizer._decay = trainer.config.optimizer.weight_decay / rate
            apply(gradients, rate)

        return wrong

    wrap(trainer, "apply", make)


def _coupled(trainer: Any) -> None:
    """Add the decay to the gradient after it was clipped, as Adam with L2 does."""

    def make(parts: Any, clip: Any) -> Callable[[Any], Any]:
        optimizer = parts.optimizer
        decaying, decay = {id(tensor) for tensor in optimizer._decaying}, optimizer._decay
        optimizer._decay = 0.0
        return lambda pairs: [
            (tensor, gradient + decay * tensor.detach() if id(tensor) in decaying else gradient)
            for tensor, gradient in (pairs if clip is None else clip(pairs))
        ]

    change_clip(trainer, make)


def _shortened(gradient: Tensor, limit: float, norm: Tensor) -> Tensor:
    return gradient * (limit / norm).clip(max=1.0)


def _gradients(trainer: Any, change: str) -> None:
    """Change what is done to the gradients before the optimizer's step."""
    limit = trainer.config.optimizer.clip

    def clip(correct: Any, pairs: list[tuple[Tensor, Tensor]]) -> list[tuple[Tensor, Tensor]]:
        tensors, gradients = zip(*pairs, strict=True)
        if change == "by value":
            clipped = [gradient.clip(-limit, limit) for gradient in gradients]
        elif change == "alone":
            clipped = [_shortened(gradient, limit, gradient.square().sum().sqrt()) for gradient in gradients]
        elif change == "Paddle's own":
            norm = paddle.stack([gradient.square().sum() for gradient in gradients]).sum().sqrt()
            clipped = [_shortened(gradient, limit, norm) for gradient in gradients]
        else:
            centred = [gradient - gradient.mean() if tensor.ndim > 1 else gradient for tensor, gradient in pairs]
            return list(correct(list(zip(tensors, centred, strict=True))))
        return list(zip(tensors, clipped, strict=True))

    change_clip(trainer, lambda _, correct: lambda pairs: clip(correct, pairs))


def _updated(trainer: Any, change: str) -> None:
    """Keep the moments, and compute something else of them."""

    def make(parts: Any, correct: Callable[[], None]) -> Callable[[], None]:
        optimizer, named = parts.optimizer, dict(parts.model.named_parameters())
        largest: dict[str, Tensor] = {}
        firsts: dict[str, Tensor] = {}
        numbers = count(1)

        def step() -> None:
            factor = 1 - optimizer.get_lr() * optimizer._decay
            decaying = {id(tensor) for tensor in optimizer._decaying}
            before = {name: tensor * (factor if id(tensor) in decaying else 1) for name, tensor in named.items()}
            correct()
            number, state = next(numbers), optimizer.named_state()
            for name, tensor in named.items():
                first, second = state[f"moment1/{name}"], state[f"moment2/{name}"]
                peak = largest[name] = paddle.maximum(largest.get(name, second), second)
                clipped = (first - 0.9 * firsts.get(name, 0 * first)) / 0.1
                firsts[name] = first.clone()
                moments = (first, second, peak, clipped, before[name])
                tensor.set_value(before[name] - optimizer.get_lr() * _direction(change, number, name, *moments))

        return step

    change_step(trainer, make)


def _direction(
    change: str, t: int, name: str, first: Tensor, second: Tensor, peak: Tensor, gradient: Tensor, before: Tensor
) -> Tensor:
    """Return what the rate is multiplied with, for betas of 0.9 and 0.999 and an epsilon of 1e-8."""
    mean, variance = first / (1 - 0.9**t), second / (1 - 0.999**t)
    correct = mean / (variance.sqrt() + 1e-8)
    forms: Mapping[str, Callable[[], Tensor]] = {
        "largest variance": lambda: mean / ((peak / (1 - 0.999**t)).sqrt() + 1e-8),
        "epsilon within": lambda: mean / (variance + 1e-8).sqrt(),
        "epsilon uncorrected": lambda: first / (second.sqrt() + 1e-8) * (sqrt(1 - 0.999**t) / (1 - 0.9**t)),
        "nesterov": lambda: (0.9 * mean + 0.1 * gradient / (1 - 0.9**t)) / (variance.sqrt() + 1e-8),
        "momentum only": lambda: first,
        "trust ratio": lambda: correct * (before.norm() / correct.norm()),
        "biases twice": lambda: correct * (2.0 if name.endswith("bias") else 1.0),
        "in float32": lambda: correct.astype("float32").astype(correct.dtype),
    }
    return forms[change]()


def _moments_forgotten(trainer: Any) -> None:
    """Begin each epoch with a fresh optimizer."""
    fresh = {"beta1_pow_acc": 0.9, "beta2_pow_acc": 0.999}

    def make(parts: Any, correct: Callable[[], None]) -> Callable[[], None]:
        numbers = count()

        def step() -> None:
            number = next(numbers)
            if number and number % UPDATES == 0:
                for name, tensor in parts.optimizer.named_state().items():
                    tensor.set_value(paddle.full_like(tensor, fresh.get(name.partition("/")[0], 0.0)))
            correct()

        return step

    change_step(trainer, make)


OPTIMIZER_FAULTS: Mapping[str, Callable[..., None]] = {
    "schedule": _schedule,
    "scheduled": _schedule,
    "rate late": _rate_late,
    "decays": _decays,
    "decayed": _decayed,
    "uncorrected": _uncorrected,
    "decay unscaled": _decay_unscaled,
    "coupled": _coupled,
    "clipped alone": lambda trainer: _gradients(trainer, "alone"),
    "gradients": _gradients,
    "updated": _updated,
    "moments forgotten": _moments_forgotten,
}
"""Injectors by kind; each is given the trainer and the fault's arguments."""
