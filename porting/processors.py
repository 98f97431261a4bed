"""How many processors there are for this process."""

from __future__ import annotations

import os


def available() -> int:
    """The processors that this process may use; all of them where the system does not tell."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
