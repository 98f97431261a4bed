"""Limits, floors and tolerances by themselves."""

from __future__ import annotations

import math

import numpy as np
import pytest

from alignment.errors import AlignmentError
from alignment.judging.measuring import measure
from alignment.judging.noise import ROUNDING_LIMIT, Noise, noise_floor
from alignment.judging.tolerance import (
    Override,
    Tolerance,
    Tolerances,
    certify,
    default_tolerance,
    drifting,
    rounding,
    tolerate,
)
from alignment.results.report import DIVERGENCE, ROUNDING, SAME_FUNCTION, WITHIN_TOLERANCE


@pytest.mark.parametrize(
    ("kind", "error", "verdict"),
    [
        ("output", 9e-11, SAME_FUNCTION),
        ("output", 2e-10, DIVERGENCE),
        ("loss", 2e-10, DIVERGENCE),
        ("gradient", 9e-10, SAME_FUNCTION),
        ("gradient", 2e-9, DIVERGENCE),
    ],
)
def test_float64_limit_depends_on_the_kind(kind: str, error: float, verdict: str) -> None:
    reference = np.ones(100)
    assert certify(kind, measure(reference, reference * (1 + error))).verdict == verdict


def test_the_floor_is_the_largest_of_error_spread_and_one_ulp() -> None:
    reference = np.full(100, 2.0)
    exact = measure(reference, reference)
    assert noise_floor(exact, None, None).relative == 2.0**-23
    assert noise_floor(exact, 1e-3, 1e-4) == Noise(1e-3, 1e-4, 20.0)
    off = measure(reference, reference + 1e-2)
    assert noise_floor(off, 1e-3, 1e-4).l2 == pytest.approx(0.1)


def test_noise_floor_of_one_element_is_an_ulp_of_the_largest_value() -> None:
    reference = np.array([8.0, *[0.5] * 99])
    assert noise_floor(measure(reference, reference), None, None).max_abs == 8.0 * 2.0**-23


def test_limit_is_wide_for_a_scalar_and_narrow_for_many_elements() -> None:
    assert Noise(1e-6, 1e-6, 1).limit == 16 * ROUNDING_LIMIT
    assert Noise(1e-6, 1e-6, 1).uncertain
    assert Noise(1e-6, 1e-8, 1).limit == pytest.approx(ROUNDING_LIMIT, rel=1e-4)
    assert not Noise(1e-6, 1e-8, 1).uncertain


def test_noise_at_least_grows_both_norms() -> None:
    noise = Noise(1.0, 0.5, 100.0)
    assert noise.at_least(0.001) == noise
    assert noise.at_least(0.1) == Noise(10.0, 5.0, 100.0)


def test_one_wrong_element_among_many_is_seen_by_its_size() -> None:
    draw = np.random.default_rng(0)
    reference = draw.standard_normal(100_000)
    reference32 = (reference + 1e-6 * draw.standard_normal(reference.size)).astype(np.float32)
    candidate32 = (reference + 1e-6 * draw.standard_normal(reference.size)).astype(np.float32)
    floor = noise_floor(measure(reference, reference32, mixed=True), None, None)

    def judged() -> str:
        error = measure(reference, candidate32, mixed=True)
        return rounding(measure(reference32, candidate32), error, floor).verdict

    assert judged() == ROUNDING
    candidate32[17] += 1e-4
    assert measure(reference, candidate32, mixed=True).l2 < ROUNDING_LIMIT * floor.l2
    assert judged() == DIVERGENCE


