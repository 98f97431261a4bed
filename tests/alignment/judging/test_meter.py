"""Long arrays measured in segments: the same numbers on any number of threads, in bounded memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignment.judging import meter
from alignment.judging.measuring import measure
from alignment.judging.meter import BLOCK, SEGMENT, NotFiniteError, metered

SIZE = 3 * SEGMENT + BLOCK + 11


@pytest.fixture(scope="module")
def long_arrays() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    reference = generator.standard_normal(SIZE, np.float32)
    return reference, reference + generator.normal(0, 1e-6, SIZE).astype(np.float32)


def test_number_of_threads_changes_no_number(long_arrays: tuple[np.ndarray, np.ndarray]) -> None:
    measured = []
    for processors in (1, 2, 7):
        with mock.patch.object(os, "sched_getaffinity", lambda _, count=processors: set(range(count))):
            measured.append(measure(*long_arrays))
    assert measured[0] == measured[1] == measured[2]


def test_numbers_are_those_of_numpy(long_arrays: tuple[np.ndarray, np.ndarray]) -> None:
    reference, candidate = (array.astype(np.float64) for array in long_arrays)
    difference = np.abs(reference - candidate)
    measured = measure(*long_arrays)
    assert measured.mean_abs == pytest.approx(difference.mean(), rel=1e-12)
    assert measured.l2 == pytest.approx(np.linalg.norm(difference), rel=1e-12)
    assert measured.reference_l2 == pytest.approx(np.linalg.norm(reference), rel=1e-12)
    assert measured.max_abs == difference.max()
    assert measured.worst is not None
    assert measured.worst.index == (int(difference.argmax()),)
    assert measured.reference_max == np.abs(reference).max()
    assert measured.differing == np.count_nonzero(difference)


@given(st.integers(0, 59), st.integers(1, 9), st.integers(1, 9))
def test_segments_of_any_size_give_the_same_numbers(at: int, segment: int, block: int) -> None:
    reference = np.linspace(-1, 1, 60)
    candidate = reference.copy()
    candidate[at] += 0.5
    with mock.patch.multiple(meter, SEGMENT=segment, BLOCK=block):
        found = metered(reference, candidate)
    assert (found.worst, found.differing) == (at, 1)
    assert found.sum.root() == pytest.approx(0.5)
    assert found.norm.root() == pytest.approx(np.linalg.norm(reference))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("side", [0, 1])
def test_non_finite_value_is_found_in_any_segment(
    long_arrays: tuple[np.ndarray, np.ndarray], value: float, side: int
) -> None:
    arrays = [array.copy() for array in long_arrays]
    arrays[side][SIZE - 3] = value
    with pytest.raises(NotFiniteError):
        metered(*arrays)


def test_squares_beyond_float64_add_up() -> None:
    reference = np.zeros(2 * SEGMENT)
    reference[0], reference[SEGMENT] = 3e200, 4e200
    candidate = np.zeros_like(reference)
    candidate[1] = 1.0
    found = measure(reference, candidate)
    assert found.reference_l2 == pytest.approx(5e200, rel=1e-15)
    assert found.l2 == pytest.approx(5e200, rel=1e-15)
    small = np.zeros(2 * SEGMENT)
    small[0], small[SEGMENT] = 3e-200, 4e-200
    assert measure(small, np.zeros_like(small)).l2 == pytest.approx(5e-200, rel=1e-15)


SCRIPT = """
import resource, sys
import numpy as np
from alignment.judging.measuring import measure
from alignment.recordings.recording import open_recording
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
with open_recording(sys.argv[1]) as one, open_recording(sys.argv[2]) as other:
    before = peak()
    assert measure(one["forward/x"], other["forward/x"]).differing == 0
    print(peak() - before)
"""


def test_memory_does_not_grow_with_the_arrays(tmp_path: Path) -> None:
    from alignment.recordings.recording import Entry, Manifest, Recorder

    for name in ("a", "b"):
        recorder = Recorder(tmp_path)
        recorder.add("forward/x", np.ones(2**26, np.float32), Entry("output", "forward"))
        recorder.write(tmp_path / name, Manifest("torch", "float32", steps=("forward",))).close()
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "a"), str(tmp_path / "b")]
    grown = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert grown < 64, f"two arrays of 256 MiB took {grown:.0f} MiB"
