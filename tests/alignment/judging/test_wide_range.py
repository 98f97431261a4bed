"""Errors of small elements count beside large ones, down to the rounding of what the small ones went through."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alignment.arrays import Array
from alignment.judging.measuring import measure
from alignment.judging.noise import noise_floor, noise_in_float64
from alignment.judging.tolerance import Judgement, certify, rounding
from alignment.judging.wide_range import Magnitudes
from alignment.results.report import DIVERGENCE, ROUNDING, SAME_FUNCTION

LARGE = [-1e9, -1e12, 1e30, -3.4028234663852886e38, 1e250]


def scores(fill: float, seed: int = 0) -> Array:
    """Logits of which every other one is filled in."""
    values = np.random.default_rng(seed).standard_normal((8, 32))
    values[:, ::2] = fill
    return values


def certified(reference: Array, candidate: Array, reference32: Array | None = None) -> Judgement:
    """The judgement in float64, with the noise of a float32 result of the reference."""
    noise = None if reference32 is None else noise_floor(measure(reference, reference32, mixed=True), None, None)
    return certify("output", measure(reference, candidate), noise)


@pytest.mark.parametrize("fill", LARGE[:-1])
def test_error_of_the_small_half_beside_large_entries_diverges_in_both_precisions(fill: float) -> None:
    reference = scores(fill)
    off = 1.0 if fill == -1e12 else 0.01
    candidate = np.where(reference == fill, fill, reference + off)
    single, reference32 = candidate.astype(np.float32), reference.astype(np.float32)
    judged = certified(reference, candidate, reference32)
    assert judged.verdict == DIVERGENCE
    assert "of 256 elements below" in judged.reason
    assert judged.margin is not None
    assert judged.margin > 1
    noise = noise_floor(measure(reference, reference32, mixed=True), None, None)
    error = measure(reference, single, mixed=True)
    assert rounding(measure(reference32, single), error, noise).verdict == DIVERGENCE


@pytest.mark.parametrize("fill", [-1e9, -1e12])
def test_error_of_the_small_half_diverges_without_measured_noise_where_it_exceeds_rounding(fill: float) -> None:
    reference = scores(fill)
    candidate = np.where(reference == fill, fill, reference + (1.0 if fill == -1e12 else 0.01))
    assert certified(reference, candidate).verdict == DIVERGENCE


@pytest.mark.parametrize("fill", LARGE)
def test_rounding_of_small_elements_beside_large_ones_is_the_same_function(fill: float) -> None:
    reference = scores(fill)
    with np.errstate(over="ignore"):
        reference32 = np.where(reference == fill, fill, reference).astype(np.float32)
    if not np.isfinite(reference32).all():
        return
    candidate = reference * (1 + 2e-16 * np.random.default_rng(1).standard_normal(reference.shape))
    assert certified(reference, candidate, reference32).verdict == SAME_FUNCTION
    assert certified(reference, candidate).verdict == SAME_FUNCTION


def test_rounding_of_sums_with_large_numbers_is_no_error() -> None:
    values = np.random.default_rng(0).standard_normal((8, 32))

    def through(order: int, dtype: type[np.floating]) -> Array:
        large = dtype(1e12)
        typed = values.astype(dtype)
        summed = (typed + 2 * large) - 2 * large if order else (typed - large) + large
        return np.where(np.arange(32) % 2 == 0, dtype(-1e12), summed)

    reference, candidate = through(0, np.float64), through(1, np.float64)
    assert not np.array_equal(reference, candidate)
    assert certified(reference, candidate, through(0, np.float32)).verdict == SAME_FUNCTION
    noise = noise_floor(measure(reference, through(0, np.float32), mixed=True), None, None)
    single = through(1, np.float32)
    error = measure(reference, single, mixed=True)
    assert rounding(measure(through(0, np.float32), single), error, noise).verdict == ROUNDING
    off = np.where(np.arange(32) % 2 == 0, candidate, candidate + 1.0)
    assert certified(reference, off, through(0, np.float32)).verdict == DIVERGENCE


def test_part_of_a_gradient_that_is_rounding_only_is_no_error() -> None:
    generator = np.random.default_rng(0)
    fused = generator.standard_normal(96)
    fused[32:64] = 1e-17 * generator.standard_normal(32)  # the bias of a key has no gradient
    candidate, single = fused.copy(), fused.astype(np.float32)
    candidate[32:64] = 3e-16 * generator.standard_normal(32)
    single[32:64] = 1e-8 * generator.standard_normal(32)
    noise = noise_floor(measure(fused, single, mixed=True), None, None)
    assert certify("gradient", measure(fused, candidate), noise).verdict == SAME_FUNCTION
    candidate[32:64] = 1e-9
    assert certify("gradient", measure(fused, candidate), noise).verdict == DIVERGENCE


def test_far_tail_that_cancels_on_one_side_is_no_error() -> None:
    generator = np.random.default_rng(0)
    reference = np.where(generator.random(4096) < 0.3, -1e-18, generator.standard_normal(4096))
    candidate = np.where(reference == -1e-18, -2e-16, reference)
    single = np.where(reference == -1e-18, 0.0, reference).astype(np.float32)
    assert certified(reference, candidate, single).verdict == SAME_FUNCTION


def test_quantity_with_a_limit_of_its_own_is_held_as_a_whole() -> None:
    reference = scores(-1e9)
    candidate = np.where(reference == -1e9, -1e9, reference + 0.01)
    assert certify("output", measure(reference, candidate), limit=1e-6).verdict == SAME_FUNCTION


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["normal", "exponential", "lognormal", "laplace"]), st.booleans())
def test_ordinary_distributions_are_not_accused(seed: int, distribution: str, sparse: bool) -> None:
    generator = np.random.default_rng(seed)
    reference = np.asarray(getattr(generator, distribution)(size=3000))
    reference *= (generator.random(3000) < 0.2) if sparse else 1.0
    scale = np.abs(reference).max()
    candidate = reference + 3e-16 * scale * generator.standard_normal(3000) * (reference != 0)
    single = (reference + 1e-7 * scale * generator.standard_normal(3000) * (reference != 0)).astype(np.float32)
    other = (reference + 1e-7 * scale * generator.standard_normal(3000) * (reference != 0)).astype(np.float32)
    assert certified(reference, candidate, single).verdict == SAME_FUNCTION
    noise = noise_floor(measure(reference, single, mixed=True), None, None)
    assert rounding(measure(single, other), measure(reference, other, mixed=True), noise).verdict == ROUNDING


def test_rests_are_those_that_large_elements_dominate() -> None:
    reference = np.array([1e9, 1.0, 1.5, 0.0])
    rests = [*Magnitudes(reference, reference + np.array([0, 0.5, 0, 0])).rests()]
    assert [(rest.count, rest.of) for rest in rests] == [(1, 4), (3, 4)]
    assert rests[-1].l2 == 0.5
    assert "the 3 of 4 elements below 2" in rests[-1].words
    assert not [*Magnitudes(np.ones(4), np.zeros(4)).rests()]


def test_a_few_elements_far_below_all_others_are_a_rest() -> None:
    reference = np.full(10_000, -1e9)
    reference[:3] = 1.0
    (rest,) = Magnitudes(reference, reference).rests()
    assert rest.count == 3


@pytest.mark.parametrize(("spread", "verdict"), [(None, DIVERGENCE), (4e-16, SAME_FUNCTION)])
def test_element_that_cancels_to_nothing_is_rounding_where_a_perturbation_in_float64_moves_others_so(
    spread: float | None, verdict: str
) -> None:
    reference, candidate = (np.append(np.linspace(1e-3, 2e-3, 7), last) for last in (3e-18, 3e-17))
    measured = measure(reference, candidate)
    noise = None if spread is None else noise_in_float64(measured, spread, spread)
    assert certify("gradient", measured, noise).verdict == verdict


def test_small_part_that_differs_is_accused_beside_what_a_perturbation_in_float64_moves() -> None:
    reference, candidate = (np.append(np.linspace(1.0, 2.0, 7), last) for last in (3e-9, 3.1e-9))
    measured = measure(reference, candidate)
    assert certify("gradient", measured, noise_in_float64(measured, 4e-16, 4e-16)).verdict == DIVERGENCE


def test_element_that_cancels_is_rounding_where_the_noise_of_another_batch_has_none_of_its_size() -> None:
    cancelled = 6e-7
    reference = np.concatenate([np.zeros(64), [cancelled], np.linspace(1.0, 6.0, 63)])
    candidate = np.where(reference == cancelled, cancelled + 4.4e-16, reference)
    another = np.concatenate([np.zeros(64), np.linspace(1.0, 6.0, 64)])
    noise = noise_floor(measure(another, another.astype(np.float32), mixed=True), None, None)
    assert certify("output", measure(reference, candidate), noise).verdict == SAME_FUNCTION
    wrong = np.where(reference == cancelled, cancelled + 4.4e-12, reference)
    assert certify("output", measure(reference, wrong), noise).verdict == DIVERGENCE


@pytest.mark.parametrize(("part", "verdict"), [("all", ROUNDING), ("small", DIVERGENCE), ("large", ROUNDING)])
def test_factor_of_all_elements_within_the_measured_noise_is_no_error_of_the_small_ones(
    part: str, verdict: str
) -> None:
    """1 - 0.999 in float32 is off by 1.3e-5; the noise is that of the reference with the coefficient moved."""
    reference = np.abs(scores(1e4)) * 1e-9
    reference32, large = reference.astype(np.float32), reference > 1e-6
    factor = np.where({"all": large | ~large, "small": ~large, "large": large}[part], 1 + 1.3e-5, 1.0)
    candidate = (reference * factor).astype(np.float32)
    spread = 6e-5 * np.linalg.norm(reference), 6e-5 * reference.max()
    noise = noise_floor(measure(reference, reference32, mixed=True), *(float(one) for one in spread))
    error = measure(reference, candidate, mixed=True)
    judged = rounding(measure(reference32, candidate), error, noise)
    assert judged.verdict == verdict


@pytest.mark.parametrize(("count", "verdict"), [(1, ROUNDING), (12, DIVERGENCE)])
def test_single_small_element_is_not_judged_in_float32_by_one_sample_of_its_noise(count: int, verdict: str) -> None:
    reference = np.concatenate([np.linspace(1.0, 2.0, 132), np.linspace(1e-3, 2e-3, 12)])
    candidate, reference32 = reference.copy(), reference.astype(np.float32)
    candidate[-count:] *= 1 + 2e-4 / count**0.5  # as the update of a key's bias, whose gradient is rounding alone
    noise = noise_floor(measure(reference, reference32, mixed=True), 1e-6, 1e-6)
    single = candidate.astype(np.float32)
    judged = rounding(measure(reference32, single), measure(reference, single, mixed=True), noise)
    assert judged.verdict == verdict
