"""The log of a run: a line of JSON an event, in `log.jsonl`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

LOG = "log.jsonl"


class Log:
    """Appends events to a run's log; a context.

    Args:
        folder: Of the run.
        epoch: Where the run starts or goes on.
        update: Likewise. What an earlier process logged beyond this is dropped, since it happens again.
    """

    def __init__(self, folder: Path, epoch: int = 0, update: int = 0) -> None:
        self._path = folder / LOG
        self._start = epoch, update
        self._file: IO[str] | None = None

    def __enter__(self) -> Log:
        kept = [entry for entry in read_log(self._path) if self._stays(entry)]
        draft = self._path.with_name(f".{LOG}.part")
        draft.write_text("".join(_line(entry) for entry in kept), encoding="utf-8")
        draft.replace(self._path)
        self._file = self._path.open("a", encoding="utf-8")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, event: str, **fields: Any) -> None:
        """Adds an event, at once."""
        if self._file is not None:
            self._file.write(_line({"event": event, **fields}))
            self._file.flush()

    def _stays(self, entry: Mapping[str, Any]) -> bool:
        if self._start == (0, 0):
            return False
        at, event = (entry.get("epoch", 0), entry.get("update", 0)), entry.get("event")
        return (
            at[0] < self._start[0]
            if event == "evaluation"
            else at < self._start or (at == self._start and event == "train")
        )


def read_log(path: Path) -> Iterator[dict[str, Any]]:
    """The events of a log; a line that was cut off when its process was killed is left out."""
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict):
            yield entry


def _line(entry: Mapping[str, Any]) -> str:
    return json.dumps(entry, allow_nan=False) + "\n"
