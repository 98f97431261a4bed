"""Room on the disk for a file about to be written: a full disk is found early, and writing is faster."""

from __future__ import annotations

import ctypes
import errno
import os
from functools import cache
from typing import Any

_KEEP_SIZE = 1
"""Linux's FALLOC_FL_KEEP_SIZE: the file grows only by what is written."""
_FATAL = (errno.ENOSPC, errno.EDQUOT)


def reserve(descriptor: int, nbytes: int) -> None:
    """Reserves the first bytes of an open file, where the system and the file system can.

    It is the system's own call and not `os.posix_fallocate`, which writes zeros where a file system cannot reserve.

    Raises:
        OSError: There is not that much room on the disk, or within the quota.
    """
    call = _fallocate() if nbytes > 0 else None
    if call is not None and call(descriptor, _KEEP_SIZE, 0, nbytes):
        code = ctypes.get_errno()
        if code in _FATAL:
            raise OSError(code, os.strerror(code))


@cache
def _fallocate() -> Any:
    """fallocate(2), of which this name has sizes of 64 bits everywhere; None where there is none."""
    try:
        call = ctypes.CDLL(None, use_errno=True).fallocate64
    except (AttributeError, OSError):
        return None
    call.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    call.restype = ctypes.c_int
    return call
