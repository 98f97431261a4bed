"""What AdamW keeps for each weight, under one set of names for every framework."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from porting.checkpoint.tensor import LazyTensor
from porting.errors import CheckpointError
from porting.training_state.scaler import LossScaler
from porting.training_state.schedule import Schedule

AVERAGE, SQUARES, MAXIMA = "exp_avg", "exp_avg_sq", "max_exp_avg_sq"
"""The first and second moment, and amsgrad's largest second moment, as torch calls them."""
MOMENTS = (AVERAGE, SQUARES, MAXIMA)
USUAL_BETAS = (0.9, 0.999)

Moments: TypeAlias = Mapping[str, LazyTensor]
"""Kind of a moment to its tensor, for one weight."""


@dataclass(frozen=True)
class Group:
    """Weights that are updated with the same settings.

    Attributes:
        names: Names of the weights, in the order of the optimizer.
        settings: `lr`, `weight_decay`, `betas`, `eps` and what else torch keeps of a group: numbers, lists, None.
    """

    names: tuple[str, ...]
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class OptimizerState:
    """The state of AdamW, by the names that the weights have in their state dict.

    Attributes:
        moments: Weight to its moments, each of the weight's shape; a weight without a gradient so far has none.
        steps: Weight to the number of its updates; of the weights that have moments.
        groups: Which weights share settings; empty where the file does not say.
        epochs: Epochs that are done; None where the file does not say.
        rate: Learning rate of the last update; None where it is not known or differs from group to group.
        betas: Decay rates of the moments.
        scaler: The loss scaler of float16; None where there is none.
        schedule: How far the schedule of the learning rate has come; None where the file does not say.
        notes: What else is in the file, and what was done with it, one line each.
    """

    moments: Mapping[str, Moments]
    steps: Mapping[str, int]
    groups: tuple[Group, ...] = ()
    epochs: int | None = None
    rate: float | None = None
    betas: tuple[float, float] = USUAL_BETAS
    scaler: LossScaler | None = None
    schedule: Schedule | None = None
    notes: tuple[str, ...] = field(default=(), compare=False)

    def noted(self, *notes: str) -> OptimizerState:
        """Return the state with further notes."""
        return replace(self, notes=(*self.notes, *notes))


def require_belonging(path: Path, state: OptimizerState, weights: Mapping[str, LazyTensor], beside: Path) -> None:
    """Check that every moment is one of these weights and has its shape.

    Args:
        path: The file of the state, for the error.
        state: The state.
        weights: The weights.
        beside: Their file, for the error.

    Raises:
        CheckpointError: One is not; the first, in the order of the weights, is named.
    """
    problem = next(_differences(state, weights), None)
    if problem is not None:
        raise CheckpointError(path, f"its optimizer's state does not belong to {beside}; it differs first at {problem}")


def _differences(state: OptimizerState, weights: Mapping[str, LazyTensor]) -> Iterator[str]:
    for name, weight in weights.items():
        moments = state.moments.get(name, {})
        for kind, tensor in moments.items():
            if tensor.shape != weight.shape:
                yield f"{name}: {kind} is {tensor.shape}, the weight {weight.shape}"
        if moments and not {AVERAGE, SQUARES} <= moments.keys():
            missing = ", ".join(kind for kind in (AVERAGE, SQUARES) if kind not in moments)
            yield f"{name}: there is no {missing}"
    yield from (f"{name}: there is no such weight" for name in state.moments if name not in weights)


def powers(beta: float, step: int, dtype: str = "float32") -> float:
    """Return beta to the power of a step as an optimizer accumulates it: multiplied again and again in one dtype.

    Args:
        beta: Decay rate of a moment.
        step: How many times it is multiplied, 0 or more.
        dtype: `"float32"` or `"float64"`.
    """
    kind = np.dtype(dtype).type
    factor, power = kind(beta), kind(1)
    for _ in range(step):
        following = kind(power * factor)
        if following == power:  # of the smallest numbers, rounding gives the same again
            break
        power = following
    return float(power)


def step_of(power: float, beta: float, dtype: str = "float32", most: int = 200_000) -> int:
    """Return the number of factors that a power of beta was accumulated from.

    Where the power is zero or does not shrink any more, after about a hundred thousand factors of 0.999 in float32, it
    is the least number that leads there: all above it correct the moments alike.

    Args:
        power: The accumulated power, from 0 to 1.
        beta: Decay rate of a moment.
        dtype: The dtype that it was accumulated in.
        most: The largest number that is tried.

    Raises:
        ValueError: No number of factors gives the power, to a thousandth of a factor.
    """
    kind = np.dtype(dtype).type
    factor, current = kind(beta), kind(1)
    step = 0
    while current > power and step < most:
        following = kind(current * factor)
        if following == current:
            break
        current, step = following, step + 1
    if is_exact(power) and abs(float(current) - power) > 0.4 * (1 - beta) * power:
        raise ValueError(f"{power} is no power of {beta}")
    return step


def is_exact(power: float) -> bool:
    """Return True if a power is large enough to tell its number of factors: not among float32's smallest numbers."""
    return power > 1e-37


def one_value(values: Iterable[Any]) -> Any:
    """Return the value that all have; None where they differ, or where there is none."""
    kept = list(values)
    return kept[0] if kept and all(value == kept[0] for value in kept[1:]) else None
