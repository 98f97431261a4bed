from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from PIL import Image
from rich.console import Console

from paddle_impl.training.engine import Update
from paddle_impl.training.following import Following, Tracker
from paddle_impl.training.log import LOG, Log, draw_curves
from paddle_impl.training.run import Result
from recipe.errors import ConfigError
from recipe.runs.log import read_log

Run = Callable[..., Result]


def _updated(update: int, mean_loss: float | None = None) -> Update:
    return Update(1, update, 10, 0.5, mean_loss, 1e-3, 32, 0.5, 0.1)


def _entry() -> dict[str, Any]:
    return {"epoch": 1, "weights": "ema", "images": 9, "top1": 0.5, "top5": 1.0, "k": 3, "loss": 0.25, "unreadable": 0}


def test_line_of_the_log_has_the_costs_of_its_updates(tmp_path: Path) -> None:
    with Log(tmp_path) as log, Following(log, 3, console=Console(file=io.StringIO())) as following:
        following.updated(_updated(1))
        following.updated(_updated(2, 0.75))
        following.evaluated(_entry(), 10)
    trained, evaluated = read_log(tmp_path / LOG)
    assert trained == {
        "event": "train", "epoch": 1, "update": 2, "updates": 10, "loss": 0.75, "lr": 1e-3,
        "batch_cost": 0.5, "reader_cost": 0.1, "ips": 64.0, "eta": 9.0,
    }  # fmt: skip
    assert evaluated == {"event": "evaluation", "update": 10, **_entry()}


def test_console_without_terminal_shows_plain_lines(tmp_path: Path) -> None:
    shown = io.StringIO()
    with Log(tmp_path) as log, Following(log, 3, console=Console(file=shown)) as following:
        following.updated(_updated(1))
        following.updated(_updated(2, 0.75))
        following.evaluated({**_entry(), "unreadable": 2}, 10)
        following.unreadable(1, 10, {f"{name}.jpg": "is cut off" for name in "abcdefg"})
    assert shown.getvalue().splitlines() == [
        "epoch 2/3, update 2/10: loss 0.7500, rate 0.001, 64.0 images/s, 20 % waiting for data, 0:00:09 left",
        "epoch 2/3: ema top-1 50.00 %, top-3 100.00 %, loss 0.2500 on 9 images (2 more cannot be read)",
        "7 images cannot be read:",
        *(f"  {name}.jpg: is cut off" for name in "abcde"),
        "  and 2 more, in log.jsonl",
    ]
    assert next(entry for entry in read_log(tmp_path / LOG) if entry["event"] == "unreadable")["count"] == 7


def test_terminal_shows_a_progress_bar(tmp_path: Path) -> None:
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, width=120)
    with Log(tmp_path) as log, Following(log, 3, console=console) as following:
        following.updated(_updated(1, 0.5))
        following.evaluating("model", 64)
    assert "epoch 2/3" in shown.getvalue()
    assert "1/10" in shown.getvalue()
    assert "loss 0.5000, rate 0.001, 64.0 images/s, 20 % waiting for data" in shown.getvalue()
    assert "evaluating the model, 64 images" in shown.getvalue()


def test_log_drops_events_beyond_the_checkpoint_and_a_torn_line(tmp_path: Path) -> None:
    places = [
        ("start", 0, 0),
        ("train", 0, 8),
        ("evaluation", 0, 8),
        ("train", 1, 4),
        ("start", 1, 4),
        ("train", 1, 8),
        ("evaluation", 1, 8),
    ]
    lines = [json.dumps({"event": event, "epoch": epoch, "update": update}) for event, epoch, update in places]
    (tmp_path / LOG).write_text("\n".join([*lines, '{"event": "tra']))
    with Log(tmp_path, 1, 4) as log:
        log.write("start", epoch=1, update=4)
    kept = [(entry["event"], entry["epoch"], entry["update"]) for entry in read_log(tmp_path / LOG)]
    assert kept == [*places[:4], ("start", 1, 4)]


def test_new_run_starts_a_new_log(tmp_path: Path) -> None:
    (tmp_path / LOG).write_text('{"event": "start", "epoch": 0, "update": 0}\n')
    with Log(tmp_path):
        pass
    assert list(read_log(tmp_path / LOG)) == []


