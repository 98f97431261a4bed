"""Whether a stretch of a file is in the system's memory, so that its pages can be used without the disk."""

from __future__ import annotations

import ctypes
import mmap
import sys

_CACHESTAT = 451
"""The number of Linux's cachestat(2), of 6.5, which the C library has no name for; the same on every machine."""
_SYSCALL = ctypes.CDLL(None).syscall if sys.platform == "linux" else None
"""syscall(2), where the number means that."""


class _Range(ctypes.Structure):
    _fields_ = (("offset", ctypes.c_uint64), ("length", ctypes.c_uint64))


class _Pages(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint64) for name in ("cached", "dirty", "written", "evicted", "evicted_lately"))


def is_cached(descriptor: int, offset: int, length: int) -> bool:
    """Whether all of a stretch of an open file is in memory; false where the system does not tell."""
    if _SYSCALL is None:
        return False
    pages = _Pages()
    failed = _SYSCALL(_CACHESTAT, descriptor, ctypes.byref(_Range(offset, length)), ctypes.byref(pages), 0)
    wanted = (offset + length - 1) // mmap.PAGESIZE - offset // mmap.PAGESIZE + 1
    return not failed and pages.cached >= wanted
