"""The log of a run, one JSON object a line in `log.jsonl`, and its curves as a picture."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, TypeAlias

from recipe.runs.log import read_log

LOG, CURVES = "log.jsonl", "curves.png"
Points: TypeAlias = tuple[list[float], list[float]]
_PANELS = {
    "loss": ("training loss", "model loss", "ema loss"),
    "top-1 and top-5, %": ("model top1", "model top5", "ema top1", "ema top5"),
    "rate": ("rate",),
}
"""Curves of each panel of the picture."""


class Log:
    """Appends events to a run's log; a context.

    Args:
        folder: Folder of the run.
        epoch: Epoch that the run starts or resumes in.
        update: Update of that epoch. Events that an earlier process logged beyond it are dropped: they happen again.
    """

    def __init__(self, folder: Path, epoch: int = 0, update: int = 0) -> None:
        self._path = folder / LOG
        self._start = epoch, update
        self._file: IO[str] | None = None

    def __enter__(self) -> Log:
        kept = [entry for entry in read_log(self._path) if self._stays(entry)]
        draft = self._path.with_name(f".{LOG}.part")
        draft.write_text("".join(_line(entry) for entry in kept), encoding="utf-8")
        draft.replace(self._path)
        self._file = self._path.open("a", encoding="utf-8")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, event: str, **fields: Any) -> None:
        """Append an event, and flush it to the file."""
        if self._file is not None:
            self._file.write(_line({"event": event, **fields}))
            self._file.flush()

    def _stays(self, entry: Mapping[str, Any]) -> bool:
        if self._start == (0, 0):
            return False
        at, event = (entry.get("epoch", 0), entry.get("update", 0)), entry.get("event")
        if event == "evaluation":
            return bool(at[0] < self._start[0])
        return at < self._start or (at == self._start and event in ("train", "unreadable"))


def _line(entry: Mapping[str, Any]) -> str:
    return json.dumps(entry, allow_nan=False) + "\n"


def draw_curves(entries: Iterable[Mapping[str, Any]], path: Path) -> None:
    """Draw loss, accuracy and learning rate over the epochs.

    Args:
        entries: Events that `read_log` yields.
        path: File to write, in the format of its suffix.

    Raises:
        ImportError: Matplotlib is not installed.
    """
    logging.getLogger("matplotlib").setLevel(logging.WARNING)  # it reports its cache of fonts where Paddle logs at INFO
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    curves = _curves(entries)
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (title, names) in zip(figure.subplots(1, len(_PANELS)), _PANELS.items(), strict=True):
        for name in names:
            x, y = curves.get(name, ([], []))
            axes.plot(x, y, label=name, marker="." if len(x) < 20 else "")
        axes.set_title(title)
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
        axes.legend()
    draft = path.with_name(f".{path.name}")
    figure.savefig(draft, format=path.suffix.removeprefix("."), dpi=120)
    draft.replace(path)


def _curves(entries: Iterable[Mapping[str, Any]]) -> dict[str, Points]:
    """Points of each curve by its name; an epoch's evaluation is at the epoch's end."""
    curves: dict[str, Points] = {}

    def add(name: str, x: float, y: float) -> None:
        xs, ys = curves.setdefault(name, ([], []))
        xs.append(x)
        ys.append(y)

    for entry in entries:
        match entry:
            case {"event": "train", "epoch": epoch, "update": update, "updates": updates, "loss": loss, "lr": rate}:
                add("training loss", epoch + update / updates, loss)
                add("rate", epoch + update / updates, rate)
            case {"event": "evaluation", "epoch": epoch, "weights": weights, "loss": loss, "top1": top1, "top5": top5}:
                add(f"{weights} loss", epoch + 1, loss)
                add(f"{weights} top1", epoch + 1, 100 * top1)
                add(f"{weights} top5", epoch + 1, 100 * top5)
    return curves
