"""Large tensors are written by several threads: the same bytes, little memory, and nobody left behind."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from porting import processors
from porting.checkpoint import LazyTensor, write_checkpoint
from porting.checkpoint.file import writer
from porting.checkpoint.file.source import Source
from porting.checkpoint.formats import mindspore
from porting.checkpoint.tensor import Array, Pieces
from porting.errors import CheckpointError

TENSORS = {f"w{index}": LazyTensor.of(np.full((500, 700), index, np.float32)) for index in range(6)}


@pytest.mark.parametrize("threads", [1, 2, 4, 9])
@pytest.mark.parametrize("suffix", ["pdparams", "pth", "safetensors", "npz", "ckpt"])
def test_any_number_of_processors(
    threads: int, suffix: str, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is the same, and what is told is every tensor once."""
    generator, reported = np.random.default_rng(0), []
    arrays = {f"w{index}": generator.standard_normal((100, 10 * index + 1)) for index in range(60)}
    tensors = {name: LazyTensor.of(array if name < "w3" else array.T) for name, array in arrays.items()}
    expected = write_checkpoint(tmp_path / f"expected.{suffix}", tensors)
    monkeypatch.setattr(processors, "available", lambda: threads)
    written = write_checkpoint(
        tmp_path / f"a.{suffix}", tensors, progress=lambda name, nbytes: reported.append((name, nbytes))
    )
    assert written.digest == expected.digest
    assert (tmp_path / f"a.{suffix}").read_bytes() == expected.path.read_bytes()
    assert sorted(reported) == sorted((name, array.nbytes) for name, array in arrays.items())


@pytest.mark.parametrize("shape", [(500, 2100), (500, 700)])
def test_pieces_that_are_not_what_was_announced(shape: tuple[int, int], target: Path) -> None:
    part = np.zeros((500, 700), np.float32)
    joined = LazyTensor(shape, part.dtype, lambda: np.hstack([part] * 3), lambda: Pieces((part,) * 3, 1))
    if shape == (500, 2100):
        assert write_checkpoint(target, {"w": joined}).nbytes > 4_000_000
        return
    with pytest.raises(CheckpointError, match=r"w was announced as float32 \(500, 700\) and came as .* \(500, 2100\)"):
        write_checkpoint(target, {"w": joined})


@pytest.mark.parametrize(
    "other", [np.zeros((500, 700)), np.zeros((500, 700), np.float16), np.zeros((400, 700), np.float32)]
)
@pytest.mark.parametrize("place", [0, 1])
def test_piece_of_another_shape_or_dtype_than_announced_is_refused(other: Array, place: int, target: Path) -> None:
    pieces = [np.zeros((500, 700), np.float32)] * 2
    pieces[place] = other
    joined = LazyTensor((500, 1400), np.dtype("f4"), lambda: np.hstack(pieces), lambda: Pieces(tuple(pieces), 1))
    with pytest.raises(CheckpointError, match=r"w was announced as float32 \(500, 1400\) and came as float"):
        write_checkpoint(target, {"w": joined, **TENSORS})


def test_truncated_source_while_writing_is_an_error_of_the_source(target: Path) -> None:
    """Pages of a mapped file go to the system as they are, which says EFAULT."""
    source, data = target.with_name("kept"), np.zeros((3, 1 << 20), np.float32)
    source.write_bytes(data.tobytes())
    with Source.open(source) as opened:

        def load() -> Array:
            array = opened.array(0, opened.size)
            os.truncate(source, 1 << 20)
            return array.view(np.float32).reshape(data.shape)

        with pytest.raises(CheckpointError, match=rf"{source}: has become shorter while it was read: it ends at byte"):
            write_checkpoint(target, {"w": LazyTensor(data.shape, data.dtype, load)})


SLOW_SCRIPT = """
import os, signal, sys, threading, time
import numpy as np
from porting import processors
from porting.checkpoint import LazyTensor, write_checkpoint
processors.available = lambda: 2
signal.signal(signal.SIGINT, signal.default_int_handler)
ended = threading.Event()
def slow():
    if threading.current_thread() is not threading.main_thread():
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        threading.Timer(0.6, os.kill, (os.getpid(), signal.SIGINT)).start()
        time.sleep(1.2)
        ended.set()
    else:
        time.sleep(0.1)
    return np.zeros((500, 1000), np.float32)
tensors = {name: LazyTensor((500, 1000), np.dtype(np.float32), slow) for name in "ab"}
try:
    write_checkpoint(sys.argv[1], tensors)
except KeyboardInterrupt:
    sys.exit(0 if ended.is_set() else "the thread was still at work")
sys.exit("not interrupted")
"""


def test_control_c_while_a_thread_is_waited_for(target: Path) -> None:
    """Whatever number of times: a thread that is left alone would write to descriptors that are someone else's."""
    done = subprocess.run(
        [sys.executable, "-c", SLOW_SCRIPT, str(target)],
        cwd=Path(writer.__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert not target.exists()


def test_system_without_threads_still_writes(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    monkeypatch.setattr(processors, "available", lambda: 4)
    assert write_checkpoint(target, TENSORS).nbytes > 8_000_000


def test_thread_that_starts_after_the_end_does_nothing(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    late: list[threading.Thread] = []
    monkeypatch.setattr(processors, "available", lambda: 2)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", lambda thread: late.append(thread))
        write_checkpoint(target, TENSORS)
    monkeypatch.setattr(os, "pwrite", lambda *_: pytest.fail("written after the end"))
    (thread,) = late
    thread.start()
    thread.join()


@pytest.mark.parametrize("suffix", ["npz", "safetensors", "pdparams", "ckpt"])
@pytest.mark.parametrize(("mebibytes", "expected"), [(12, {24, 36}), (20, {40}), (26, {26}), (60, {60})])
def test_tensors_in_memory_stay_within_the_limit(
    suffix: str, mebibytes: int, expected: set[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None is read before there is room, however much slower the disk is than the source; a large one is alone.

    All sizes are an eighth of the real ones.
    """
    shape, kept, most, write = (mebibytes, 1 << 15), [0], [0], os.pwrite
    monkeypatch.setattr(processors, "available", lambda: 9)
    monkeypatch.setattr(mindspore, "SLICE", 5 << 17)
    monkeypatch.setattr(writer, "_KEPT", writer._KEPT // 8)

    def slowly(descriptor: int, data: Any, offset: int) -> int:
        time.sleep(0.01)
        return write(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", slowly)

    def gone(nbytes: int) -> None:
        kept[0] -= nbytes

    def load() -> Array:
        array = np.ones(shape, np.float32)
        weakref.finalize(array, gone, array.nbytes)
        kept[0] += array.nbytes
        most[0] = max(most[0], kept[0])
        return array

    tensors = {f"w{index}": LazyTensor(shape, np.dtype(np.float32), load) for index in range(6)}
    write_checkpoint(tmp_path / f"a.{suffix}", tensors)
    assert most[0] >> 17 in expected
