"""A run in torch or MindSpore that is ended at any place and resumed leaves what an undisturbed one leaves."""

from __future__ import annotations

import json
import os
import resource
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from recipe.carrying_out import Evaluation, Step, carry_out
from recipe.errors import TrainingError
from recipe.loading import dump, load
from recipe.programs import Request
from recipe.runs.folder import held, write_state
from recipe.runs.locking import take

TOP1 = (0.3, 0.7, 0.5, 0.6)
"""Accuracy after each epoch; the best is not the last."""


class EndedError(BaseException):
    """Ends a run as SIGKILL does: nothing is tidied up by what catches exceptions of programs."""


class _Run:
    """A run whose state is the number of the epoch."""

    notes: tuple[str, ...] = ()
    leads, averaged, updates, epochs = True, False, 2, len(TOP1)

    def __init__(self, config: Any, passed: Callable[[str], None]) -> None:
        self.config, self._passed, self._epoch = config, passed, -1

    def epoch(self, epoch: int) -> Iterator[Step]:
        for update in range(self.updates):
            self._passed(f"update {update} of {epoch}")
            yield Step(epoch, update, 1.0, 0.1, 1.0, 4, 0.0)
        self._epoch = epoch

    def evaluate(self, weights: str) -> Evaluation:
        self._passed(f"evaluation of {self._epoch}")
        return Evaluation(8, TOP1[self._epoch], 1.0, 2, 0.5)

    def save(self, epoch: int, path: Path) -> None:
        path.write_text("half")
        self._passed(f"half of {path.name}, {epoch}")
        path.write_text(f"state after {epoch}")
        self._passed(f"whole of {path.name}, {epoch}")

    def restore(self, path: Path) -> int:
        return int(path.read_text().rsplit(maxsplit=1)[1])


class _Framework:
    latest, best = "latest.pth", "best.pth"

    def __init__(self, passed: Callable[[str], None] = lambda place: None) -> None:
        self._passed = passed

    def run(self, config: Any) -> Any:
        return _Run(config, self._passed)

    def open(self, config: Any) -> Any:
        raise NotImplementedError


def _request(folder: Path, output: Path, resume: str | None = None) -> Request:
    for split in ("train", "val"):
        for label in ("a", "b"):
            (folder / split / label).mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / split / label / "x.png")
    settings = [f"data.path={folder}", f"run.output={output}", "model.num_classes=2", "run.log_every=1"]
    return Request("train", dump(load("deit", settings)), quiet=True, resume=resume)


def _left(output: Path) -> dict[str, Any]:
    events = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
    files = {path.name: path.read_text() for path in output.iterdir() if path.name != "log.jsonl"}
    return {**files, "log.jsonl": [event for event in events if event["event"] != "start"]}


def _undisturbed(tmp_path: Path) -> tuple[dict[str, Any], list[str]]:
    places: list[str] = []
    carry_out(_request(tmp_path / "images", tmp_path / "undisturbed"), _Framework(places.append))
    return _left(tmp_path / "undisturbed"), places


def test_run_ended_at_any_place_leaves_what_an_undisturbed_one_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, places = _undisturbed(tmp_path)
    assert (expected["best.pth"], expected["latest.pth"]) == ("state after 1", "state after 3")
    for number, place in enumerate(places):

        def end(passed: str, wanted: str = place) -> None:
            if passed == wanted:
                raise EndedError(passed)

        output = tmp_path / str(number)
        with monkeypatch.context() as patch:
            patch.setattr(Path, "unlink", lambda *_, **__: None)  # a killed run removes nothing
            with pytest.raises(EndedError):
                carry_out(_request(tmp_path / "images", output), _Framework(end))
        carry_out(_request(tmp_path / "images", output, resume="auto"), _Framework())
        assert _left(output) == expected, place


def test_worse_epochs_after_resuming_do_not_replace_the_best(tmp_path: Path) -> None:
    expected, _ = _undisturbed(tmp_path)
    (tmp_path / "undisturbed" / "latest.pth").write_text("state after 1")
    carry_out(_request(tmp_path / "images", tmp_path / "undisturbed", resume="auto"), _Framework())
    assert _left(tmp_path / "undisturbed") == expected


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(28, "No space left on device"), "No space left on device"),
        (
            RuntimeError("[enforce fail] unexpected pos 1 vs 2\nmore"),
            "RuntimeError: [enforce fail] unexpected pos 1 vs 2",
        ),
    ],
)
def test_state_that_cannot_be_written_leaves_the_one_before(tmp_path: Path, error: Exception, reason: str) -> None:
    def write(draft: Path) -> None:
        draft.write_text("half")
        raise error

    path = tmp_path / "latest.pth"
    path.write_text("before")
    with pytest.raises(TrainingError) as caught:
        write_state(path, write)
    assert caught.value.summary == f"{path}: cannot be written: {reason}. What was there before is untouched"
    assert [file.read_text() for file in tmp_path.iterdir()] == ["before"]


def test_errors_of_a_framework_are_told_as_the_limit_behind_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(draft: Path) -> None:
        raise RuntimeError("[enforce fail] unexpected pos")

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=4096))
        with pytest.raises(TrainingError, match="cannot be written: the disk is full"):
            write_state(tmp_path / "x", write)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (204800, 204800))
    with pytest.raises(TrainingError, match=r"larger than the system allows \(ulimit -f\)"):
        write_state(tmp_path / "x", write)


def test_fifo_in_place_of_a_state_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(TrainingError, match="fifo: is no regular file, expected the state of a run"):
        carry_out(_request(tmp_path / "images", tmp_path / "run", str(tmp_path / "fifo")), _Framework())


def test_second_run_in_a_folder_is_refused(tmp_path: Path) -> None:
    with held(tmp_path / "run"):
        lock = (tmp_path / "run" / ".lock").stat()
    assert lock.st_size == 0
    blocker = tmp_path / "file"
    blocker.write_text("")
    with pytest.raises(TrainingError, match=r"file: cannot be written \(.*\); set run\.output"), held(blocker):
        pass


def test_run_of_another_framework_is_not_overwritten(tmp_path: Path) -> None:
    take(tmp_path / "run").close()
    (tmp_path / "run" / "latest.ckpt").write_text("")
    for resume in (None, "auto"):
        with pytest.raises(TrainingError, match=r"holds a run of another framework, latest\.ckpt, whose log"):
            carry_out(_request(tmp_path / "images", tmp_path / "run", resume), _Framework())
