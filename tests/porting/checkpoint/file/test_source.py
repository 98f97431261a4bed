"""Stretches of a file: read where they are small, views of the mapped file where they are large."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from porting.checkpoint.file import source as sources
from porting.checkpoint.file.source import Source, is_cached
from porting.errors import CheckpointError

DATA = np.random.default_rng(0).integers(0, 256, 1 << 20, np.uint8)
SIZE, LARGE = 1 << 16, 1 << 18


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Source]:
    path = tmp_path / "a.bin"
    path.write_bytes(DATA.tobytes())
    os.utime(path, ns=(0, 0))  # so that a change shows, however coarse the system's clock is
    with Source.open(path) as opened:
        yield opened


@pytest.mark.parametrize("length", [0, 1, 4095, 4096, 4097, SIZE, LARGE, len(DATA)])
@pytest.mark.parametrize("ahead", [True, False])
@pytest.mark.parametrize("in_memory", [True, False])
def test_array_and_read_return_the_bytes_of_the_file(
    source: Source, length: int, ahead: bool, in_memory: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "is_cached", lambda *_: in_memory)
    with Source.open(Path(source.path), ahead=ahead) as opened:
        for offset in (0, (len(DATA) - length) // 2, len(DATA) - length):
            array = opened.array(offset, length)
            assert not array.flags.writeable
            np.testing.assert_array_equal(array, DATA[offset : offset + length])
            assert opened.read(offset, length) == DATA[offset : offset + length].tobytes()
            del array


def test_views_in_any_order(source: Source) -> None:
    for offset, length in [(0, 10), (4090, 10), (4, 4092), (5, 4092), (len(DATA) - 3, 3), (0, 0), (9, 5000), (8, 1)]:
        assert source.view(offset, length) == DATA[offset : offset + length].data


def test_windows(source: Source) -> None:
    for opened in (source, Source("bytes", DATA.tobytes())):
        for offset in (0, 5, 5000, len(DATA) - 1):
            start, window = opened.window(offset)
            assert start <= offset < start + len(window)
            assert window == DATA[start : start + len(window)].data


def test_arrays_in_use_keep_their_content(source: Source) -> None:
    kept = [source.array(at * LARGE, LARGE) for at in range(3)]
    part = source.array(3 * LARGE, LARGE)[10:].view()
    source.array(0, LARGE)
    source.close()
    for at, array in enumerate(kept):
        np.testing.assert_array_equal(array, DATA[at * LARGE : (at + 1) * LARGE])
    np.testing.assert_array_equal(part, DATA[3 * LARGE + 10 :])


@pytest.mark.parametrize("length", [10, SIZE, LARGE])
def test_file_that_shrinks_while_read_is_refused(length: int, source: Source) -> None:
    end = 2 * LARGE + length - 1
    os.truncate(source.path, end)
    with pytest.raises(CheckpointError, match=f"has become shorter while it was read: it ends at byte {end}"):
        source.array(2 * LARGE, length)


@pytest.mark.parametrize("length", [10, SIZE, LARGE])
def test_disk_error_names_the_file(length: int, source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> Any:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(sources, "is_cached", lambda *_: False)
    for name in ("pread", "preadv"):
        monkeypatch.setattr(os, name, fail)
    with pytest.raises(CheckpointError, match=r"a\.bin: cannot be read: Input/output error"):
        source.array(LARGE, length)
    monkeypatch.undo()
    np.testing.assert_array_equal(source.array(LARGE, length), DATA[LARGE : LARGE + length])


def test_cached_stretch_is_not_read_ahead(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    with Path(source.path).open("rb") as file:
        if not is_cached(file.fileno(), 0, len(DATA)):
            pytest.skip("the system does not tell what is in memory (cachestat, Linux 6.5)")
    monkeypatch.setattr(os, "preadv", lambda *_: pytest.fail("the file was read"))
    np.testing.assert_array_equal(source.array(5, LARGE), DATA[5 : 5 + LARGE])


def test_stretch_that_is_not_cached_is_read(source: Source) -> None:
    with Path(source.path).open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        if is_cached(file.fileno(), 3 * LARGE, LARGE):
            pytest.skip("this file system keeps everything in memory")
        np.testing.assert_array_equal(source.array(3 * LARGE, LARGE), DATA[3 * LARGE :])


def test_system_without_cachestat_reads_ahead(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_SYSCALL", None)
    with Path(source.path).open("rb") as file:
        assert not is_cached(file.fileno(), 0, 1)
    np.testing.assert_array_equal(source.array(3 * LARGE, LARGE), DATA[3 * LARGE :])


def test_stretch_with_many_views_is_read_once(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_SYSCALL", None)
    source.array(0, LARGE)
    monkeypatch.setattr(os, "preadv", lambda *_: pytest.fail("the file was read again"))
    np.testing.assert_array_equal(source.array(0, LARGE), DATA[:LARGE])


@pytest.mark.parametrize("change", ["write", "append", "touch"])
def test_file_written_to_while_read_is_refused(change: str, source: Source) -> None:
    source.array(0, SIZE)
    source.require_unchanged()
    path = Path(source.path)
    if change == "touch":
        os.utime(path, ns=(1, 1))
    else:
        with path.open("r+b" if change == "write" else "ab") as file:
            file.write(b"new")
    message = r"has been written to while it was read; wait until it is complete"
    for length in (10, SIZE, LARGE):
        with pytest.raises(CheckpointError, match=message):
            source.array(2 * LARGE, length)
    with pytest.raises(CheckpointError, match=message):
        source.require_unchanged()
