from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from alignment.judging.measuring import measure
from alignment.judging.special_kinds import BY_KIND
from alignment.judging.tolerance import Judgement
from alignment.results.report import DIVERGENCE, ROUNDING, SAME_FUNCTION, Verdict

Array = npt.NDArray[Any]
Draw = Callable[[np.random.Generator, int], Array]


def judged(kind: str, reference: Array, candidate: Array) -> Judgement:
    return BY_KIND[kind](measure(reference, candidate), reference, candidate)


@pytest.mark.parametrize(
    ("reference", "candidate", "verdict"),
    [
        ([1e-6, 5e-4], [1e-6, 5e-4], SAME_FUNCTION),
        ([1e-6, 5e-4], [1e-6, 5e-4 * (1 + 1e-13)], SAME_FUNCTION),
        ([1e-6, 5e-4], [1e-6 * (1 + 1e-9), 5e-4], DIVERGENCE),
        ([0.0, 5e-4], [1e-30, 5e-4], DIVERGENCE),
    ],
)
def test_settings_must_be_equal_in_each_element(
    reference: list[float], candidate: list[float], verdict: Verdict
) -> None:
    assert judged("setting", np.array(reference), np.array(candidate)).verdict == verdict


@pytest.mark.parametrize(
    ("candidate", "verdict"),
    [
        ([1e-3, 5e-4], ROUNDING),
        ([1e-3, 5e-4 * (1 + 5e-7)], ROUNDING),  # it is made of the first, which is as far from its own float32
        ([1e-3 * (1 + 5e-7), 5e-4], DIVERGENCE),
        ([1e-3, 5e-4 * (1 + 2e-6)], DIVERGENCE),
    ],
)
def test_settings_that_a_framework_keeps_in_float32_are_equal_to_its_rounding(
    candidate: list[float], verdict: Verdict
) -> None:
    reference, kept = np.array([1e-3, 5e-4]), np.array(candidate, np.float32)
    judgement = BY_KIND["setting"](measure(reference, kept, mixed=True), reference, kept)
    assert judgement.verdict == verdict


def test_a_wrong_setting_is_named_with_its_place() -> None:
    rates = np.array([[1e-6, 1e-6], [1e-4, 1e-4]])
    wrong = rates.copy()
    wrong[1, 0] = 2e-4
    reason = judged("setting", rates, wrong).reason
    assert reason == "1 of 4 differ, the first at [1, 0]: 0.0001 in the reference, 0.0002 in the candidate"


def test_pictures_may_be_off_by_the_last_digit_only() -> None:
    picture = np.random.default_rng(0).standard_normal((3, 8, 8), np.float32)
    assert judged("picture", picture, picture.copy()).verdict == SAME_FUNCTION
    assert judged("picture", picture, np.nextafter(picture, np.float32(9))).verdict == ROUNDING
    wrong = picture.copy()
    wrong[1, 2, 3] += 2e-4
    judgement = judged("picture", picture, wrong)
    assert judgement.verdict == DIVERGENCE
    assert "[1, 2, 3]" in judgement.reason


def uniform(generator: np.random.Generator, size: int) -> Array:
    return generator.uniform(-0.1, 0.1, size)


def normal(generator: np.random.Generator, size: int) -> Array:
    return generator.normal(0, 0.02, size)


def skewed(generator: np.random.Generator, size: int) -> Array:
    return generator.gamma(2.0, 1.0, size)


@pytest.mark.parametrize("draw", [uniform, normal, skewed])
@pytest.mark.parametrize("size", [40, 640, 32768])
def test_samples_of_equal_distributions_pass(draw: Draw, size: int) -> None:
    for seed in range(200 if size < 1000 else 20):
        one, other = (np.sort(draw(np.random.default_rng((seed, side)), size)) for side in (0, 1))
        assert judged("sample", one, other).verdict == ROUNDING, seed


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda sample: sample * 1.1, "deviation"),
        (lambda sample: sample + 0.01, "mean"),
        (lambda sample: np.clip(sample, -0.09, 0.09), "beyond all"),
        (lambda sample: np.sign(sample) * 0.1 * (np.abs(sample) / 0.1) ** 1.2, "Kolmogorov-Smirnov"),
        (lambda sample: np.zeros_like(sample), "0 everywhere in the candidate"),
    ],
)
def test_other_distribution_is_a_divergence_that_names_the_difference(
    change: Callable[[Array], Array], word: str
) -> None:
    one, other = (np.sort(uniform(np.random.default_rng(side), 16384)) for side in (0, 1))
    judgement = judged("sample", one, change(other))
    assert judgement.verdict == DIVERGENCE
    assert word in judgement.reason


def test_constant_tensors_must_be_equal() -> None:
    ones = np.ones(64)
    assert judged("sample", ones, ones.copy()).verdict == SAME_FUNCTION
    assert judged("sample", ones, ones * 0).verdict == DIVERGENCE
