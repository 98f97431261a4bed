"""The log of a run, a line of JSON for each event."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def read_log(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the events of a log, without a line that was cut off when its process was killed; none without a file."""
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else ():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict):
            yield event
