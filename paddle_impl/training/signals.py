"""SIGTERM, SIGINT and SIGHUP during a run: they are noted, and the engine saves and ends after the current update."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Stop:
    """Notes the first signal while its context lasts; a second SIGINT raises KeyboardInterrupt.

    Processes that are forked meanwhile, such as image workers, ignore SIGINT, which a terminal sends to all of them,
    and end at SIGTERM and SIGHUP as by default. A SIGHUP that is ignored, as under nohup, stays so.

    Attributes:
        requested: Name of the signal; None until there is one.
    """

    def __init__(self) -> None:
        self.requested: str | None = None
        self._process = os.getpid()
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            taken = [number for number in _SIGNALS if not (ignored and number is signal.SIGHUP)]
            self._previous = {number: signal.signal(number, self._note) for number in taken}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        if os.getpid() != self._process:  # a forked child, which inherited this handler
            if name != "SIGINT":
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)
        elif self.requested is not None and name == "SIGINT":
            raise KeyboardInterrupt
        else:
            self.requested = name


def exit_code(name: str | None) -> int:
    """Exit code of a process that a signal of this name ended: 128 plus its number; 0 for None."""
    return 0 if name is None else 128 + signal.Signals[name].value