@pytest.mark.parametrize("size", [1, 2, 5, 30, 1000])
def test_equal_noise_on_both_sides_passes(size: int) -> None:
    """Five thousand draws of one reference error, three perturbations and one candidate error of the same spread."""
    draw = np.random.default_rng(size)
    errors = np.abs(draw.standard_normal((5, 5000 // max(1, size // 50), size)))
    l2, largest = np.sqrt((errors**2).sum(2)), errors.max(2)
    for *noise, candidate in zip(*l2, strict=True):
        at = np.flatnonzero(l2[4] == candidate)[0]
        floor = Noise(max(noise), largest[:4, at].max(), 1.0)
        assert candidate <= floor.limit * floor.l2
        assert largest[4, at] <= floor.allowed_max


def test_tolerances_add_up_and_limit_single_elements() -> None:
    reference = np.ones(10_000)
    assert tolerate(measure(reference, reference + 1e-3), Tolerance(0, 1e-3)).verdict != DIVERGENCE
    assert tolerate(measure(reference, reference + 1e-3), Tolerance(5e-4, 5e-4)).verdict != DIVERGENCE
    single = reference.copy()
    single[3] += 5e-4
    measured = measure(reference, single)
    assert measured.rel_l2 < 1e-5
    assert tolerate(measured, Tolerance(1e-5)).verdict == DIVERGENCE


@pytest.mark.parametrize(("error", "passes"), [(9.9e-3, True), (10.1e-3, False)])
def test_one_element_may_be_off_by_ten_times_the_relative_tolerance(error: float, passes: bool) -> None:
    reference = np.ones(10_000)
    single = reference.copy()
    single[3] += error
    assert (tolerate(measure(reference, single), Tolerance(1e-3)).verdict == WITHIN_TOLERANCE) is passes


@pytest.mark.parametrize(
    ("kind", "dtype", "rtol"),
    [
        ("output", "float32", 1e-5),
        ("gradient", "float32", 1e-4),
        ("loss", "float32", 1e-4),
        ("gradient", "float16", 1e-2),
        ("output", "bfloat16", 5e-2),
        ("output", "float64", 1e-5),
    ],
)
def test_default_tolerance_depends_on_kind_and_dtype(kind: str, dtype: str, rtol: float) -> None:
    assert default_tolerance(kind, dtype) == Tolerance(rtol, 0.0)


@pytest.mark.parametrize(("error", "verdict"), [(7.9e-5, WITHIN_TOLERANCE), (8.1e-5, DIVERGENCE)])
def test_drift_admits_twice_the_limit_of_one_side(error: float, verdict: str) -> None:
    reference = np.ones(10_000)
    judged = drifting(measure(reference, reference + error), spread=1e-3, spread_max=1e-5)
    assert judged.verdict == verdict
    assert judged.margin == pytest.approx(error / 1e-5 / 2)
    single = reference.copy()
    single[3] += 2 * error
    assert drifting(measure(reference, single), spread=1e-3, spread_max=1e-5).verdict == verdict


def test_noise_that_jumps_is_at_least_that_of_its_pass() -> None:
    quiet, loud = Noise(1e-6, 1e-7, 1.0), Noise(1e-2, 1e-4, 1.0)
    assert quiet.jumping(1e-3) == Noise(1e-3, 5e-4, 1.0)
    assert quiet.jumping(1e-3).limit == pytest.approx(11.5)
    assert quiet.jumping(1e-3).allowed_max == pytest.approx(quiet.jumping(1e-3).limit * 1e-3)
    assert loud.jumping(1e-3).l2 == loud.l2


def test_zero_tolerance_is_equality() -> None:
    assert tolerate(measure(np.ones(3), np.ones(3)), Tolerance(0)).verdict != DIVERGENCE
    assert tolerate(measure(np.ones(3), np.nextafter(np.ones(3), 2)), Tolerance(0)).verdict == DIVERGENCE
    assert tolerate(measure(np.zeros(3), np.zeros(3)), Tolerance(1e-5)).verdict != DIVERGENCE
    judged = tolerate(measure(np.zeros(3), np.full(3, 1e-30)), Tolerance(1e-5))
    assert (judged.verdict, judged.margin) == (DIVERGENCE, math.inf)


@pytest.mark.parametrize(
    ("text", "pattern", "value"),
    [("1e-5", "*", 1e-5), ("bp/gradient/*:0", "bp/gradient/*", 0.0), ("a:b:2", "a:b", 2.0), (":3", "*", 3.0)],
)
def test_override_is_read(text: str, pattern: str, value: float) -> None:
    assert Override.parse("rtol", text) == Override("rtol", pattern, value)


@pytest.mark.parametrize("text", ["", "x", "key:", "key:-1", "nan", "inf", "1e-5:key"])
def test_overrides_that_are_no_tolerance_are_refused(text: str) -> None:
    with pytest.raises(AlignmentError, match=r"--atol .*no finite number of 0 or more; expected \[KEY:\]VALUE"):
        Override.parse("atol", text)


def test_the_last_override_that_matches_wins() -> None:
    tolerances = Tolerances.parse(atol=["1e-9"], rtol=["1e-3", "bp/*:1e-4"])
    assert tolerances.of("bp/x", "gradient", "float32") == Tolerance(1e-4, 1e-9)
    assert tolerances.of("forward/x", "output", "float32") == Tolerance(1e-3, 1e-9)
    assert Tolerances().of("x", "output", "float16").rtol > Tolerances().of("x", "output", "float32").rtol
