"""The bytes of a file, bounds-checked, and given back after use.

Tensors are views of the mapped file, so that they need no memory of their own; what is small is read. A stretch that
the system has not in memory yet is read once before it is viewed, so that a disk that fails is an error of the file and
not the end of the process. A file that is written to while it is read is refused.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from reprlib import Repr
from types import TracebackType
from typing import Any, NamedTuple
from weakref import WeakSet, finalize

import numpy as np
import numpy.typing as npt

from porting.checkpoint.file.cached import is_cached
from porting.errors import CheckpointError, UnsafePickleError
from porting.visible import visible

_WINDOW, _SMALL = 1 << 12, 1 << 17
"""Bytes that are read at a time of what stands between tensors, and from which on an array is mapped."""
_UNUSED = bytearray(1 << 18)
"""Takes what is only read to see whether it can be."""

Bytes = npt.NDArray[np.uint8]


class Source:
    """Random access to the bytes of one file.

    Args:
        path: What to call the file in errors.
        buffer: Its bytes.
        file: The descriptor of a mapped file, which is closed with it; without one the mapping alone is used.
    """

    def __init__(self, path: Path | str, buffer: mmap.mmap | bytes, *, file: int | None = None) -> None:
        self.path = path
        self.size = len(buffer)
        self._buffer = buffer
        self._view = memoryview(buffer)
        self._file = file
        self._window = 0, memoryview(b"")
        self._fetched: set[tuple[int, int]] = set()
        self._version = None if file is None else _version(file)
        _OPEN.add(self)

    @classmethod
    def open(cls, path: Path, name: Path | str | None = None, *, ahead: bool = True) -> Source:
        """Maps a regular file, called by its path or another name.

        Args:
            path: The file.
            name: What to call it in errors; its path by default.
            ahead: Whether all of an array is fetched from the disk when it is asked for; else page by page in use.

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
        if self._file is None or length > _WINDOW:
            return self._view[offset : offset + length]
        start, window = self._window
        if not start <= offset <= offset + length <= start + len(window):
            start, window = self.window(offset)
        return window[offset - start : offset - start + length]

    def window(self, offset: int) -> tuple[int, memoryview]:
        """A stretch with this offset in it, for who reads byte by byte: where it starts, and its bytes."""
        if self._file is None:
            return 0, self._view
        found = self._window = offset, self._pread(self._file, offset, min(_WINDOW, self.size - offset))
        return found

    def read(self, offset: int, length: int) -> bytes:
        """A copy of a stretch of the file; bounds as in `view`."""
        return bytes(self.view(offset, length))

    def array(self, offset: int, length: int) -> Bytes:
        """A stretch of the file as a read-only array; its pages are given back to the system when the array is gone.

        Bounds as in `view`.

        Raises:
            CheckpointError: The disk fails, or the file has been written to since it was opened.
        """
        view = self.view(offset, length)
        if self._file is not None and _WINDOW < length < _SMALL:
            view = self._pread(self._file, offset, length)
        array = np.frombuffer(view, np.uint8)
        if length >= _SMALL and isinstance(self._buffer, mmap.mmap):
            if self._file is not None:
                self._fetch(self._file, offset, length)
            finalize(array, self.release, offset, length).atexit = False
        return array

    def _pread(self, file: int, offset: int, length: int) -> memoryview:
        """Reads a stretch, instead of mapping the large pages around it."""
        with self._reading(file):
            return memoryview(os.pread(file, length, offset))

    @contextlib.contextmanager
    def _reading(self, file: int) -> Iterator[None]:
        """Errors of the disk as those of the file, and nothing from a file that has been written to."""
        try:
            yield
        except OSError as error:
            raise self.error(f"cannot be read: {error.strerror or error}") from error
        self._require_unchanged(file)

    def _fetch(self, file: int, offset: int, length: int) -> None:
        """Sees to it that a stretch is in memory: a disk that fails while a page is used would end the process."""
        with self._reading(file):
            if (offset, length) not in self._fetched and not is_cached(file, offset, length):
                for start in range(offset, offset + length, len(_UNUSED)):
                    os.preadv(file, [memoryview(_UNUSED)[: offset + length - start]], start)
                self._fetched.add((offset, length))  # many tensors can be views of one stretch

    def require_unchanged(self) -> None:
        """Checks that nobody has written to the file since it was opened.

        Raises:
            CheckpointError: Somebody has: what was read may be of both contents.
        """
        if self._file is not None:
            self._require_unchanged(self._file)

    def _require_unchanged(self, file: int) -> None:
        found = _version(file)
        if found.size < self.size:
            raise self.error(f"has become shorter while it was read: it ends at byte {found.size}")
        if found != self._version:
            raise self.error("has been written to while it was read; wait until it is complete, and start again")

    def release(self, offset: int = 0, length: int | None = None) -> None:
        """Drops the pages of a stretch from this process; reading them again is always possible."""
        if isinstance(self._buffer, mmap.mmap) and not self._buffer.closed:
            start, end = offset - offset % mmap.PAGESIZE, self.size if length is None else offset + length
            with contextlib.suppress(OSError):  # advice is for memory alone, and kernels know different ones
                self._buffer.madvise(mmap.MADV_DONTNEED, start, end - start)

    def error(self, problem: str, details: Iterable[str] = ()) -> CheckpointError:
        """The error for something wrong with this file."""
        return CheckpointError(self.path, printable(problem), map(printable, details))

    def unsafe(self, problem: str) -> UnsafePickleError:
        """The error for a pickle that asks for more than tensors and plain containers."""
        return UnsafePickleError(self.path, printable(problem))


_OPEN: WeakSet[Source] = WeakSet()


def cut_off() -> CheckpointError | None:
    """The error for the file of which a page could not be had; None where none of the open ones has changed."""
    try:
        for source in tuple(_OPEN):
            source.require_unchanged()
    except CheckpointError as error:
        return error
    return None


class _Version(NamedTuple):
    """What changes when a file is written to."""

    size: int
    modified: int


def _version(file: int) -> _Version:
    found = os.fstat(file)
    return _Version(found.st_size, found.st_mtime_ns)


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
    return visible(text)


_SHORT = Repr()
_SHORT.maxlevel, _SHORT.maxtuple, _SHORT.maxstring, _SHORT.maxother = 2, 4, 80, 80


def shown(value: object) -> str:
    """A value from a file for an error, without ever spelling out all of it: it may stand for gigabytes."""
    return _SHORT.repr(value)


def brief(key: object) -> str:
    """A key from a file as a name."""
    return key[:100] if isinstance(key, str) else shown(key)
