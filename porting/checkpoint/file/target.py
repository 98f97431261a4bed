"""The target of a write: what may be there before, room on the disk, the draft, and how that gets its name."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import stat
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from porting.errors import CheckpointError, TargetExistsError

_DRAFTS: set[Path] = set()
_KEEP_SIZE = 1
"""Linux's FALLOC_FL_KEEP_SIZE: the file grows only by what is written."""


@contextlib.contextmanager
def drafted(draft: Path) -> Iterator[None]:
    """Remove the draft at the end, if it still has this name, or in `remove_drafts`."""
    _DRAFTS.add(draft)
    try:
        yield
    finally:
        draft.unlink(missing_ok=True)
        _DRAFTS.discard(draft)


def remove_drafts() -> None:
    """Remove all drafts, for a process that is about to end."""
    for draft in tuple(_DRAFTS):
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)


@contextlib.contextmanager
def os_errors(path: Path) -> Iterator[None]:
    """Turn errors of the system into one that names the target and the remedy."""
    try:
        yield
    except OSError as error:
        raise cannot_write(path, error) from error


def check_target(path: Path, *, overwrite: bool) -> os.stat_result | None:
    """Return the status of the file to be replaced; None if nothing is there.

    Raises:
        TargetExistsError: The target is there and `overwrite` is false.
        CheckpointError: It could not be written, as far as can be told without doing so.
    """
    try:
        status = path.lstat()
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise CheckpointError(path, f"there is no folder {path.parent}; create it first (mkdir -p)") from None
        return None
    except NotADirectoryError:
        raise CheckpointError(path, f"{path.parent} is no folder; choose another target") from None
    except OSError as error:
        raise cannot_write(path, error) from error
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a link" if path.is_symlink() else "no regular file"
        raise CheckpointError(path, f"is {kind}, which is never replaced; name a file")
    if not overwrite:
        raise TargetExistsError(path, "already exists; use --force to replace it, or choose another target")
    return status


_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_LARGEST = 2**63 - 1
"""Bytes of a file of which a system can speak."""


def reserve(descriptor: int, nbytes: int) -> None:
    """Reserve the first bytes of an open file, where the system and the file system can: a full disk is found early.

    This is the system's own call and not `os.posix_fallocate`, which writes zeros where a file system cannot reserve.
    There, what is free has to be enough.

    Raises:
        OSError: There is not that much room on the disk, or within the quota, or no file may be as large.
    """
    if nbytes <= 0:
        return
    call = _fallocate()
    code = errno.EOPNOTSUPP
    if call is not None:
        code = ctypes.get_errno() if call(descriptor, _KEEP_SIZE, 0, min(nbytes, _LARGEST)) else 0
    if code and code not in _NO_ROOM:
        disk = os.fstatvfs(descriptor)
        code = errno.ENOSPC if nbytes > disk.f_bavail * disk.f_frsize else 0
    if code:
        raise OSError(code, os.strerror(code))


@cache
def _fallocate() -> Any:
    """Return fallocate(2), by the name that has sizes of 64 bits everywhere; None where there is none."""
    try:
        call = ctypes.CDLL(None, use_errno=True).fallocate64
    except (AttributeError, OSError):
        return None
    call.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    call.restype = ctypes.c_int
    return call


def prepare_to_replace(draft: int, replaced: os.stat_result) -> None:
    """Give the draft the permissions of the file that it replaces, and flush it to the disk."""
    os.fchmod(draft, stat.S_IMODE(replaced.st_mode))
    os.fsync(draft)


def flush_folder(folder: Path) -> None:
    """Flush a folder's entries to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def publish(draft: Path, path: Path, *, overwrite: bool) -> None:
    """Give a draft the target's name.

    Raises:
        TargetExistsError: Something has appeared there, and `overwrite` is false.
    """
    if overwrite:
        draft.replace(path)
        return
    try:
        # A link never replaces: whoever created the target in the meantime keeps theirs.
        path.hardlink_to(draft)
    except FileExistsError:
        raise TargetExistsError(path, "has just been created by someone else; use --force to replace it") from None
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS):
            raise
        if path.exists():  # a file system without links, such as FAT
            raise TargetExistsError(path, "already exists; use --force to replace it") from None
        draft.rename(path)


_REASONS = {
    errno.ENOSPC: "the disk is full; free some space or choose another target",
    errno.EDQUOT: "the disk quota is used up; free some space or choose another target",
    errno.EFBIG: "the file is larger than its file system, or ulimit -f, allows; choose another target or model",
    errno.EACCES: "the folder may not be written; check its permissions",
    errno.EPERM: "the folder may not be written; check its permissions",
    errno.EROFS: "the file system is read-only; choose another target",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
}


def cannot_write(path: Path, error: OSError) -> CheckpointError:
    """Return the error for a target that the system refuses to write."""
    reason = _REASONS.get(error.errno or 0, error.strerror or str(error))
    return CheckpointError(path, f"cannot be written: {reason}. What was there before is untouched")
