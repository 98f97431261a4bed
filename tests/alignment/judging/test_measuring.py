"""Comparing fails closed, is exact on integers, and survives any magnitude."""

from __future__ import annotations

import math
from typing import Any
from unittest import mock

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from alignment.errors import NothingComparedError
from alignment.judging import meter
from alignment.judging.judge import judge_arrays
from alignment.judging.measuring import Measurement, compare, measure
from alignment.results.report import DIVERGENCE, WITHIN_TOLERANCE
from benchmarks.wrong_arrays import RIGHT_PAIRS, WRONG_PAIRS, changed

REASONS = {
    "nan in the port only": "1 NaN in the candidate",
    "nan in both beside a 1e9 error": "1 NaN in the reference, 1 NaN in the candidate",
    "nan everywhere": "8 NaN in the reference",
    "inf in both beside an error of 99": "1 infinite in the reference, 1 infinite in the candidate",
    "transposed": r"shape \(4, 6\).*\(6, 4\).*transposed",
    "broadcast": r"shape \(1, 6\) .*\(8, 6\)",
    "scalar against vector": r"shape \(\) .*\(5,\)",
    "rows permuted": "times what rtol",
    "one error in 1.5 million": r"worst at \[777\]",
    "0.9 off in one of 10000": r"worst at \[5\]",
    "lost gradient": "times what rtol",
    "int8 wraps": "-64 in the reference, 64 in",
    "int64 wraps": "must be equal",
    "float64 against float16": "dtype float64 .* float16",
    "key missing": "missing from the candidate; the nearest key there is 'x2'",
    "key extra": "missing from the reference",
}


def equal(measured: Measurement) -> bool:
    return measured.problem is None and measured.count > 0 and measured.differing == 0


def test_every_wrong_pair_has_its_reason() -> None:
    assert set(REASONS) | {"both files empty"} == set(WRONG_PAIRS)


@pytest.mark.parametrize("name", REASONS)
def test_every_wrong_pair_is_a_divergence_with_its_reason(name: str) -> None:
    report = judge_arrays(*WRONG_PAIRS[name])
    assert report.verdict == DIVERGENCE
    (failure,) = report.failures
    assert failure.key == "x"
    with pytest.raises(AssertionError, match=REASONS[name]):
        raise AssertionError(failure.reason)


def test_two_empty_files_compare_nothing() -> None:
    with pytest.raises(NothingComparedError, match="neither side holds a single array"):
        compare({}, {})
    with pytest.raises(NothingComparedError):
        judge_arrays(*WRONG_PAIRS["both files empty"])
    assert "no elements" in str(compare({"x": np.ones((0, 3))}, {"x": np.ones((0, 3))})["x"].problem)


@pytest.mark.parametrize(
    "dtype", ["bool", "int8", "int64", "uint64", "float16", ml_dtypes.bfloat16, "float32", "float64"]
)
@pytest.mark.parametrize("shape", [(), (5,), (2, 3)])
def test_equal_arrays_pass_in_every_dtype(dtype: Any, shape: tuple[int, ...]) -> None:
    array = np.ones(shape, dtype)
    measured = measure(array, array.copy())
    assert equal(measured)
    assert (measured.max_abs, measured.l2, measured.rel_l2, measured.worst) == (0, 0, 0, None)
    assert judge_arrays({"x": array}, {"x": array}).verdict == WITHIN_TOLERANCE


@pytest.mark.parametrize("name", RIGHT_PAIRS)
def test_arrays_that_differ_by_rounding_pass(name: str) -> None:
    assert judge_arrays(*RIGHT_PAIRS[name]).verdict == WITHIN_TOLERANCE


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("sides", [(1, 0), (0, 1), (1, 1)])
@pytest.mark.parametrize("dtype", ["float16", ml_dtypes.bfloat16, "float32", "float64"])
def test_non_finite_values_always_fail(bad: float, sides: tuple[int, int], dtype: Any) -> None:
    arrays = [np.where([False, True, False], bad if side else 1.0, 1.0).astype(dtype) for side in sides]
    measured = measure(*arrays)
    assert measured.problem is not None
    assert "first at [1]" in measured.problem
    assert math.isnan(measured.rel_l2)
    assert not equal(measured)
    assert judge_arrays({"x": arrays[0]}, {"x": arrays[1]}).verdict == DIVERGENCE


