from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from paddle_impl.training.run import train
from porting.checkpoint.formats.nested import Nested, arrays
from recipe.runs.log import read_log

_PROGRAM = str(Path(__file__).with_name("tiny_run.py"))
_LAUNCH = ("-m", "paddle.distributed.launch", "--nproc_per_node", "2", "--log_dir", "workers")

_SETTINGS: dict[str, dict[str, Any]] = {
    "data": {"train": "163", "validation": "1003"},
    "schedule": {"epochs": 1, "warmup_epochs": 0},
    "run": {"precision": "float64"},
}


def _run(folder: Path, *words: str, accumulation: int) -> Path:
    folder.mkdir()
    settings = {**_SETTINGS, "run": {**_SETTINGS["run"], "accumulation": accumulation}}
    own = {name: value for name, value in os.environ.items() if not name.startswith(("PADDLE_", "FLAGS_"))}
    command = [sys.executable, *words, _PROGRAM, json.dumps(settings)]
    done = subprocess.run(command, cwd=folder, env=own, capture_output=True, text=True, timeout=120)
    logs = "\n".join(path.read_text() for path in folder.glob("workers/workerlog.*"))
    assert done.returncode == 0, done.stderr + logs
    return folder / "run"


@pytest.fixture(scope="module")
def one_and_two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same run on one worker that accumulates two micro-batches, and on two workers."""
    folder = tmp_path_factory.mktemp("launch")
    return _run(folder / "one", accumulation=2), _run(folder / "two", *_LAUNCH, accumulation=1)


def _latest(folder: Path) -> dict[str, Any]:
    with Nested(folder / "latest.pdparams") as checkpoint:
        tensors = {
            f"{key}/{name}": array
            for key in ("model", "model_ema", "optimizer")
            for name, array in arrays(checkpoint.tree[key]).items()
        }
        return {**tensors, "progress": checkpoint.tree["progress"]}


def test_two_workers_and_one_with_the_same_global_batch_end_equal(one_and_two: tuple[Path, Path]) -> None:
    one, two = map(_latest, one_and_two)
    assert one.keys() == two.keys()
    assert max(float(np.abs(one[name] - two[name]).max()) for name in one.keys() - {"progress"}) < 1e-10
    losses = [
        [entry["loss"] for entry in read_log(path / "log.jsonl") if entry["event"] == "train"] for path in one_and_two
    ]
    assert len(losses[0]) == 20 // 4
    np.testing.assert_allclose(losses[1], losses[0], rtol=0, atol=1e-10)


def test_evaluation_on_two_workers_counts_each_image_once(one_and_two: tuple[Path, Path]) -> None:
    for folder in one_and_two:
        history = _latest(folder)["progress"]["history"]
        assert [(entry["weights"], entry["images"]) for entry in history] == [("model", 1003), ("ema", 1003)]
    one, two = (_latest(folder)["progress"]["history"] for folder in one_and_two)
    for mine, theirs in zip(one, two, strict=True):
        assert (mine["top1"], mine["top5"]) == (theirs["top1"], theirs["top5"])
        assert abs(mine["loss"] - theirs["loss"]) < 1e-10


def test_run_of_two_workers_resumes_on_one(
    one_and_two: tuple[Path, Path], tiny_run: ModuleType, tmp_path: Path
) -> None:
    ends = []
    for folder in one_and_two:
        output = str(shutil.copytree(folder, tmp_path / folder.parent.name))
        settings = {**_SETTINGS, "schedule": {**_SETTINGS["schedule"], "cooldown_epochs": 1}}
        run = {**_SETTINGS["run"], "output": output, "accumulation": 2}
        result = train(tiny_run.config_of(**settings | {"run": run}), resume="auto", assemble=tiny_run.assemble)
        assert result.epochs == 2
        ends.append(_latest(Path(output)))
    assert max(float(np.abs(ends[0][name] - ends[1][name]).max()) for name in ends[0].keys() - {"progress"}) < 1e-10


def test_only_the_first_of_two_workers_writes(one_and_two: tuple[Path, Path]) -> None:
    starts = [entry for entry in read_log(one_and_two[1] / "log.jsonl") if entry["event"] == "start"]
    assert [entry["ranks"] for entry in starts] == [2]
