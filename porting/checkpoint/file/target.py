"""A target's name: what may stand there, how a finished draft takes its place, and what the system says against it."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from porting.errors import CheckpointError, TargetExistsError

_DRAFTS: set[Path] = set()


@contextlib.contextmanager
def drafted(draft: Path) -> Iterator[None]:
    """A draft that is there while this lasts, and removed at the end if it still is."""
    _DRAFTS.add(draft)
    try:
        yield
    finally:
        draft.unlink(missing_ok=True)
        _DRAFTS.discard(draft)


def remove_drafts() -> None:
    """Removes all drafts that are there, for a process that is about to end."""
    for draft in tuple(_DRAFTS):
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)


@contextlib.contextmanager
def os_errors(path: Path) -> Iterator[None]:
    """Turns errors of the system into one that names the target and the remedy."""
    try:
        yield
    except OSError as error:
        raise cannot_write(path, error) from error


def check_target(path: Path, *, overwrite: bool) -> os.stat_result | None:
    """What is to be replaced, None when nothing is there.

    Raises:
        TargetExistsError: The target is there and `overwrite` is false.
        CheckpointError: It could not be written, as far as can be told without doing so.
    """
    try:
        found = path.lstat()
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise CheckpointError(path, f"there is no folder {path.parent}; create it first (mkdir -p)") from None
        return None
    except NotADirectoryError:
        raise CheckpointError(path, f"{path.parent} is no folder; choose another target") from None
    except OSError as error:
        raise cannot_write(path, error) from error
    if not stat.S_ISREG(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "a link" if path.is_symlink() else "no regular file"
        raise CheckpointError(path, f"is {kind}, which is never replaced; name a file")
    if not overwrite:
        raise TargetExistsError(path, "already exists; use --force to replace it, or choose another target")
    return found


def prepare_to_replace(draft: int, replaced: os.stat_result) -> None:
    """Gives the draft the permissions of the file that it replaces, and sees it to the disk."""
    os.fchmod(draft, stat.S_IMODE(replaced.st_mode))
    os.fsync(draft)


def flush_folder(folder: Path) -> None:
    """Sees a folder's entries to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def publish(draft: Path, path: Path, *, overwrite: bool) -> None:
    """Gives a draft the target's name.

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
    errno.EFBIG: "the file is larger than the system allows (ulimit -f); choose another target",
    errno.EACCES: "the folder may not be written; check its permissions",
    errno.EPERM: "the folder may not be written; check its permissions",
    errno.EROFS: "the file system is read-only; choose another target",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
}


def cannot_write(path: Path, error: OSError) -> CheckpointError:
    """The error for a target that the system does not let us write."""
    reason = _REASONS.get(error.errno or 0, error.strerror or str(error))
    return CheckpointError(path, f"cannot be written: {reason}. What was there before is untouched")
