"""The bytes of a file, bounds-checked; pages of a mapped file go back to the system after use.

Tensors are views of the mapped file, so that they need no memory of their own; what is small is read. A stretch that
is not in the system's memory yet is read once before it is viewed: a disk that fails is then an error of the file,
while a mapped page that fails would end the process. A file that is written to while it is read is refused.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from reprlib import Repr
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias
from weakref import WeakSet, finalize

import numpy as np

from porting.checkpoint.file.crc import crc32
from porting.errors import CheckpointError, UnsafePickleError
from porting.frozen import Frozen

if TYPE_CHECKING:
    import numpy.typing as npt

_WINDOW, _SMALL = 1 << 12, 1 << 17
"""Bytes that are read at a time of what stands between tensors, and from which on an array is mapped."""
_UNUSED = bytearray(1 << 18)
"""Buffer for what is only read to see whether it can be."""
_STEP = 1 << 24
"""Bytes of which a checksum is computed at a time."""
_MAX_NOTES = 50
_CACHESTAT = 451
"""Number of Linux's cachestat(2), new in 6.5, which the C library has no name for; the same on every processor."""
_SYSCALL = ctypes.CDLL(None).syscall if sys.platform == "linux" else None

Bytes: TypeAlias = "npt.NDArray[np.uint8]"


@dataclass(eq=False, repr=False)
class Span(Frozen):
    """A stretch of a file: `length` bytes from byte `offset` on."""

    offset: int
    length: int

    @property
    def end(self) -> int:
        """The byte after it."""
        return self.offset + self.length


class Source:
    """Random access to the bytes of one file.

    Args:
        path: What to call the file in errors.
        buffer: Its bytes.
        file: The descriptor of a mapped file, which `close` closes; without one the mapping alone is used.
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
        """Map a regular file.

        Args:
            path: The file.
            name: What to call it in errors; its path by default.
            ahead: Read all of an array from the disk when it is asked for; otherwise page by page in use.

        Raises:
            CheckpointError: There is no such file, it is no regular file, it is empty or may not be read.
        """
        name = path if name is None else name
        try:
            if not stat.S_ISREG(path.stat().st_mode):
                kind = "a folder" if path.is_dir() else "no regular file"
                raise CheckpointError(name, f"is {kind}, expected a checkpoint file")
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                buffer = mmap.mmap(file, 0, access=mmap.ACCESS_READ)
            except BaseException:  # Ctrl-C too: the file is closed, and it is raised again
                os.close(file)
                raise
            if not ahead:
                os.close(file)
            return cls(name, buffer, file=file if ahead else None)
        except FileNotFoundError:
            raise CheckpointError(name, "there is no such file; check the path") from None
        except PermissionError:
            raise CheckpointError(name, "may not be read; check its permissions (chmod u+r)") from None
        except ValueError:
            raise CheckpointError(name, "is empty (0 bytes), expected a checkpoint; fetch or save it again") from None
        except OSError as error:
            raise CheckpointError(name, f"cannot be read: {error.strerror or error}") from error

    def __enter__(self) -> Source:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; arrays still in use keep their buffer or mapping until they are gone."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)
        with contextlib.suppress(BufferError):
            self._view.release()
            if isinstance(self._buffer, mmap.mmap):
                self._buffer.close()

    def view(self, offset: int, length: int) -> memoryview:
        """Return a stretch of the file.

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
        """Return where a stretch with this offset in it starts, and its bytes, for reading byte by byte."""
        if self._file is None:
            return 0, self._view
        self._window = offset, self._pread(self._file, offset, min(_WINDOW, self.size - offset))
        return self._window

    def read(self, offset: int, length: int) -> bytes:
        """Return a copy of a stretch of the file; bounds as in `view`."""
        return bytes(self.view(offset, length))

    def array(self, offset: int, length: int) -> Bytes:
        """Return a stretch of the file as a read-only array, whose pages go back to the system when it is gone.

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
        """Read a stretch, instead of mapping the large pages around it."""
        with self._reading(file):
            return memoryview(os.pread(file, length, offset))

    @contextlib.contextmanager
    def _reading(self, file: int) -> Iterator[None]:
        """Turn errors of the disk into errors of the file; refuse a file that has been written to."""
        try:
            yield
        except OSError as error:
            raise self.error(f"cannot be read: {error.strerror or error}") from error
        self._require_unchanged(file)

    def _fetch(self, file: int, offset: int, length: int) -> None:
        """Read a stretch into memory: a disk that fails while a mapped page is used would end the process."""
        with self._reading(file):
            if (offset, length) not in self._fetched and not is_cached(file, offset, length):
                for start in range(offset, offset + length, len(_UNUSED)):
                    os.preadv(file, [memoryview(_UNUSED)[: offset + length - start]], start)
                self._fetched.add((offset, length))  # many tensors can be views of one stretch

    def identity(self) -> str:
        """Return a text that is another one when the file was replaced or written to, even if that was undone since."""
        if self._file is None:
            return f"{self.path} {self.size} bytes, in memory {id(self._buffer)}"
        status = os.fstat(self._file)
        return f"{self.path} {status.st_dev} {status.st_ino} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"

    def is_same(self, path: Path) -> bool:
        """Return True if a path leads to this very file, also by another name; False if nothing is there."""
        if self._file is None:
            return False
        try:
            status, own = path.stat(), os.fstat(self._file)
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == (own.st_dev, own.st_ino)

    def require_unchanged(self) -> None:
        """Check that the file has not been written to since it was opened.

        Raises:
            CheckpointError: It has been: what was read may be of both contents.
        """
        if self._file is not None:
            self._require_unchanged(self._file)

    def _require_unchanged(self, file: int) -> None:
        version = _version(file)
        if version.size < self.size:
            raise self.error(f"has become shorter while it was read: it ends at byte {version.size}")
        if version != self._version:
            raise self.error("has been written to while it was read; wait until it is complete, and start again")

    def release(self, offset: int = 0, length: int | None = None) -> None:
        """Drop the pages of a stretch from this process; reading them again is always possible."""
        if isinstance(self._buffer, mmap.mmap) and not self._buffer.closed:
            start, end = offset - offset % mmap.PAGESIZE, self.size if length is None else offset + length
            with contextlib.suppress(OSError):  # advice is for memory alone, and kernels know different ones
                self._buffer.madvise(mmap.MADV_DONTNEED, start, end - start)

    def error(self, problem: str, details: Iterable[str] = ()) -> CheckpointError:
        """Return the error for something wrong with this file."""
        return CheckpointError(self.path, printable(problem), map(printable, details))

    def unsafe(self, problem: str) -> UnsafePickleError:
        """Return the error for a pickle that asks for more than tensors and plain containers."""
        return UnsafePickleError(self.path, printable(problem))


_OTHER_FILES = 100
"""Files that a process has open beside its sources, with room to spare."""


def allow_open_files(count: int) -> None:
    """Raise this process's limit of open files, where the system lets it, so that so many more can be opened."""
    try:
        import resource
    except ImportError:  # Windows, which has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))


