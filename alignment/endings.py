"""How a process ended: by an exit code, a signal, or for lack of memory."""

from __future__ import annotations

import signal
from pathlib import Path


def memory_kills(counters: Path = Path("/proc/vmstat")) -> int:
    """Return how many processes the system has ended for lack of memory since it started; 0 where it does not tell.

    Args:
        counters: The file in which Linux counts them, as `oom_kill`.
    """
    try:
        lines = counters.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def how_it_ended(code: int, for_memory: bool, remedy: str = "a smaller batch (--batch-size) needs less") -> str:
    """Return how a process ended, as the end of a sentence.

    Args:
        code: Its exit code, negative for a signal.
        for_memory: Whether the system has ended a process for lack of memory meanwhile.
        remedy: What needs less memory.
    """
    if code >= 0:
        return f"it ended with exit code {code}, before it was done"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    if name != "SIGKILL":
        return f"it was ended by {name}"
    if for_memory:
        return f"the system ended it by {name} for lack of memory: {remedy}"
    return f"it was ended by {name}, perhaps out of memory"
