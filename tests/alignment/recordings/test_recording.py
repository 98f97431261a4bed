"""Recordings: exact for every dtype, atomic, lazy, and strict about what they read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from alignment.errors import AlignmentError, FileError
from alignment.recordings.recording import (
    ARRAYS_FILE,
    MANIFEST_FILE,
    Entry,
    Manifest,
    Recorder,
    open_recording,
    read_manifest,
)

OUTPUT = Entry("output", "forward")
MANIFEST = Manifest(backend="torch", dtype="float32", role="reference", model="pit_ti", steps=("forward",))
DTYPES = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", ml_dtypes.bfloat16),
)


def record(directory: Path, **arrays: Any) -> Path:
    recorder = Recorder()
    for name, array in arrays.items():
        recorder.add(f"forward/{name}", np.asarray(array), OUTPUT)
    recorder.write(directory, MANIFEST).close()
    return directory


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 4), (2, 0, 3)])
def test_every_dtype_and_shape_survives_exactly(tmp_path: Path, dtype: Any, shape: tuple[int, ...]) -> None:
    array = (np.arange(np.prod(shape, dtype=int)).reshape(shape) % 2 + 1).astype(dtype)
    with open_recording(record(tmp_path / "r", x=array)) as recording:
        back = recording["forward/x"]
    assert back.dtype == array.dtype
    assert back.shape == shape
    assert back.tobytes() == array.tobytes()


def test_mixed_dtypes_strides_and_byte_orders_in_one_file(tmp_path: Path) -> None:
    arrays = {"a": np.array([True]), "b": np.arange(12.0).reshape(3, 4).T, "c": np.arange(3, dtype=">f4")}
    with open_recording(record(tmp_path / "r", **arrays)) as recording:
        for name, array in arrays.items():
            np.testing.assert_array_equal(recording[f"forward/{name}"], array)


def test_manifest_is_read_as_it_was_written(tmp_path: Path) -> None:
    manifest = Manifest(
        backend="paddle",
        dtype="float64",
        role="candidate",
        model="pit_b",
        device="gpu",
        steps=("forward", "bp"),
        batch_size=4,
        seeds={"weights": 1},
        threads=2,
        versions={"paddle": "3.3.1"},
        flags={"tf32": False, "level": 3, "mode": "x"},
        digests={"inputs": "ab"},
        command="pit-align",
        python="/usr/bin/p",
        created="2026-01-01T00:00:00+00:00",
    )
    recorder = Recorder()
    recorder.add("bp/loss_0", np.float32(1.5).reshape(()), Entry("loss", "bp"))
    recorder.annotate("bp/loss_0", spread=1e-7, spread_max=2e-7)
    recorder.add("bp/top5", np.arange(5), Entry("ranking", "bp", scores="bp/loss_0"))
    with recorder.write(tmp_path / "r", manifest) as recording:
        assert list(recording) == ["bp/loss_0", "bp/top5"]
        assert recording.manifest.entries["bp/loss_0"] == Entry("loss", "bp", None, 1e-7, 2e-7)
    assert read_manifest(tmp_path / "r") == recording.manifest
    assert recording.manifest.flags == {"tf32": False, "level": 3, "mode": "x"}
    assert recording.manifest.flags["tf32"] is False


def test_a_later_change_of_the_array_is_not_recorded(tmp_path: Path) -> None:
    array = np.ones(3)
    recorder = Recorder()
    recorder.add("forward/x", array, OUTPUT)
    array[:] = 7
    np.testing.assert_array_equal(recorder.get("forward/x"), np.ones(3))
    with recorder.write(tmp_path / "r", MANIFEST) as recording:
        np.testing.assert_array_equal(recording["forward/x"], np.ones(3))


def test_a_recorder_that_outgrows_memory_spools_to_disk(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    large = np.arange(5_000_000, dtype=np.float64)
    recorder.add("forward/large", large, OUTPUT)
    recorder.add("forward/small", np.ones(2), OUTPUT)
    np.testing.assert_array_equal(recorder.get("forward/large"), large)
    with recorder.write(tmp_path / "r", MANIFEST) as recording:
        np.testing.assert_array_equal(recording["forward/large"], large)
        np.testing.assert_array_equal(recording["forward/small"], np.ones(2))


@pytest.mark.parametrize(
    ("key", "array", "message"),
    [
        ("forward/x", np.ones(1), "forward/x: recorded twice"),
        ("bp/x", np.ones(1), "bp/x: the key of a quantity of step 'forward' must start with 'forward/'"),
        ("forward/y", np.array([None]), "forward/y: dtype object cannot be recorded"),
        ("forward/y", np.array(["a"]), "forward/y: dtype <U1 cannot be recorded"),
        ("forward/y", np.ones(1, complex), "forward/y: dtype complex128 cannot be recorded"),
        ("forward/y", [1.0], "forward/y: expected a NumPy array, found list"),
    ],
)
def test_array_that_cannot_be_recorded_is_refused(key: str, array: Any, message: str) -> None:
    recorder = Recorder()
    recorder.add("forward/x", np.ones(1), OUTPUT)
    with pytest.raises(AlignmentError, match=message):
        recorder.add(key, array, OUTPUT)


def test_recording_is_replaced_whole_and_other_folders_are_refused(tmp_path: Path) -> None:
    record(tmp_path / "r", old=1.0)
    record(tmp_path / "r", new=2.0)
    assert list(open_recording(tmp_path / "r")) == ["forward/new"]
    assert [item.name for item in tmp_path.iterdir()] == ["r"]
    (tmp_path / "r" / "notes.txt").write_text("mine")
    with pytest.raises(FileError, match=r"holds 'notes.txt', which is no part of a recording"):
        record(tmp_path / "r", newer=3.0)
    assert list(open_recording(tmp_path / "r")) == ["forward/new"]
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="is no directory"):
        record(tmp_path / "file", x=1.0)


def test_an_interrupted_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record(tmp_path / "r", old=1.0)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfileobj", full)
    with pytest.raises(FileError, match="No space left on device"):
        record(tmp_path / "r", new=2.0)
    assert list(open_recording(tmp_path / "r")) == ["forward/old"]
    assert [item.name for item in tmp_path.iterdir()] == ["r"]


def edit(path: Path, **changes: Any) -> None:
    value = json.loads((path / MANIFEST_FILE).read_text())
    value.update(changes)
    (path / MANIFEST_FILE).write_text(json.dumps({k: v for k, v in value.items() if v is not ...}, default=str))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 2}, "format version 2, this version reads 1"),
        ({"format_version": ...}, "format version None"),
        ({"backend": ...}, "field 'backend' is missing"),
        ({"thread": 1}, "thread: unknown field; did you mean 'threads'"),
        ({"steps": "forward"}, "steps: expected a list, found 'forward'"),
        ({"seeds": {"a": 1.5}}, "seeds.a: expected an integer, found 1.5"),
        ({"threads": True}, "threads: expected an integer, found True"),
        ({"entries": {"forward/x": {"kind": "outptu", "step": "forward"}}}, "entries.forward/x.kind: .*'output'"),
        ({"entries": {}}, "do not belong together"),
    ],
)
def test_a_manifest_that_is_not_valid_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = record(tmp_path / "r", x=1.0)
    edit(path, **changes)
    with pytest.raises(FileError, match=message):
        open_recording(path)


def test_damaged_recording_is_refused_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"none.*no recording here"):
        open_recording(tmp_path / "none")
    path = record(tmp_path / "r", x=np.ones(100))
    arrays = (path / ARRAYS_FILE).read_bytes()
    (path / ARRAYS_FILE).write_bytes(arrays[:-8])
    with pytest.raises(FileError, match="damaged"):
        open_recording(path)
    (path / ARRAYS_FILE).unlink()
    with pytest.raises(FileError, match=r"there is no such file.*or record this side again"):
        open_recording(path)
    (path / MANIFEST_FILE).write_text("<html>")
    with pytest.raises(FileError, match="not valid JSON"):
        open_recording(path)


def test_missing_key_and_closed_recording_raise(tmp_path: Path) -> None:
    recording = open_recording(record(tmp_path / "r", x=1.0))
    assert "forward/y" not in recording
    with pytest.raises(KeyError):
        recording["forward/y"]
    recording.close()
    with pytest.raises(AlignmentError, match="after the recording was closed"):
        recording["forward/x"]
