"""What initial values are drawn from instead, as far as samples tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pytest

from alignment.hypotheses.training import explain_sample

Array: TypeAlias = npt.NDArray[Any]
COUNT, SHAPE = 20_000, (200, 100)
RIGHT = np.sort(np.random.default_rng(0).uniform(-0.1, 0.1, COUNT))


@pytest.mark.parametrize(
    ("draw", "cause", "words"),
    [
        (lambda generator: np.zeros(COUNT), "constant", "every element starts at 0"),
        (lambda generator: generator.uniform(-0.11, 0.11, COUNT), "scaled", " times 0.05"),
        (lambda generator: generator.uniform(-1, 1, COUNT) * (6 / 300) ** 0.5, "xavier uniform", "within 0.1414"),
        (lambda generator: generator.normal(0, (2 / 100) ** 0.5, COUNT), "kaiming normal", "deviation 0.1414"),
        (lambda generator: generator.normal(0, 0.3, COUNT), "normal for uniform", "with a deviation of "),
    ],
)
def test_another_distribution_is_named(draw: Callable[[np.random.Generator], Array], cause: str, words: str) -> None:
    sample = np.sort(draw(np.random.default_rng(1)))
    causes = explain_sample("head.weight", SHAPE, RIGHT, sample)
    assert causes[0].name == cause
    assert words in causes[0].says
    assert causes[0].after < causes[0].before / 2


def test_closest_of_several_distributions_comes_first() -> None:
    """A normal of 0.2 beside Kaiming's of 0.2041: what is told apart by the values is not taken for a default."""
    sample = np.sort(np.random.default_rng(1).normal(0, 0.2, COUNT))
    causes = explain_sample("fc1.weight", (48, 48), RIGHT, sample)
    assert causes[0].name == "normal for uniform"
    assert "kaiming normal" not in {cause.name for cause in causes}
    sample = np.sort(np.random.default_rng(1).uniform(-0.13, 0.13, COUNT) ** 3)
    far = [cause.after for cause in explain_sample("fc1.weight", SHAPE, RIGHT, sample)]
    assert far == sorted(far)


def test_unknown_distribution_is_left_unexplained() -> None:
    sample = np.sort(np.random.default_rng(2).exponential(0.1, COUNT))
    assert explain_sample("head.weight", SHAPE, RIGHT, sample) == ()
