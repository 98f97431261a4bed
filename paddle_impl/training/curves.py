"""Loss, rate and accuracy over a run, as a picture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

Points: TypeAlias = tuple[list[float], list[float]]
CURVES = "curves.png"


def draw_curves(entries: Iterable[Mapping[str, Any]], path: Path) -> None:
    """Draws the events of a log.

    Args:
        entries: What `log.read_log` gives.
        path: The picture, of the kind that its suffix says.

    Raises:
        ImportError: Matplotlib is not installed.
    """
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


_PANELS = {
    "loss": ("training loss", "model loss", "ema loss"),
    "top-1 and top-5, %": ("model top1", "model top5", "ema top1", "ema top5"),
    "rate": ("rate",),
}


def _curves(entries: Iterable[Mapping[str, Any]]) -> dict[str, Points]:
    """Points of each curve; an epoch's evaluation is at its end."""
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
