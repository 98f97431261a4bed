"""Formulas of optimizers in NumPy, with a switch for every known mistake: AdamW, Adam, SGD, RMSProp and Lamb."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from alignment.arrays import Array

Values: TypeAlias = Mapping[str, Mapping[str, float]]
"""Settings of an optimizer: setting to parameter to value."""
_ADAM = {
    "inside": "epsilon is added inside the root, not outside of it",
    "early epsilon": "epsilon is added before the bias of the second moment is corrected",
    "uncorrected": "the bias of neither moment is corrected",
    "first uncorrected": "the bias of the first moment is not corrected",
    "second uncorrected": "the bias of the second moment is not corrected",
}
FLAGS: Mapping[str, Mapping[str, str]] = {
    "AdamW": _ADAM
    | {
        "other decay": "the decay is added to the gradient, and goes through the moments, as in Adam with L2",
        "unscaled decay": "the decay is not multiplied by the rate",
        "late decay": "the weights decay after the step, not before it",
    },
    "Adam": _ADAM | {"other decay": "the decay is taken off the weights by itself, as in AdamW"},
    "SGD": {
        "damped": "the gradient is multiplied by 1 - momentum before it goes into the momentum",
        "rate in momentum": "the momentum is kept with the rate in it, so that another rate acts late",
        "other decay": "the decay is taken off the weights by itself, not added to the gradient",
    },
    "RMSProp": {
        "inside": "epsilon is on the other side of the root",
        "from one": "the mean of squares begins with one, not with zero, as in MindSpore's nn.RMSProp",
        "rate in momentum": "the momentum is kept with the rate in it, or without, unlike the reference",
    },
    "Lamb": _ADAM | {"no trust": "the step is not scaled by the norms of weight and update"},
}
"""Kind of an optimizer to its switches, with what each does in a sentence."""


@dataclass
class _Parameter:
    """One parameter, its state and its settings."""

    weight: Array
    values: Mapping[str, float]
    flags: frozenset[str]
    first: Array = field(init=False)
    second: Array = field(init=False)
    third: Array = field(init=False)

    def __post_init__(self) -> None:
        self.first, self.second, self.third = (np.zeros_like(self.weight) for _ in range(3))

    def adam(self, kind: str, number: int, gradient: Array, rate: float) -> None:
        """One step of AdamW, Adam or Lamb."""
        v, flags, decay = self.values, self.flags, self.values.get("decay", 0.0)
        coupled = (kind == "Adam") != ("other decay" in flags) and kind != "Lamb"
        if coupled:
            gradient = gradient + decay * self.weight
        one, two = v["beta1"], v["beta2"]
        self.first = one * self.first + (1 - one) * gradient
        self.second = two * self.second + (1 - two) * gradient**2
        large = 1.0 if flags & {"uncorrected", "first uncorrected"} else 1 - one**number
        small = 1.0 if flags & {"uncorrected", "second uncorrected"} else 1 - two**number
        if "inside" in flags:
            root = np.sqrt(self.second / small + v["epsilon"])
        elif "early epsilon" in flags:
            root = (np.sqrt(self.second) + v["epsilon"]) / np.sqrt(small)
        else:
            root = np.sqrt(self.second / small) + v["epsilon"]
        step = self.first / large / root
        if kind == "Lamb":
            self._lamb(step, rate, decay)
            return
        lost = 0.0 if coupled else decay * (1.0 if "unscaled decay" in flags else rate)
        late = "late decay" in flags
        self.weight = (self.weight - rate * step) * (1 - lost) if late else self.weight * (1 - lost) - rate * step

    def _lamb(self, step: Array, rate: float, decay: float) -> None:
        step = step + decay * self.weight
        norms = float(np.linalg.norm(self.weight)), float(np.linalg.norm(step))
        trust = norms[0] / norms[1] if all(norms) and decay and "no trust" not in self.flags else 1.0
        self.weight = self.weight - rate * trust * step

    def sgd(self, kind: str, number: int, gradient: Array, rate: float) -> None:
        """One step of SGD, with or without momentum."""
        del kind
        v, flags, decay = self.values, self.flags, self.values.get("decay", 0.0)
        momentum, before = v.get("momentum", 0.0), self.weight
        if "other decay" not in flags:
            gradient = gradient + decay * before
        share = 1 - v.get("dampening", 0.0) if number > 1 else 1.0
        share = 1 - momentum if "damped" in flags else share
        taken = gradient * share * (rate if "rate in momentum" in flags else 1.0)
        self.first = momentum * self.first + taken
        step = self.first if momentum else taken
        if momentum and v.get("nesterov"):
            step = (gradient * rate if "rate in momentum" in flags else gradient) + momentum * self.first
        self.weight = before - (step if "rate in momentum" in flags else rate * step)
        if "other decay" in flags:
            self.weight = self.weight - rate * decay * before

    def rmsprop(self, kind: str, number: int, gradient: Array, rate: float) -> None:
        """One step of RMSProp."""
        del kind
        v, momentum = self.values, self.values.get("momentum", 0.0)
        gradient = gradient + v.get("decay", 0.0) * self.weight
        if number == 1 and "from one" in self.flags:
            self.second = np.ones_like(self.second)
        self.second = v["alpha"] * self.second + (1 - v["alpha"]) * gradient**2
        variance = self.second
        if v.get("centered"):
            self.third = v["alpha"] * self.third + (1 - v["alpha"]) * gradient
            variance = self.second - self.third**2
        inside = "inside" in self.flags
        root = np.sqrt(variance + v["epsilon"]) if inside else np.sqrt(variance) + v["epsilon"]
        kept = "rate in momentum" in self.flags
        self.first = momentum * self.first + gradient / root * (rate if kept else 1.0)
        self.weight = self.weight - self.first * (1.0 if kept else rate)


_STEPS: Mapping[str, Callable[[_Parameter, str, int, Array, float], None]] = {
    "AdamW": _Parameter.adam,
    "Adam": _Parameter.adam,
    "Lamb": _Parameter.adam,
    "SGD": _Parameter.sgd,
    "RMSProp": _Parameter.rmsprop,
}


def simulate(
    kind: str,
    values: Values,
    flags: frozenset[str],
    weights: Mapping[str, Array],
    gradients: Sequence[Mapping[str, Array]],
    rates: Sequence[float],
) -> dict[str, Array]:
    """The weights after every step, by `optimizer/step_<n>/parameter/<name>`.

    Args:
        kind: A key of `FLAGS`.
        values: Settings of every parameter; one without a rate is not trained.
        flags: Switches of the kind.
        weights: What training starts from, float64.
        gradients: Those of every step.
        rates: The rate of most parameters at every step; the others have their share of it.
    """
    own = list(values["rate"].values())
    most = max(own, key=own.count, default=1.0) or 1.0
    recorded: dict[str, Array] = {}
    for name, weight in weights.items():
        settings = {setting: by_name[name] for setting, by_name in values.items() if name in by_name}
        parameter = _Parameter(weight.astype(np.float64), settings, flags)
        share = settings.get("rate", 0.0) / most
        for number, (gradient, rate) in enumerate(zip(gradients, rates, strict=True), 1):
            if share:
                _STEPS[kind](parameter, kind, number, gradient[name].astype(np.float64), rate * share)
            recorded[f"optimizer/step_{number}/parameter/{name}"] = parameter.weight
    return recorded
