"""How a run is seen: a progress bar, or plain lines where there is no terminal, and the log."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import timedelta
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from paddle_impl.training.engine import Updated
from paddle_impl.training.log import LOG, Log
from paddle_impl.training.tracking import Tracker

_REDRAWN = 0.5
"""Seconds between two looks at the loss for the bar, each of which makes a GPU wait."""
_SHOWN = 5
"""Unreadable images that are named on the terminal."""
_MEMORY = 0.95
"""Of the mean duration of an update, from which the remaining time is told."""


class Silent:
    """The follower of ranks that do not talk."""

    def updated(self, update: Updated) -> None:
        """Nothing is shown."""

    def evaluating(self, weights: str, images: int) -> None:
        """Nothing is shown."""

    def evaluated(self, entry: Mapping[str, Any], update: int) -> None:
        """Nothing is shown."""

    def unreadable(self, epoch: int, update: int, problems: Mapping[str, str]) -> None:
        """Nothing is shown."""

    def told(self, text: str) -> None:
        """Nothing is shown."""


class Following:
    """Shows and logs a run; a context.

    Args:
        log: Where events go; entered and left by its owner.
        epochs: Of the whole run.
        tracker: Where numbers go as well.
        console: Where to show them; standard error by default.
    """

    def __init__(self, log: Log, epochs: int, tracker: Tracker | None = None, console: Console | None = None) -> None:
        self._log, self._epochs, self._tracker = log, epochs, tracker
        self._console = console or Console(stderr=True)
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._window = _Window()
        self._duration: float | None = None
        self._counted = 0
        self._shown = 0.0
        self._evaluated: dict[str, int] = {}

    def __enter__(self) -> Following:
        if self._console.is_terminal:
            columns = (
                TextColumn("{task.fields[what]}"),
                BarColumn(bar_width=20),
                MofNCompleteColumn(),
                TextColumn("{task.description}"),
            )
            self._bar = Progress(*columns, console=self._console, transient=True)
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()
        if self._tracker is not None:
            self._tracker.close()

    def told(self, text: str) -> None:
        """Shows a line that stays."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def updated(self, update: Updated) -> None:
        """Moves the bar; writes a line where one is due."""
        self._window.add(update)
        eta = self._typical(update.batch_cost) * (update.updates * (self._epochs - update.epoch) - update.update)
        if self._bar is not None and (update.mean_loss is not None or time.monotonic() > self._shown + _REDRAWN):
            self._shown = time.monotonic()
            self._move(update, eta)
        if update.mean_loss is not None:
            self._write(update, update.mean_loss, eta)
            self._window = _Window()

    def _typical(self, batch_cost: float) -> float:
        """Seconds of an update, mostly of the last ones; the first, in which everything starts, counts while alone."""
        old, self._duration = self._duration, batch_cost
        if self._counted > 1 and old is not None:
            self._duration = _MEMORY * old + (1 - _MEMORY) * batch_cost
        self._counted += 1
        return self._duration

    def evaluating(self, weights: str, images: int) -> None:
        """Tells how far an evaluation is."""
        self._evaluated[weights] = self._evaluated.get(weights, 0) + images
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, description=f"evaluating the {weights}, {self._evaluated[weights]} images")

    def evaluated(self, entry: Mapping[str, Any], update: int) -> None:
        """Writes a line and shows one that stays."""
        self._evaluated.clear()
        self._log.write("evaluation", update=update, **entry)
        if self._tracker is not None:
            weights, step = entry["weights"], (entry["epoch"] + 1) * update
            self._tracker.add(step, **{f"{weights}__{key}": entry[key] for key in ("top1", "top5", "loss")})
        self.told(
            f"epoch {entry['epoch'] + 1}/{self._epochs}: {entry['weights']} top-1 {100 * entry['top1']:.2f} %, "
            f"top-{entry['k']} {100 * entry['top5']:.2f} %, loss {entry['loss']:.4f} on {entry['images']} images"
            + (f" ({entry['unreadable']} more cannot be read)" if entry["unreadable"] else "")
        )

    def unreadable(self, epoch: int, update: int, problems: Mapping[str, str]) -> None:
        """Logs all of them, shows their number and the first few."""
        self._log.write("unreadable", epoch=epoch, update=update, count=len(problems), problems=problems)
        first = [f"  {path}: {why}" for path, why in list(problems.items())[:_SHOWN]]
        more = [f"  and {len(problems) - _SHOWN} more, in {LOG}"] if len(problems) > _SHOWN else []
        self.told("\n".join([f"{len(problems)} images cannot be read:", *first, *more]))

    def _move(self, update: Updated, eta: float) -> None:
        assert self._bar is not None  # noqa: S101 (the caller has asked)
        what = f"epoch {update.epoch + 1}/{self._epochs}"
        if self._task is None:
            self._task = self._bar.add_task("", total=update.updates, what=what)
        self._bar.update(
            self._task,
            what=what,
            total=update.updates,
            completed=update.update,
            description=self._window.text(float(update.loss), update.rate, eta),
            refresh=True,
        )

    def _write(self, update: Updated, loss: float, eta: float) -> None:
        window = self._window
        self._log.write(
            "train",
            epoch=update.epoch,
            update=update.update,
            updates=update.updates,
            loss=loss,
            lr=update.rate,
            batch_cost=window.batch_cost,
            reader_cost=window.reader_cost,
            ips=window.rate,
            eta=eta,
        )
        if self._tracker is not None:
            step = update.epoch * update.updates + update.update
            self._tracker.add(step, train__loss=loss, train__lr=update.rate, train__ips=window.rate)
        if self._bar is None:
            place = f"epoch {update.epoch + 1}/{self._epochs}, update {update.update}/{update.updates}"
            self.told(f"{place}: {window.text(loss, update.rate, eta)}")


class _Window:
    """The updates since the last line of the log."""

    def __init__(self) -> None:
        self._updates, self._images, self._seconds, self._waited = 0, 0, 0.0, 0.0

    def add(self, update: Updated) -> None:
        self._updates += 1
        self._images += update.images
        self._seconds += update.batch_cost
        self._waited += update.reader_cost

    @property
    def batch_cost(self) -> float:
        return self._seconds / max(self._updates, 1)

    @property
    def reader_cost(self) -> float:
        return self._waited / max(self._updates, 1)

    @property
    def rate(self) -> float:
        """Images a second."""
        return self._images / self._seconds if self._seconds else 0.0

    def text(self, loss: float, rate: float, eta: float) -> str:
        waited = 100 * self._waited / self._seconds if self._seconds else 0.0
        left = timedelta(seconds=round(eta))
        return (
            f"loss {loss:.4f}, rate {rate:.3g}, {self.rate:.1f} images/s, {waited:.0f} % waiting for data, {left} left"
        )
