"""What happens when standard output or standard error cannot be written: one line if possible, and exit code 3."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def unwritten(error: OSError) -> str | None:
    """Return the line to print where it is standard output that failed; None where it is something else.

    That is tried by an empty line. Standard output leads nowhere from then on, or the interpreter's end would fail once
    more.
    """
    if error.filename is not None or error.errno not in _FULL:
        return None
    try:
        print(flush=True)
    except OSError:
        silence(sys.stdout)
        problem = error.strerror or str(error)
        return f"standard output cannot be written ({problem}): send it elsewhere; files that were written are whole"
    return None


def silence(stream: IO[Any]) -> None:
    """Make a stream of the process lead nowhere."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def tell(line: str) -> None:
    """Print a line on standard error; where that cannot be written, the exit code alone tells."""
    with told():
        print(line, file=sys.stderr, flush=True)


@contextmanager
def told() -> Iterator[None]:
    """Go on where standard error cannot be written."""
    try:
        yield
    except OSError:
        silence(sys.stderr)
