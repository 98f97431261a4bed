"""Recordings found on disk and compared, one or a folder of them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from alignment.errors import FileError
from alignment.judging.compare_paths import compare_paths
from alignment.recordings.recording import Entry, Recording
from alignment.results.report import DIVERGENCE, SAME_FUNCTION, WITHIN_TOLERANCE

Run = Callable[..., dict[str, Recording]]


def gather(folder: Path, *sides: dict[str, Recording]) -> Path:
    folder.mkdir(parents=True)
    for side in sides:
        for dtype, recording in side.items():
            (folder / f"{recording.manifest.backend}-{dtype}").symlink_to(recording.path)
    return folder


def test_two_recordings_are_compared(run: Run) -> None:
    reference, candidate = (run(role, dtypes=("float32",))["float32"].path for role in ("reference", "candidate"))
    assert compare_paths(reference, candidate).verdict == WITHIN_TOLERANCE


def test_folders_of_one_side_each_are_compared(run: Run, tmp_path: Path) -> None:
    reference, candidate = gather(tmp_path / "a", run("reference")), gather(tmp_path / "b", run("candidate"))
    assert compare_paths(reference, candidate).verdict == SAME_FUNCTION


def test_folder_of_a_run_compared_with_itself_is_its_two_sides(run: Run, tmp_path: Path) -> None:
    gather(tmp_path / "out" / "recordings", run("reference"), run("candidate"))
    report = compare_paths(tmp_path / "out", tmp_path / "out")
    assert report.verdict == SAME_FUNCTION
    assert report.environments["candidate"]["backend"] == "paddle"


@pytest.mark.parametrize("role", ["reference", "candidate"])
def test_one_recording_as_both_sides_is_refused(run: Run, tmp_path: Path, role: str) -> None:
    folder, same = gather(tmp_path / "a", side := run(role)), gather(tmp_path / "b", side)
    for other in (folder, same, side["float32"].path):
        with pytest.raises(FileError, match=rf"is the {role} on both sides, and equal to itself; name the other side"):
            compare_paths(folder, other)


def test_two_recordings_of_one_role_are_compared_as_two_devices_are(run: Run, tmp_path: Path) -> None:
    on_cpu, on_gpu = gather(tmp_path / "a", run("reference")), gather(tmp_path / "b", run("reference", lost_bias=True))
    assert compare_paths(on_cpu, gather(tmp_path / "c", run("reference"))).verdict == SAME_FUNCTION
    assert compare_paths(on_cpu, on_gpu).verdict == DIVERGENCE


def test_two_recordings_of_one_precision_are_refused(run: Run, tmp_path: Path) -> None:
    folder = gather(tmp_path / "a", run("reference", dtypes=("float32",)))
    (folder / "again").symlink_to(run("reference", 1, dtypes=("float32",))["float32"].path)
    with pytest.raises(FileError, match=r"is in float32, and so is .*; name one of the two"):
        compare_paths(folder, folder)


def test_recording_against_a_reprod_log_file_is_refused(run: Run, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones(3))
    recording = run("reference", dtypes=("float32",))["float32"].path
    with pytest.raises(FileError, match=r"x\.npy: holds no recording"):
        compare_paths(recording, tmp_path / "x.npy")


def test_plain_arrays_are_compared_whatever_their_files_are_called(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    files = [tmp_path / "a" / "forward_torch.npy", tmp_path / "b" / "forward_paddle.npy"]
    for file in files:
        np.save(file, np.ones((4, 10)))
    assert [row.key for row in compare_paths(*files).rows] == ["array"]
    assert compare_paths(*files).verdict == WITHIN_TOLERANCE
    np.save(tmp_path / "b" / "backward.npy", np.ones(3))
    report = compare_paths(tmp_path / "a", tmp_path / "b")
    assert [row.key for row in report.rows] == ["forward/array"]
    assert "left out, since their names tell no step and side: backward.npy" in report.notes


def test_copy_of_a_recording_is_refused_as_the_same_run(tmp_path: Path, write: Callable[..., Recording]) -> None:
    arrays = {"forward/logits": (Entry("output", "forward"), np.ones(3, np.float32))}
    recording = write(arrays, created="2026-01-01T00:00:00+00:00")
    shutil.copytree(recording.path, tmp_path / "copy")
    with pytest.raises(FileError, match=r"is of the same run as .* of 2026-01-01T00:00:00"):
        compare_paths(recording.path, tmp_path / "copy")
    again = write(arrays, created="2026-01-02T00:00:00+00:00")
    assert compare_paths(recording.path, again.path).verdict == WITHIN_TOLERANCE


def test_file_compared_with_itself_is_refused(tmp_path: Path) -> None:
    one, copy = tmp_path / "forward_torch.npy", tmp_path / "copy.npy"
    np.save(one, np.arange(3.0))
    copy.write_bytes(one.read_bytes())
    for path in (one, tmp_path):
        with pytest.raises(FileError, match="stands for both sides, and is equal to itself"):
            compare_paths(path, path)
    assert "equal bit by bit in all 1 results" in " ".join(compare_paths(one, copy).notes)