@pytest.mark.usefixtures("with_curves")
def test_curves_are_drawn_at_the_end(run_tiny: Run, tmp_path: Path) -> None:
    run_tiny()
    with Image.open(tmp_path / "run" / "curves.png") as picture:
        assert picture.size == (1440, 432)
        assert (
            len(
                set(
                    picture.convert("L").get_flattened_data()
                    if hasattr(picture, "get_flattened_data")
                    else picture.convert("L").getdata()
                )
            )
            > 10
        )


@pytest.mark.usefixtures("with_curves")
def test_run_without_matplotlib_names_the_missing_package(
    run_tiny: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("matplotlib")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    shown = io.StringIO()
    assert run_tiny(console=Console(file=shown)).epochs == 3
    assert "curves.png was not drawn: it needs matplotlib (pip install matplotlib)" in shown.getvalue()
    with pytest.raises(ImportError):
        draw_curves([], tmp_path / "curves.png")


class _Writer:
    """Takes scalars as VisualDL's and TensorBoard's writers do."""

    written: list[tuple[str, float, int]]

    def __init__(self, logdir: str) -> None:
        type(self).written = [(logdir, 0.0, 0)]

    def add_scalar(self, tag: str, value: float, step: int) -> None:
        """As theirs."""
        self.written.append((tag, value, step))

    def close(self) -> None:
        """As theirs."""
        self.written.append(("closed", 0.0, 0))


@pytest.mark.parametrize(
    ("kind", "package", "name"),
    [("visualdl", "visualdl", "LogWriter"), ("tensorboard", "tensorboardX", "SummaryWriter")],
)
def test_tracker_receives_losses_rates_and_accuracies(
    run_tiny: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, package: str, name: str
) -> None:
    module = ModuleType(package)
    setattr(module, name, _Writer)
    monkeypatch.setitem(sys.modules, package, module)
    result = run_tiny(run={"tracker": kind})
    assert _Writer.written[0][0] == str(tmp_path / "run" / kind)
    assert ("model/top1", result.history[-2]["top1"], 24) in _Writer.written
    assert {tag for tag, _, _ in _Writer.written} >= {"train/loss", "train/lr", "train/ips", "ema/loss"}
    assert _Writer.written[-1][0] == "closed"


def test_numbers_are_in_the_files_of_the_real_tensorboard(tmp_path: Path) -> None:
    events = pytest.importorskip(
        "tensorboardX.proto.event_pb2", reason="tensorboardX is not installed; run.tracker=tensorboard needs it"
    )
    _track("tensorboard", tmp_path)
    (file,) = tmp_path.glob("events.*")
    content, values = file.read_bytes(), []
    while content:  # each record: its length, a checksum, the event, a checksum
        length = int.from_bytes(content[:8], "little")
        event = events.Event.FromString(content[12 : 12 + length])
        values += [(value.tag, value.simple_value, event.step) for value in event.summary.value]
        content = content[16 + length :]
    assert values == [("train/loss", 2.5, 7), ("ema/top1", 0.75, 8)]


def test_numbers_are_in_the_files_of_the_real_visualdl(tmp_path: Path) -> None:
    visualdl = pytest.importorskip("visualdl", reason="visualdl is not installed; run.tracker=visualdl needs it")
    _track("visualdl", tmp_path)
    (file,) = tmp_path.glob("*.log")
    reader = visualdl.LogReader(file_path=str(file))
    scalars = {
        tag: [(one.value, one.id) for one in reader.get_data("scalar", tag)] for tag in reader.get_tags()["scalar"]
    }
    assert scalars == {"train/loss": [(2.5, 7)], "ema/top1": [(0.75, 8)]}


def _track(kind: str, folder: Path) -> None:
    tracker = Tracker(kind, folder)
    tracker.add(7, train__loss=2.5)
    tracker.add(8, ema__top1=0.75)
    tracker.close()


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("visualdl", "run.tracker is visualdl, whose package is not installed: pip install visualdl"),
        ("wandb", "run.tracker is 'wandb', expected none, visualdl or tensorboard"),
    ],
)
def test_unknown_or_missing_tracker_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, message: str
) -> None:
    monkeypatch.setitem(sys.modules, "visualdl", None)
    with pytest.raises(ConfigError) as caught:
        Tracker(kind, tmp_path)
    assert message in str(caught.value)
