"""Shows a run as a progress bar, or as plain lines where there is no terminal, and passes its numbers on."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from paddle_impl.training.engine import Follower, Update
from paddle_impl.training.log import LOG, Log
from recipe.errors import ConfigError

_REDRAWN = 0.5
"""Seconds between two reads of the loss for the bar, each of which makes a GPU wait."""
_SHOWN = 5
"""Unreadable images that are named on the terminal."""
_MEMORY = 0.95
"""Weight of the earlier updates in the mean duration of an update, from which the remaining time is computed."""
_WRITERS = {"visualdl": ("visualdl", "LogWriter"), "tensorboard": ("tensorboardX", "SummaryWriter")}
"""Package and class of each tracker."""


class Tracker:
    """Passes numbers on to VisualDL or TensorBoard.

    Args:
        kind: `visualdl`, `tensorboard`, or `none`, which passes nothing on.
        folder: Folder that the tracker writes to.

    Raises:
        ConfigError: The kind is unknown, or its package is not installed.
    """

    def __init__(self, kind: str, folder: Path) -> None:
        self._writer: Any = None
        if kind == "none":
            return
        if kind not in _WRITERS:
            raise ConfigError(f"run.tracker is {kind!r}, expected none, {' or '.join(_WRITERS)}")
        package, name = _WRITERS[kind]
        try:
            writer = getattr(import_module(package), name)
        except ImportError:
            raise ConfigError(
                f"run.tracker is {kind}, whose package is not installed: pip install {package}, or set it to none"
            ) from None
        self._writer = writer(logdir=str(folder))

    def add(self, step: int, **values: float) -> None:
        """Add values after so many updates of the run; `__` in a name stands for `/`."""
        for name, value in values.items() if self._writer is not None else ():
            self._writer.add_scalar(name.replace("__", "/"), value, step)

    def close(self) -> None:
        """Write everything to the disk."""
        if self._writer is not None:
            self._writer.close()


class Following(Follower):
    """Shows and logs a run; a context.

    Args:
        log: Log of the run; its owner enters and leaves it.
        epochs: Epochs of the whole run.
        tracker: Receives the numbers as well.
        console: Where to show them; standard error by default.
    """

    def __init__(self, log: Log, epochs: int, tracker: Tracker | None = None, console: Console | None = None) -> None:
        self._log, self._epochs = log, epochs
        self._tracker = tracker or Tracker("none", Path())
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
        self._tracker.close()

    def show(self, text: str) -> None:
        """Show a line that stays."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def updated(self, update: Update) -> None:
        """Move the bar; write a line where one is due."""
        self._window.add(update)
        eta = self._typical(update.batch_cost) * (update.updates * (self._epochs - update.epoch) - update.update)
        if self._bar is not None and (update.mean_loss is not None or time.monotonic() > self._shown + _REDRAWN):
            self._shown = time.monotonic()
            self._move(self._bar, update, eta)
        if update.mean_loss is not None:
            self._write(update, update.mean_loss, eta)
            self._window = _Window()

    def _typical(self, batch_cost: float) -> float:
        """Seconds of an update, mostly of the last ones; the first is slow and counts only while it is the only one."""
        old, self._duration = self._duration, batch_cost
        if self._counted > 1 and old is not None:
            self._duration = _MEMORY * old + (1 - _MEMORY) * batch_cost
        self._counted += 1
        return self._duration

    def evaluating(self, weights: str, images: int) -> None:
        """Show how many images an evaluation has seen."""
        self._evaluated[weights] = self._evaluated.get(weights, 0) + images
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, description=f"evaluating the {weights}, {self._evaluated[weights]} images")

    def evaluated(self, entry: Mapping[str, Any], update: int) -> None:
        """Log an evaluation, and show it as a line that stays."""
        self._evaluated.clear()
        self._log.write("evaluation", update=update, **entry)
        weights, step = entry["weights"], (entry["epoch"] + 1) * update
        self._tracker.add(step, **{f"{weights}__{key}": entry[key] for key in ("top1", "top5", "loss")})
        self.show(
            f"epoch {entry['epoch'] + 1}/{self._epochs}: {weights} top-1 {100 * entry['top1']:.2f} %, "
            f"top-{entry['k']} {100 * entry['top5']:.2f} %, loss {entry['loss']:.4f} on {entry['images']} images"
            + (f" ({entry['unreadable']} more cannot be read)" if entry["unreadable"] else "")
        )

    def unreadable(self, epoch: int, update: int, problems: Mapping[str, str]) -> None:
        """Log all unreadable images; show their number and the first few."""
        self._log.write("unreadable", epoch=epoch, update=update, count=len(problems), problems=problems)
        first = [f"  {path}: {why}" for path, why in list(problems.items())[:_SHOWN]]
        more = [f"  and {len(problems) - _SHOWN} more, in {LOG}"] if len(problems) > _SHOWN else []
        self.show("\n".join([f"{len(problems)} images cannot be read:", *first, *more]))

    def _move(self, bar: Progress, update: Update, eta: float) -> None:
        what = f"epoch {update.epoch + 1}/{self._epochs}"
        if self._task is None:
            self._task = bar.add_task("", total=update.updates, what=what)
        bar.update(
            self._task,
            what=what,
            total=update.updates,
            completed=update.update,
            description=self._window.text(float(update.loss), update.rate, eta),
            refresh=True,
        )

    def _write(self, update: Update, loss: float, eta: float) -> None:
        window = self._window
        self._log.write(
            "train",
            epoch=update.epoch,
            update=update.update,
            updates=update.updates,
            loss=loss,
            lr=update.rate,
            batch_cost=window.seconds / window.updates,
            reader_cost=window.waited / window.updates,
            ips=window.rate,
            eta=eta,
        )
        step = update.epoch * update.updates + update.update
        self._tracker.add(step, train__loss=loss, train__lr=update.rate, train__ips=window.rate)
        if self._bar is None:
            place = f"epoch {update.epoch + 1}/{self._epochs}, update {update.update}/{update.updates}"
            self.show(f"{place}: {window.text(loss, update.rate, eta)}")


class _Window:
    """Sums over the updates since the last line of the log."""

    def __init__(self) -> None:
        self.updates, self.images, self.seconds, self.waited = 0, 0, 0.0, 0.0

    def add(self, update: Update) -> None:
        self.updates += 1
        self.images += update.images
        self.seconds += update.batch_cost
        self.waited += update.reader_cost

    @property
    def rate(self) -> float:
        """Images trained in a second, so far."""
        return self.images / self.seconds if self.seconds else 0.0

    def text(self, loss: float, rate: float, eta: float) -> str:
        waited = 100 * self.waited / self.seconds if self.seconds else 0.0
        left = timedelta(seconds=round(eta))
        return (
            f"loss {loss:.4f}, rate {rate:.3g}, {self.rate:.1f} images/s, {waited:.0f} % waiting for data, {left} left"
        )
