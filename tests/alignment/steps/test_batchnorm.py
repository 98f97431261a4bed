"""What the step `batchnorm` records of gradients that vanish in exact arithmetic."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

from alignment.steps import STEPS


@dataclass
class Model:
    """A trial of a model with one norm before another: the shift of the first has a gradient of rounding only."""

    role: str
    moves: float = 0.0
    inputs: ClassVar[Any] = SimpleNamespace(dtype="float64")
    pair: ClassVar[Any] = SimpleNamespace(architecture=SimpleNamespace(statistics=("norm.running_mean",)))

    @property
    def backend(self) -> Any:
        gradients = {"norm.weight": np.array([1.0, 2.0]), "norm.bias": np.array([1e-17, 2e-17]) + self.moves}
        state = {"norm.running_mean": np.zeros(2)}
        return SimpleNamespace(train=lambda _: None, state=lambda: state, gradients=lambda: gradients)

    def reset(self) -> None: ...

    def backward(self) -> None: ...

    def forward(self) -> Any:
        return SimpleNamespace(by_name={"logits": np.ones(2)})

    def canonical(self, arrays: Any) -> Any:
        return arrays

    def gradients(self, arrays: Any) -> Any:
        return arrays

    def input_gradients(self, step: str) -> Iterator[tuple[str, Any]]:
        yield f"{step}/gradient/input", np.array([0.5])

    def moved(self, generator: np.random.Generator) -> Model:
        return replace(self, moves=float(generator.integers(1, 4)) * 1e-17)


def recorded(role: str) -> dict[str, Any]:
    model: Any = Model(role)
    return {quantity.key: quantity.entry for quantity in STEPS["batchnorm"].run(model)}


def test_reference_notes_how_far_rounding_moves_a_gradient_that_vanishes() -> None:
    entries = recorded("reference")
    vanishing = entries["batchnorm/gradient/norm.bias"]
    assert vanishing.spread == pytest.approx(vanishing.spread_max * np.sqrt(2))
    assert 1e-17 <= vanishing.spread_max <= 3e-17
    assert entries["batchnorm/gradient/norm.weight"].spread is None


def test_candidate_notes_no_rounding() -> None:
    assert all(entry.spread is None for entry in recorded("candidate").values())
