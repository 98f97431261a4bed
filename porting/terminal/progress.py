"""Progress on standard error: bars on a terminal only, so that they do not fill logs.

What takes less than a second shows nothing; rich is imported only when there is something to show.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from porting.checkpoint.tensor import TensorCallback

Callback: TypeAlias = Callable[[str, str, int, int], None]
"""Called with the name of a side, what it has done, the number of parts done, and their total."""
SHOWN_AFTER = 1.0
"""Seconds before progress is shown."""
LOGGED_EVERY = 10.0
"""Seconds between two lines of progress of a side in a log."""


def on_terminal(console: Console | None = None) -> bool:
    """Return True for a terminal; a file or a pipe is none, whatever `FORCE_COLOR` says of colours."""
    if console is not None:
        return console.is_terminal and not console.is_dumb_terminal
    return sys.stderr.isatty() and on_terminal(_stderr())


@contextmanager
def showing_sides(console: Console | None = None, *, quiet: bool = False) -> Iterator[Callback]:
    """Show the progress of the sides of an alignment: a bar for each on a terminal, now and then a line elsewhere.

    In a log, each side writes what it does first, what it does every ten seconds, and that it has ended.

    Args:
        console: The console; standard error by default.
        quiet: Show nothing.
    """
    if quiet:
        yield lambda side, what, done, total: None
    elif on_terminal(console):
        with _bars(console, "{task.fields[side]:<8}", "parts") as bars:
            tasks: dict[str, TaskID] = {}

            def show(side: str, what: str, done: int, total: int) -> None:
                if side not in tasks:
                    tasks[side] = bars.add_task(what, total=total, side=side)
                bars.update(tasks[side], completed=done, total=total, description=what)

            yield show
    else:
        yield _logging(console or _stderr())


def _logging(to: Console) -> Callback:
    """Return what writes a line for the first event of each side, its last, and one every `LOGGED_EVERY` seconds."""
    written: dict[str, float] = {}

    def write(side: str, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if side not in written or done == total or now - written[side] >= LOGGED_EVERY:
            written[side] = now
            to.print(f"{side}: {what} ({done}/{total})", highlight=False)

    return write


@contextmanager
def showing_tensors(*, quiet: bool = False) -> Iterator[TensorCallback]:
    """Show the bytes that were processed, after a second; on a terminal only, and never if `quiet`."""
    if quiet or not sys.stderr.isatty():
        yield lambda name, nbytes: None
        return
    start, processed = time.monotonic(), 0
    bars: Bars | None = None
    with ExitStack() as stack:

        def show(name: str, nbytes: int) -> None:
            nonlocal processed, bars
            processed += nbytes
            if bars is None and time.monotonic() - start >= SHOWN_AFTER:
                bars = stack.enter_context(_bars(None, "", "bytes"))
                bars.add_task(name, total=None)
            if bars is not None:
                bars.update(bars.tasks[0].id, completed=processed, description=name)

        yield show


@contextmanager
def waiting(what: str, *, quiet: bool = False) -> Iterator[None]:
    """Show the text `what` after a second, while the block runs; on a terminal only, and never if `quiet`."""
    if quiet or not sys.stderr.isatty():
        yield
        return
    done = threading.Event()

    def show() -> None:
        if not done.wait(SHOWN_AFTER):
            with _bars(None, "", "") as bars:
                bars.add_task(what, total=None)
                done.wait()

    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


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
