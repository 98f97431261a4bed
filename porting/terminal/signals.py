"""SIGTERM and SIGHUP end a command as Ctrl-C does: drafts are removed, and the process then ends by the signal."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


class EndedError(KeyboardInterrupt):
    """The process was asked to end; it is raised where the main thread is, so that everything is tidied up."""


@contextmanager
def ending_by_signals() -> Iterator[None]:
    """Raise `EndedError` at the first SIGTERM or SIGHUP, and end by that signal when the context is left.

    Further signals are ignored while the process tidies up. One that is ignored already, as SIGHUP is under nohup, or
    that has a handler, stays as it is.
    """
    process, received = os.getpid(), list[int]()
    taken: list[int] = []

    def end(number: int, _: FrameType | None) -> None:
        if os.getpid() != process:  # a forked child, which inherited this handler
            _end_by(number)
            return
        received.append(number)
        for each in taken:
            signal.signal(each, signal.SIG_IGN)
        raise EndedError(f"ended by {signal.Signals(number).name}, and nothing was left half-written")

    if threading.current_thread() is threading.main_thread():
        taken += [number for number in _SIGNALS if signal.getsignal(number) is signal.SIG_DFL]
    for number in taken:
        signal.signal(number, end)
    try:
        yield
    finally:
        if received:
            _end_by(received[0])
        for number in taken:
            if signal.getsignal(number) is end:
                signal.signal(number, signal.SIG_DFL)


def _end_by(number: int) -> None:
    """End this process by a signal, so that whoever started it sees which one it was."""
    sys.stdout.flush()
    sys.stderr.flush()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
