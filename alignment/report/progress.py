"""Progress of the sides on standard error: bars on a terminal, one plain line an event elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

Callback: TypeAlias = Callable[[str, str, int, int], None]


@contextmanager
def showing_progress(console: Console | None = None) -> Iterator[Callback]:
    """Show what is reported to the callback while the context lasts.

    Args:
        console: Where to; standard error by default.

    Yields:
        A function of the side's name, what it has done, and how many parts of how many that makes.
    """
    console = console or Console(stderr=True)
    if not console.is_terminal:
        yield lambda side, what, done, total: console.print(f"{side}: {what} ({done}/{total})", highlight=False)
        return
    columns = (
        TextColumn("{task.fields[side]:<8}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def update(side: str, what: str, done: int, total: int) -> None:
            if side not in tasks:
                tasks[side] = bars.add_task(what, total=total, side=side)
            bars.update(tasks[side], completed=done, total=total, description=what)

        yield update
