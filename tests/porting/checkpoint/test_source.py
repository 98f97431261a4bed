"""Stretches of a file: read into buffers that are used again, or viewed."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from porting.checkpoint import source as sources
from porting.checkpoint.buffers import SMALL, UNIT, Buffers
from porting.checkpoint.source import Source
from porting.errors import CheckpointError

DATA = np.random.default_rng(0).integers(0, 256, 1 << 20, np.uint8)
SIZE = 1 << 16


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Source]:
    path = tmp_path / "a.bin"
    path.write_bytes(DATA.tobytes())
    os.utime(path, ns=(0, 0))  # so that a change shows, however coarse the system's clock is
    with Source.open(path) as opened:
        yield opened


@pytest.mark.parametrize("length", [0, 1, 4095, 4096, SIZE, len(DATA)])
@pytest.mark.parametrize("most", [1, 1 << 30])
def test_stretches_are_the_files(source: Source, length: int, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_READ", range(1, most))
    for offset in (0, (len(DATA) - length) // 2, len(DATA) - length):
        found = source.array(offset, length)
        assert not found.flags.writeable
        np.testing.assert_array_equal(found, DATA[offset : offset + length])


def test_arrays_in_use_keep_their_content(source: Source) -> None:
    kept = [source.array(at * SIZE, SIZE) for at in range(5)]
    part = source.array(5 * SIZE, SIZE)[10:].view()
    gc.collect()
    for at in (6, 7, 8):
        source.array(at * SIZE, SIZE)
    for at, array in enumerate(kept):
        np.testing.assert_array_equal(array, DATA[at * SIZE : (at + 1) * SIZE])
    np.testing.assert_array_equal(part, DATA[5 * SIZE + 10 : 6 * SIZE])


def test_what_is_there_already_is_not_read_again(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    address = source.array(0, SIZE).ctypes.data
    monkeypatch.setattr(os, "preadv", lambda *_: pytest.fail("the file was read again"))
    assert source.array(0, SIZE).ctypes.data == address


def test_memory_is_used_again(source: Source) -> None:
    address = source.array(0, SIZE).ctypes.data
    assert source.array(3 * SIZE, SIZE - 5000).ctypes.data == address
    np.testing.assert_array_equal(source.array(7, SIZE - 1), DATA[7 : SIZE + 6])


def test_memory_that_is_used_again_is_in_use_once(source: Source) -> None:
    source.array(0, SIZE)
    arrays = [source.array(at * SIZE, SIZE) for at in (1, 2, 3)]
    for at, array in zip((1, 2, 3), arrays, strict=True):
        np.testing.assert_array_equal(array, DATA[at * SIZE : (at + 1) * SIZE])


def test_a_file_that_shrinks_while_it_is_read(source: Source) -> None:
    os.truncate(source.path, SIZE + 5000)
    with pytest.raises(CheckpointError, match=f"has become shorter while it was read: it ends at byte {SIZE + 5000}"):
        source.array(SIZE, SIZE)


def test_an_error_of_the_disk_is_one_of_the_file(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "preadv", fail)
    with pytest.raises(CheckpointError, match=r"a\.bin: cannot be read: Input/output error"):
        source.array(0, SIZE)
    monkeypatch.undo()
    np.testing.assert_array_equal(source.array(0, SIZE), DATA[:SIZE])


def test_closing_twice_and_using_afterwards(source: Source) -> None:
    kept = source.array(0, SIZE)
    source.close()
    source.close()
    np.testing.assert_array_equal(kept, DATA[:SIZE])


def test_a_stretch_in_use_is_not_read_again(source: Source) -> None:
    first = source.array(0, SIZE)
    assert source.array(0, SIZE) is first
    assert source.array(0, SIZE - 1) is not first


def test_few_buffers_are_kept() -> None:
    large = 2 * UNIT
    buffers = Buffers(2 * large)
    taken = [buffers.take(0, large), buffers.take(large, large), buffers.take(2 * large, 10)]
    assert [each.memory.size for each in taken] == [large, large, SMALL]
    for each in reversed(taken):
        buffers.give_back(each)
    assert [each.memory.size for each in buffers._free] == [large, large]
    assert buffers.take(0, 5).memory.size == large
    assert buffers.take(0, large + 1).memory.size == large + UNIT
    assert not buffers._free


@pytest.mark.parametrize("change", ["write", "append", "touch"])
def test_a_file_that_is_written_to_while_it_is_read(change: str, source: Source) -> None:
    source.array(0, SIZE)
    path = Path(source.path)
    if change == "touch":
        os.utime(path, ns=(1, 1))
    else:
        with path.open("r+b" if change == "write" else "ab") as file:
            file.write(b"new")
    with pytest.raises(CheckpointError, match=r"has been written to while it was read; wait until it is complete"):
        source.array(SIZE, SIZE)
