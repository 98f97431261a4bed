"""The bytes of a file, bounds-checked, and given back after use.

The file is mapped. Tensors are read all the same, into buffers that are used again: that is faster than to map the
pages of each and to unmap them. Large ones are views of the mapped pages, so that no tensor needs memory of its own. A
file that is written to while it is read is refused.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from reprlib import Repr
from types import TracebackType
from typing import Any
from weakref import WeakValueDictionary, finalize

import numpy as np
import numpy.typing as npt

from porting.checkpoint.buffers import Buffer, Buffers
from porting.errors import CheckpointError, UnsafePickleError, escaped

_POPULATE_READ = 22
"""Linux's MADV_POPULATE_READ (5.14): maps all pages of a stretch at once, instead of one fault for every few."""

_READ = range(1 << 12, 3 << 23)
"""Lengths of arrays that are read; 24 MiB holds any matrix of PiT and DeiT."""
_KEPT = 5 << 23
"""Bytes of buffers that are kept: some are read into while those before them are still being written elsewhere."""

Bytes = npt.NDArray[np.uint8]


class Source:
    """Random access to the bytes of one file.

    Args:
        path: What to call the file in errors.
        buffer: Its bytes.
        file: The descriptor of a mapped file, which is closed with it; without one nothing is read, only viewed.
    """

    def __init__(self, path: Path | str, buffer: mmap.mmap | bytes, *, file: int | None = None) -> None:
        self.path = path
        self.size = len(buffer)
        self._buffer = buffer
        self._view = memoryview(buffer)
        self._file = file
        self._version = None if file is None else _version(file)
        self._buffers = Buffers(_KEPT)
        self._alive: WeakValueDictionary[tuple[int, int], Bytes] = WeakValueDictionary()

    @classmethod
    def open(cls, path: Path, name: Path | str | None = None, *, ahead: bool = True) -> Source:
        """Maps a regular file, called by its path or another name.

        Args:
            path: The file.
            name: What to call it in errors; its path by default.
            ahead: Whether arrays are about to be read from end to end; else they are views, mapped as they are read.

        Raises:
            CheckpointError: There is no such file, it is no regular file, it is empty or may not be read.
        """
        called = path if name is None else name
        try:
            if not stat.S_ISREG(path.stat().st_mode):
                kind = "a folder" if path.is_dir() else "no regular file"
                raise CheckpointError(called, f"is {kind}, expected a checkpoint file")
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                buffer = mmap.mmap(file, 0, access=mmap.ACCESS_READ)
            except BaseException:
                os.close(file)
                raise
            if not ahead:
                os.close(file)
            return cls(called, buffer, file=file if ahead else None)
        except FileNotFoundError:
            raise CheckpointError(called, "there is no such file; check the path") from None
        except PermissionError:
            raise CheckpointError(called, "may not be read; check its permissions (chmod u+r)") from None
        except ValueError:
            raise CheckpointError(called, "is empty (0 bytes), expected a checkpoint; fetch or save it again") from None
        except OSError as error:
            raise CheckpointError(called, f"cannot be read: {error.strerror or error}") from error

    def __enter__(self) -> Source:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file; arrays still in use keep their buffer or mapping until they are gone."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)
        self._buffers.clear()
        try:
            self._view.release()
            if isinstance(self._buffer, mmap.mmap):
                self._buffer.close()
        except BufferError:
            pass

    def view(self, offset: int, length: int) -> memoryview:
        """A stretch of the file.

        Raises:
            CheckpointError: The stretch reaches beyond the end of the file.
        """
        if not 0 <= offset <= offset + length <= self.size:
            raise self.error(
                f"is truncated or damaged: {length} bytes are expected at byte {offset}, the file ends at {self.size}; "
                "fetch or save it again"
            )
        return self._view[offset : offset + length]

    def read(self, offset: int, length: int) -> bytes:
        """A copy of a stretch of the file; bounds as in `view`."""
        return bytes(self.view(offset, length))

    def array(self, offset: int, length: int) -> Bytes:
        """A stretch of the file as a read-only array; its buffer or its pages are given back when the array is gone.

        Bounds as in `view`.
        """
        view = self.view(offset, length)
        if self._file is not None and length in _READ:
            alive = self._alive.get((offset, length))
            return self._read_into_buffer(self._file, offset, length) if alive is None else alive
        array = np.frombuffer(view, np.uint8)
        if length >= mmap.PAGESIZE and isinstance(self._buffer, mmap.mmap):
            if self._file is not None:
                self._buffers.clear()  # memory for one of both, not for both
                self._advise(_POPULATE_READ, offset, length)
            finalize(array, self.release, offset, length).atexit = False
        return array

    def _read_into_buffer(self, file: int, offset: int, length: int) -> Bytes:
        buffer = self._buffers.take(offset, length)
        array = np.frombuffer(buffer.memory.data.toreadonly()[:length], np.uint8)
        finalize(array, self._buffers.give_back, buffer).atexit = False
        if buffer.stretch != (offset, length):
            self._fill(buffer, file, offset, length)
        self._alive[offset, length] = array
        return array

    def _fill(self, buffer: Buffer, file: int, offset: int, length: int) -> None:
        """Reads a stretch of the file into a buffer."""
        buffer.stretch, done = None, 0
        while done < length:
            try:
                count = os.preadv(file, [buffer.memory.data[done:length]], offset + done)
            except OSError as error:
                raise self.error(f"cannot be read: {error.strerror or error}") from error
            if not count:
                raise self.error(f"has become shorter while it was read: it ends at byte {offset + done}")
            done += count
        if _version(file) != self._version:
            raise self.error("has been written to while it was read; wait until it is complete, and start again")
        buffer.stretch = offset, length

    def release(self, offset: int = 0, length: int | None = None) -> None:
        """Drops the pages of a stretch from this process; reading them again is always possible."""
        self._advise(mmap.MADV_DONTNEED, offset, self.size - offset if length is None else length)

    def _advise(self, advice: int, offset: int, length: int) -> None:
        if isinstance(self._buffer, mmap.mmap) and not self._buffer.closed:
            start = offset - offset % mmap.PAGESIZE
            with contextlib.suppress(OSError):  # advice is for speed and memory alone, and kernels know different ones
                self._buffer.madvise(advice, start, offset + length - start)

    def error(self, problem: str, details: Iterable[str] = ()) -> CheckpointError:
        """The error for something wrong with this file."""
        return CheckpointError(self.path, printable(problem), map(printable, details))

    def unsafe(self, problem: str) -> UnsafePickleError:
        """The error for a pickle that asks for more than tensors and plain containers."""
        return UnsafePickleError(self.path, printable(problem))


