"""The folder of a run in torch or MindSpore: its lock, its states, and a log that resuming cuts to what is done."""

from __future__ import annotations

import json
import os
import resource
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from porting.fields import encode
from recipe.classes import CLASSES
from recipe.config import Config
from recipe.errors import ConfigError, TrainingError
from recipe.runs.locking import take
from recipe.runs.log import read_log
from recipe.runs.resuming import FREE, changed_settings

LOG = "log.jsonl"
_DRAFT = ".part-"
_BLOCK = 2**20
"""Bytes that may be left of a disk or a limit when a framework gives up writing to it."""
_FREE = FREE - {"run.accumulation"}


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the folder of a run against a second one; drafts that a killed one left are removed.

    Raises:
        TrainingError: It cannot be written, or another run is writing there.
    """
    with take(folder):
        for draft in folder.glob(f"{_DRAFT}*"):
            draft.unlink(missing_ok=True)
        yield


def write_classes(folder: Path, classes: Sequence[str]) -> None:
    """Write the names of the classes beside the states, where `predict` finds them; nothing without names."""
    if classes:
        (folder / CLASSES).write_text("".join(f"{name}\n" for name in classes), encoding="utf-8")


def write_state(path: Path, write: Callable[[Path], None]) -> None:
    """Write a file that appears whole or not at all, and that lasts when the machine fails.

    Args:
        path: The file.
        write: Writes it to the path that it is given.

    Raises:
        TrainingError: It cannot be written; what was there before is untouched.
    """
    draft = path.with_name(f"{_DRAFT}{path.name}")
    try:
        write(draft)
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        draft.replace(path)
    except Exception as error:  # frameworks raise errors of their own where a disk is full
        reason = _why_not_written(error, draft)
        raise TrainingError(f"{path}: cannot be written: {reason}. What was there before is untouched") from error
    finally:
        draft.unlink(missing_ok=True)


def _why_not_written(error: Exception, draft: Path) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = draft.stat().st_size if draft.exists() else 0
    if limit != resource.RLIM_INFINITY and size + _BLOCK > limit:
        return "the file is larger than the system allows (ulimit -f)"
    if shutil.disk_usage(draft.parent).free < _BLOCK:
        return "the disk is full"
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"


def log(folder: Path, event: Mapping[str, Any]) -> None:
    """Append an event to the log."""
    with (folder / LOG).open("a", encoding="utf-8") as file:
        file.write(json.dumps(event) + "\n")


def begin_log(folder: Path, config: Config, images: str, epoch: int) -> None:
    """Begin the log of a run, or go on with it: events of epochs that are carried out again are dropped.

    Args:
        folder: Folder of the run.
        config: Its configuration.
        images: Digest of its training images.
        epoch: Number of the epoch that it begins with, from 0.
    """
    kept = [event for event in read_log(folder / LOG) if epoch > 0 and event.get("epoch", 0) < epoch]
    start = {"event": "start", "epoch": epoch, "config": encode(config), "images": images}
    text = "".join(f"{json.dumps(event)}\n" for event in (*kept, start))
    write_state(folder / LOG, lambda path: _write(path, text))


def best_so_far(folder: Path, best: str) -> float:
    """Return the highest top-1 in the log; -1 where there is none, or no file of the best state.

    Args:
        folder: Folder of the run, after `begin_log`.
        best: Name of the file with the best state.
    """
    if not (folder / best).exists():
        return -1.0
    return max((event["top1"] for event in read_log(folder / LOG) if event.get("event") == "evaluate"), default=-1.0)


def require_same_run(state: Path, config: Config, images: str) -> None:
    """Refuse to go on from a state of another configuration or other images, as far as the log beside it tells.

    Args:
        state: The state to go on from.
        config: The configuration to go on with.
        images: Digest of the training images.

    Raises:
        ConfigError: They differ; the details name each difference.
    """
    begun = _last(
        event for event in read_log(state.parent / LOG) if event.get("event") == "start" and "config" in event
    )
    if begun is None:
        return
    problems = list(changed_settings(begun["config"], config, _FREE))
    if begun.get("images") != images:
        problems.append("the training images: other names, labels or order than then")
    if problems:
        raise ConfigError(
            f"{state}: was written by a run of another configuration, which cannot go on as this one; "
            "undo the changes, or start a new run from it with model.weights",
            problems,
        )


def _last(events: Iterable[dict[str, Any]]) -> dict[str, Any] | None:
    last = None
    for event in events:
        last = event
    return last


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
