"""Progress on standard error: bars on a terminal only, so that they do not fill logs.

What takes less than a second shows nothing; rich is imported only when there is something to show.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bars

    from porting.checkpoint.tensor import TensorCallback

Callback: TypeAlias = Callable[[str, str, int, int], None]
"""Called with the name of a side, what it has done, the number of parts done, and their total."""
SHOWN_AFTER = 1.0
"""Seconds before progress is shown."""


def on_terminal(console: Console | None = None) -> bool:
    """Return True for a terminal; a file or a pipe is none, whatever `FORCE_COLOR` says of colours."""
    if console is not None:
        return console.is_terminal and not console.is_dumb_terminal
    return sys.stderr.isatty() and on_terminal(_stderr())


@contextmanager
def showing_sides(console: Console | None = None, *, quiet: bool = False) -> Iterator[Callback]:
    """Show the progress of the sides of an alignment: a bar for each on a terminal, one line for each event elsewhere.

    Args:
        console: The console; standard error by default.
        quiet: Show nothing.
    """
    if quiet:
        yield lambda side, what, done, total: None
    elif on_terminal(console):
        with _bars(console, "{task.fields[side]:<8}", "parts") as bars:
            yield _Sides(bars)
    else:
        to = console or _stderr()
        yield lambda side, what, done, total: to.print(f"{side}: {what} ({done}/{total})", highlight=False)


@contextmanager
def showing_tensors(console: Console | None = None, *, quiet: bool = False) -> Iterator[TensorCallback]:
    """Show the bytes that were processed, after a second; on a terminal only.

    Args:
        console: The console; standard error by default.
        quiet: Show nothing.
    """
    if quiet or not (on_terminal(console) if console else sys.stderr.isatty()):
        yield lambda name, nbytes: None
        return
    tensors = _Tensors(console)
    try:
        yield tensors
    finally:
        tensors.stop()


@contextmanager
def waiting(what: str, console: Console | None = None, *, quiet: bool = False) -> Iterator[None]:
    """Show that something is going on, after a second; on a terminal only.

    Args:
        what: What is going on, in words.
        console: The console; standard error by default.
        quiet: Show nothing.
    """
    if quiet or not (on_terminal(console) if console else sys.stderr.isatty()):
        yield
        return
    with _Waiting(what, console):
        yield


class _Sides:
    """One bar for each side, from its first event."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._tasks: dict[str, int] = {}

    def __call__(self, side: str, what: str, done: int, total: int) -> None:
        if side not in self._tasks:
            self._tasks[side] = self._bars.add_task(what, total=total, side=side)
        task = self._bars.tasks[self._tasks[side]].id
        self._bars.update(task, completed=done, total=total, description=what)


class _Tensors:
    """One line of bytes, after a second."""

    def __init__(self, console: Console | None) -> None:
        self._console, self._start = console, time.monotonic()
        self._shown: tuple[AbstractContextManager[Bars], Bars] | None = None
        self._done = 0

    def __call__(self, name: str, nbytes: int) -> None:
        self._done += nbytes
        if self._shown is None and time.monotonic() - self._start >= SHOWN_AFTER:
            context = _bars(self._console, "", "bytes")
            self._shown = context, context.__enter__()
            self._shown[1].add_task(name, total=None)
        if self._shown is not None:
            bars = self._shown[1]
            bars.update(bars.tasks[0].id, completed=self._done, description=name)

    def stop(self) -> None:
        if self._shown is not None:
            self._shown[0].__exit__(None, None, None)


class _Waiting:
    """One line that something is going on, after a second."""

    def __init__(self, what: str, console: Console | None) -> None:
        self._what, self._console = what, console
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._show, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _show(self) -> None:
        if self._done.wait(SHOWN_AFTER):
            return
        with _bars(self._console, "", "") as bars:
            bars.add_task(self._what, total=None)
            self._done.wait()


def _bars(console: Console | None, label: str, unit: str) -> Bars:
    """Bars that disappear at the end: label, bar, count, time and description."""
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TransferSpeedColumn,
    )

    counts: dict[str, tuple[ProgressColumn, ...]] = {
        "parts": (MofNCompleteColumn(),),
        "bytes": (DownloadColumn(), TransferSpeedColumn()),
    }
    columns: tuple[ProgressColumn, ...] = (BarColumn(), *counts.get(unit, ()), TimeElapsedColumn())
    labels = (TextColumn(label),) if label else ()
    return Progress(*labels, *columns, TextColumn("{task.description}"), console=console or _stderr(), transient=True)


def _stderr() -> Console:
    from rich.console import Console

    return Console(stderr=True)