def _version(file: int) -> tuple[int, int]:
    """What changes when a file is written to."""
    found = os.fstat(file)
    return found.st_size, found.st_mtime_ns


def release_pages(array: npt.NDArray[Any]) -> None:
    """Gives the pages of an array, or of a part of one, that a `Source` has mapped back to the system.

    Reading them again is always possible. Arrays of other kinds are left alone.
    """
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, memoryview) and isinstance(base.obj, mmap.mmap) and array.flags.c_contiguous:
        offset = array.ctypes.data - np.frombuffer(base.obj, np.uint8).ctypes.data
        start = offset - offset % mmap.PAGESIZE
        with contextlib.suppress(OSError):
            base.obj.madvise(mmap.MADV_DONTNEED, start, offset + array.nbytes - start)


_LONGEST = 1000


def printable(text: str) -> str:
    """Text from a file for one line on a terminal: control characters as their escapes, and not too long."""
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 2 :]}"
    return escaped(text)


_SHORT = Repr()
_SHORT.maxlevel, _SHORT.maxtuple, _SHORT.maxstring, _SHORT.maxother = 2, 4, 80, 80


def shown(value: object) -> str:
    """A value from a file for an error, without ever spelling out all of it: it may stand for gigabytes."""
    return _SHORT.repr(value)


def brief(key: object) -> str:
    """A key from a file as a name."""
    return key[:100] if isinstance(key, str) else shown(key)
