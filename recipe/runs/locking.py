"""The lock of a run's folder, which keeps a second run from writing there."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import IO

from recipe.errors import TrainingError


def take(folder: Path) -> IO[str]:
    """Create a folder if it is missing, and return its lock, which holds until the file is closed.

    Raises:
        TrainingError: The folder cannot be written, or another run holds it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    except OSError as error:
        raise TrainingError(f"{folder}: cannot be written ({error.strerror}); set run.output") from error
    try:
        # A record lock belongs to this process only: image workers do not keep it when this one is killed.
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise TrainingError(f"{folder}: another run is writing there; set run.output") from None
    return lock
