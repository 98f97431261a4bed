"""Frame of a worker process: requests as JSON files, JSON events on standard output, all else on standard error."""

from __future__ import annotations

import io
import json
import os
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from alignment.user_code import message_of, place_of
from porting.errors import ExpectedError

T = TypeVar("T", bound="JsonRequest")
Advance: TypeAlias = Callable[[str, int, int], None]
"""Called with what a worker has just done, and how many parts of how many that makes."""


@dataclass(frozen=True)
class JsonRequest:
    """Base class of what a worker is asked to do: fields with plain JSON values, exchanged as a file."""

    def write(self, path: Path) -> None:
        """Write the request as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls: type[T], path: Path) -> T:
        """Read what `write` wrote."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))


def serve(work: Callable[[Advance], None]) -> int:
    """Do the work of a worker's process, which reports on standard output, and return the exit code.

    Args:
        work: The work; it is given a function to call after each part.
    """
    report = _claim_stdout()
    _die_with_parent()

    def advance(what: str, done: int, total: int) -> None:
        report({"event": "progress", "what": what, "done": done, "total": total})

    try:
        work(advance)
    except ExpectedError as error:
        report({"event": "error", "expected": True, "summary": error.summary, "details": list(error.details)})
    except MemoryError:
        traceback.print_exc()
        summary = "it ran out of memory: a smaller batch (--batch-size) needs less"
        report({"event": "error", "expected": False, "summary": summary, "details": []})
    except Exception as error:
        traceback.print_exc()
        report({"event": "error", "expected": False, "summary": message_of(error), "details": list(place_of(error))})
    else:
        report({"event": "done"})
        return 0
    return 3


def _claim_stdout() -> Callable[[Mapping[str, Any]], None]:
    """Return a function that writes events to standard output, and lead all other output to standard error."""
    sys.stdout.flush()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # what a process that dies has printed is its log's last words
    stream = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)

    def report(event: Mapping[str, Any]) -> None:
        stream.write(json.dumps(event) + "\n")

    return report


def _die_with_parent() -> None:
    """End this process when the one that started it closes our standard input or dies."""

    def watch() -> None:
        while os.read(0, 1):
            pass
        os._exit(3)

    threading.Thread(target=watch, daemon=True).start()
