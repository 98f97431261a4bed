"""A run that is asked to stop: SIGTERM and SIGINT are noted, and the engine leaves at the next update, having saved."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stop:
    """Notes the first signal while its context lasts; a second interrupt from the keyboard is one at once.

    Processes forked meanwhile, such as those that read images, keep quiet at an interrupt, which a terminal sends to
    all, and end at SIGTERM as if nothing had been set.

    Attributes:
        requested: Name of the signal, None until there is one.
    """

    def __init__(self) -> None:
        self.requested: str | None = None
        self._process = os.getpid()
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            self._previous = {each: signal.signal(each, self._note) for each in _SIGNALS}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for each, handler in self._previous.items():
            signal.signal(each, signal.SIG_DFL if handler is None else handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        if os.getpid() != self._process:
            _in_child(number)
        elif self.requested is not None and name == "SIGINT":
            raise KeyboardInterrupt
        else:
            self.requested = name


def _in_child(number: int) -> None:
    if number != signal.SIGINT:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


def exit_code(name: str | None) -> int:
    """What a process that left at a signal exits with: 128 and its number; 0 for one that was not asked."""
    return 0 if name is None else 128 + signal.Signals[name].value