def test_non_finite_value_beyond_the_first_block_is_found() -> None:
    array = np.ones(meter.BLOCK * 2 + 5, np.float32)
    measured = measure(array, changed(array, meter.BLOCK * 2 + 1, np.nan))
    assert measured.worst is not None
    assert measured.worst.index == (meter.BLOCK * 2 + 1,)


def test_axes_of_length_one_need_squeeze() -> None:
    reference, candidate = np.ones((4, 1, 6)), np.ones((4, 6))
    assert "--squeeze" in str(measure(reference, candidate).problem)
    assert equal(measure(reference, candidate, squeeze=True))
    assert measure(np.ones((4, 6)), np.ones((6, 4)), squeeze=True).problem is not None
    assert judge_arrays({"x": reference}, {"x": candidate}, squeeze=True).passed


def test_dtypes_that_hold_no_numbers_are_refused() -> None:
    for array in (np.array(["a"]), np.array([None]), np.ones(1, complex)):
        assert "cannot be compared" in str(measure(array, array).problem)


def test_byte_orders_may_differ_and_widths_may_not() -> None:
    assert equal(measure(np.arange(3, dtype=">f4"), np.arange(3, dtype="<f4")))
    assert "dtype int32" in str(measure(np.arange(3, dtype="i4"), np.arange(3, dtype="i8")).problem)


def test_precisions_may_differ_only_with_mixed() -> None:
    reference, candidate = np.array([1.0, 1e-9]), np.array([1.0, 0.0], np.float32)
    assert measure(reference, candidate).problem is not None
    assert measure(reference, candidate, mixed=True).max_abs == 1e-9
    assert measure(np.arange(2), candidate, mixed=True).problem is not None


@pytest.mark.parametrize(
    ("reference", "candidate", "l2", "rel_l2"),
    [
        ([1.7e308, 0.0], [-1.7e308, 0.0], math.inf, 2.0),
        ([1e300, 1e300], [1e300, -1e300], 2e300, math.sqrt(2)),
        ([1.5e308] * 4, [1.4e308] * 4, 2e307, 1 / 15),
        ([5e-324], [1e-323], 5e-324, 1.0),
        ([1.0, 1e-200], [1.0, 2e-200], 1e-200, 1e-200),
        ([0.0], [1e-300], 1e-300, math.inf),
    ],
)
def test_no_magnitude_overflows_or_vanishes(
    reference: list[float], candidate: list[float], l2: float, rel_l2: float
) -> None:
    measured = measure(np.array(reference), np.array(candidate))
    assert measured.l2 == pytest.approx(l2, rel=1e-12, abs=0)
    assert measured.rel_l2 == pytest.approx(rel_l2, rel=1e-12, abs=0)
    assert measured.differing >= 1


FINITE = st.floats(allow_nan=False, allow_infinity=False)
FLOATS = hnp.arrays(np.float64, st.integers(1, 50), elements=FINITE)


@given(st.data())
def test_measuring_is_symmetric_in_the_difference(data: st.DataObject) -> None:
    reference = data.draw(FLOATS)
    candidate = data.draw(hnp.arrays(np.float64, reference.shape, elements=FINITE))
    forth, back = measure(reference, candidate), measure(candidate, reference)
    assert (forth.mean_abs, forth.max_abs, forth.l2) == (back.mean_abs, back.max_abs, back.l2)
    assert forth.differing == back.differing == np.count_nonzero(reference != candidate)


