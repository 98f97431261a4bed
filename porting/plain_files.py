"""Small files that are read whole: regular files of a bounded size, so that no FIFO or device holds a command up."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

LARGEST = 256 * 2**20
"""Largest size in bytes of a report, a manifest or a configuration; those of the largest models take some megabytes."""


def shortened(name: str, largest: int = 200) -> str:
    """Return the beginning of a file name that has this many bytes at most, for names that are made of it."""
    return name.encode("utf-8", "surrogateescape")[:largest].decode("utf-8", "ignore")


def read_plain(path: str | os.PathLike[str], *, largest: int = LARGEST) -> bytes:
    """Return the content of a regular file.

    Args:
        path: The file.
        largest: Largest size in bytes that is read.

    Raises:
        OSError: The file cannot be read, is a FIFO, a device or a folder, or is larger.
    """
    path = Path(path)
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:  # a FIFO opens at once
        status = os.fstat(file.fileno())
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is a FIFO, a device or a socket, expected a regular file", str(path))
        if status.st_size > largest:
            raise OSError(errno.EFBIG, f"it has {status.st_size:,} bytes, at most {largest:,} are read", str(path))
        return file.read()


def read_plain_text(path: str | os.PathLike[str], *, largest: int = LARGEST) -> str:
    """Return the text of a regular file in UTF-8; as `read_plain`.

    Raises:
        OSError: As `read_plain`.
        UnicodeDecodeError: It is no UTF-8.
    """
    return read_plain(path, largest=largest).decode("utf-8")