_OPEN: WeakSet[Source] = WeakSet()


def cut_off() -> CheckpointError | None:
    """Return the error for the first open file that has changed; None if none has."""
    try:
        for source in tuple(_OPEN):
            source.require_unchanged()
    except CheckpointError as error:
        return error
    return None


class _Version(NamedTuple):
    """Size and time of the last change in nanoseconds, which change when a file is written to."""

    size: int
    modified: int


def _version(file: int) -> _Version:
    status = os.fstat(file)
    return _Version(status.st_size, status.st_mtime_ns)


class _Pages(ctypes.Structure):
    """`struct cachestat` of Linux: numbers of pages."""

    _fields_ = tuple((name, ctypes.c_uint64) for name in ("cached", "dirty", "written", "evicted", "evicted_lately"))


def is_cached(descriptor: int, offset: int, length: int) -> bool:
    """Return True if all of a stretch of an open file is in memory; False where the system does not tell."""
    if _SYSCALL is None:
        return False
    pages, stretch = _Pages(), (ctypes.c_uint64 * 2)(offset, length)
    failed = _SYSCALL(_CACHESTAT, descriptor, stretch, ctypes.byref(pages), 0)
    wanted = (offset + length - 1) // mmap.PAGESIZE - offset // mmap.PAGESIZE + 1
    return not failed and pages.cached >= wanted


def release_pages(array: npt.NDArray[Any]) -> None:
    """Give the pages of an array, or of a part of one, that a `Source` has mapped back to the system.

    Reading them again is always possible. An array that is not packed gives back the pages between its elements too;
    arrays in other memory are left alone.
    """
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, memoryview) and isinstance(base.obj, mmap.mmap) and array.size:
        low, high = _bounds(array)
        offset = array.ctypes.data + low - np.frombuffer(base.obj, np.uint8).ctypes.data
        start = offset - offset % mmap.PAGESIZE
        with contextlib.suppress(OSError):
            base.obj.madvise(mmap.MADV_DONTNEED, start, offset + high - low - start)


def extent(array: npt.NDArray[Any]) -> int:
    """Return the bytes from the first to the last of an array, those between its elements included."""
    low, high = _bounds(array)
    return high - low if array.size else 0


def _bounds(array: npt.NDArray[Any]) -> tuple[int, int]:
    """Return where the bytes of an array begin and end, from its first element on."""
    reach = [(size - 1) * stride for size, stride in zip(array.shape, array.strides, strict=True)]
    return sum(min(0, step) for step in reach), sum(max(0, step) for step in reach) + array.itemsize


def crc_of(data: Bytes) -> int:
    """Return the CRC-32 of bytes; the pages of a mapped file go back to the system as they are passed."""
    crc = 0
    for start in range(0, len(data), _STEP):
        part = data[start : start + _STEP]
        crc = crc32(part.data, crc)
        if len(data) > _STEP:
            release_pages(part)
    return crc


_LONGEST = 1000


def printable(text: str) -> str:
    """Return text from a file for one line on a terminal: control characters as their escapes, and not too long."""
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 2 :]}"
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def few_notes(notes: list[str]) -> tuple[str, ...]:
    """Return notes on what was left out of a file: printable, the first 50 and how many more there are."""
    more = len(notes) - _MAX_NOTES
    return (*map(printable, notes[:_MAX_NOTES]), *([f"{more} more entries: left out"] if more > 0 else ()))


_SHORT = Repr()
_SHORT.maxlevel, _SHORT.maxtuple, _SHORT.maxstring, _SHORT.maxother = 2, 4, 80, 80


def shown(value: object) -> str:
    """Return a short text of a value from a file; all of it could be gigabytes."""
    return _SHORT.repr(value)


def brief(key: object) -> str:
    """Return a key from a file as a name of at most about 100 characters."""
    return key[:100] if isinstance(key, str) else shown(key)