@given(st.data(), st.integers(1, 7))
def test_blocks_equal_the_whole(data: st.DataObject, block: int) -> None:
    reference = data.draw(FLOATS)
    candidate = data.draw(hnp.arrays(np.float64, reference.shape, elements=FINITE))
    whole = measure(reference, candidate)
    with mock.patch.object(meter, "BLOCK", block):
        blocks = measure(reference, candidate)
    for name in ("mean_abs", "max_abs", "l2", "rel_l2", "reference_l2", "reference_max"):
        assert getattr(blocks, name) == pytest.approx(getattr(whole, name), rel=1e-9, abs=0), name
    worst, expected = blocks.worst, whole.worst
    assert (worst is None) == (expected is None)
    if worst is not None and expected is not None:  # another one of as large a difference, up to rounding, will do
        assert abs(worst.difference) == pytest.approx(abs(expected.difference), rel=1e-9, abs=0)


@given(hnp.arrays(np.float64, st.integers(1, 40), elements=st.floats(-1e100, 1e100)), st.data())
def test_norms_are_those_of_the_standard_library(reference: npt.NDArray[np.float64], data: st.DataObject) -> None:
    candidate = data.draw(hnp.arrays(np.float64, reference.shape, elements=st.floats(-1e100, 1e100)))
    measured = measure(reference, candidate)
    assert measured.l2 == pytest.approx(math.hypot(*(reference - candidate)), rel=1e-12, abs=0)
    assert measured.max_abs == np.abs(reference - candidate).max()


@settings(max_examples=200)
@given(st.sampled_from(["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]), st.data())
def test_integers_never_wrap(dtype: str, data: st.DataObject) -> None:
    elements = hnp.from_dtype(np.dtype(dtype))
    reference = data.draw(hnp.arrays(dtype, st.integers(1, 20), elements=elements))
    candidate = data.draw(hnp.arrays(dtype, reference.shape, elements=elements))
    distances = [abs(int(a) - int(b)) for a, b in zip(reference, candidate, strict=True)]
    measured = measure(reference, candidate)
    assert measured.max_abs == float(max(distances))
    assert measured.mean_abs == pytest.approx(sum(distances) / len(distances), rel=1e-12)
    assert measured.differing == sum(distance > 0 for distance in distances)


def test_booleans_are_measured_as_0_and_1() -> None:
    measured = measure(np.array([True, True, False]), np.array([True, False, False]))
    assert (measured.differing, measured.max_abs) == (1, 1)
    assert measured.mean_abs == pytest.approx(1 / 3)


def test_the_worst_element_is_found_in_any_block() -> None:
    reference = np.zeros((3, meter.BLOCK), np.float32)
    candidate = reference.copy()
    candidate[0, 1], candidate[2, 7] = 1, -2
    worst = measure(reference, candidate).worst
    assert worst is not None
    assert (worst.index, worst.reference, worst.candidate) == ((2, 7), 0.0, -2.0)


def test_infinities_at_the_same_places_are_left_out_where_allowed() -> None:
    reference = np.array([[-np.inf, 1.0], [np.inf, 2.0]])
    candidate = reference + np.array([[0.0, 0.0], [0.0, 0.5]])
    assert "2 infinite in the reference" in str(measure(reference, candidate).problem)
    measured = measure(reference, candidate, infinities=True)
    assert (measured.problem, measured.max_abs, measured.count) == (None, 0.5, 4)
    assert measured.worst is not None
    assert measured.worst.index == (1, 1)


@pytest.mark.parametrize(
    "candidate", [[np.inf, 1.0, 2.0], [-np.inf, -np.inf, 2.0], [-np.inf, np.nan, 2.0], [0.0, 1.0, 2.0]]
)
def test_other_infinities_and_nan_are_a_problem_even_where_equal_infinities_are_allowed(candidate: list[float]) -> None:
    assert measure(np.array([-np.inf, 1.0, 2.0]), np.array(candidate), infinities=True).problem is not None


def test_infinities_only_are_nothing_to_compare() -> None:
    assert measure(np.full(3, -np.inf), np.full(3, -np.inf), infinities=True).problem is not None
