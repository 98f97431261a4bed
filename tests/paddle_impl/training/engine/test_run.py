"""`train` and `evaluate` with the real parts, on a data set of a few small pictures."""

from __future__ import annotations

import io
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from paddle_impl.training.log import LOG
from paddle_impl.training.run import Result, evaluate, train
from porting.architectures import build
from porting.checkpoint import open_checkpoint
from porting.conversion import write_random
from recipe.config import Config
from recipe.draws import Seeded
from recipe.errors import ConfigError, DataError, TrainingError
from recipe.runs.log import read_log

_IMAGES, _HELD_OUT, _CLASSES = 9, 4, 3


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Classes of different brightness; one picture of each split is damaged."""
    root, draw = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for split, count in (("train", _IMAGES), ("val", _HELD_OUT)):
        for label in range(_CLASSES):
            folder = root / split / f"class_{label}"
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = np.clip(draw.normal(50 + 70 * label, 30, (36, 40, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
        (root / split / "class_1" / "2.png").write_bytes(b"damaged")
    return root


def _config(pictures: Path, output: Path, **changes: dict[str, Any]) -> Config:
    settings: dict[str, dict[str, Any]] = {
        "model": {"name": "pit_micro", "image_size": 32, "num_classes": _CLASSES},
        "data": {"path": str(pictures), "batch_size": 4, "workers": 0},
        "schedule": {"epochs": 2, "warmup_epochs": 0, "cooldown_epochs": 0, "deit_quirk": False},
        "ema": {"decay": 0.5},
        "run": {"output": str(output), "log_every": 2, "accumulation": 2},
    }
    config = Config()
    for section, own in settings.items():
        values = own | changes.get(section, {})
        config = replace(config, **{section: replace(getattr(config, section), **values)})
    return config


def _train(config: Config, resume: str | None = None) -> tuple[Result, str]:
    shown = io.StringIO()
    return train(config, resume=resume, console=Console(file=shown)), shown.getvalue()


@pytest.fixture(scope="module")
def trained(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Result, str]:
    """A run of two epochs, and what it said."""
    config = _config(pictures, tmp_path_factory.mktemp("trained") / "run")
    return config, *_train(config)


def test_training_counts_every_picture_and_reports_damaged_ones(trained: tuple[Config, Result, str]) -> None:
    config, result, shown = trained
    assert (result.epochs, result.exit_code, result.best is not None) == (2, 0, True)
    readable = _HELD_OUT * _CLASSES - 1
    assert [(entry["weights"], entry["images"], entry["unreadable"], entry["k"]) for entry in result.history] == [
        (weights, readable, 1, 3) for _ in range(2) for weights in ("model", "ema")
    ]
    assert "2 images cannot be read:" in shown
    log = list(read_log(Path(config.run.output) / LOG))
    assert [set(entry["problems"]) for entry in log if entry["event"] == "unreadable"] == [
        {str(Path(config.data.path) / split / "class_1" / "2.png") for split in ("train", "val")}
    ]
    assert {entry["updates"] for entry in log if entry["event"] == "train"} == {_IMAGES * _CLASSES // 8}


def test_checkpoint_evaluates_to_the_accuracy_of_the_run(trained: tuple[Config, Result, str]) -> None:
    config, result, _ = trained
    weights = replace(config, model=replace(config.model, weights=str(result.checkpoint)))
    evaluation = evaluate(weights, console=Console(file=io.StringIO()))
    average = result.history[-1]
    assert average["weights"] == "ema"
    assert (evaluation.images, evaluation.top1, evaluation.unreadable) == (average["images"], average["top1"], 1)
    assert evaluation.loss == pytest.approx(average["loss"], abs=1e-6)


def test_finished_run_resumes_for_more_epochs_of_cooldown(trained: tuple[Config, Result, str], tmp_path: Path) -> None:
    config, result, _ = trained
    output = str(shutil.copytree(config.run.output, tmp_path / "run"))
    longer = replace(
        config, schedule=replace(config.schedule, cooldown_epochs=1), run=replace(config.run, output=output)
    )
    resumed, _ = _train(longer, resume="auto")
    assert resumed.epochs == 3
    assert resumed.history[:4] == result.history


def test_workers_do_not_change_a_run(pictures: Path, tmp_path: Path, trained: tuple[Config, Result, str]) -> None:
    config = _config(pictures, tmp_path / "run", data={"workers": 2}, schedule={"epochs": 2})
    assert _train(config)[0].history == trained[1].history


def test_resuming_with_other_pictures_is_refused(pictures: Path, tmp_path: Path) -> None:
    config = _config(pictures, tmp_path / "run", schedule={"epochs": 1})
    _train(config)
    (tmp_path / "moved").symlink_to(pictures)
    moved = replace(config, data=replace(config.data, path=str(tmp_path / "moved")))
    assert _train(moved, resume="auto")[0].epochs == 1
    fewer = tmp_path / "fewer"
    for split in ("train", "val"):
        for folder in sorted((pictures / split).iterdir()):
            (fewer / split / folder.name).mkdir(parents=True)
            for picture in sorted(folder.iterdir())[1:]:
                (fewer / split / folder.name / picture.name).symlink_to(picture)
    with pytest.raises(ConfigError, match="the training images: other names, labels or order than then"):
        _train(replace(config, data=replace(config.data, path=str(fewer))), resume="auto")


def test_run_in_float64_starts_from_the_weights_of_a_float32_run(
    pictures: Path, tmp_path: Path, trained: tuple[Config, Result, str]
) -> None:
    with open_checkpoint(trained[1].checkpoint) as checkpoint:
        assert checkpoint.tensors["head.weight"].shape[-1] == _CLASSES
    config = _config(
        pictures,
        tmp_path / "run",
        model={"weights": str(trained[1].checkpoint)},
        run={"precision": "float64", "validate_every": 0},
        schedule={"epochs": 1},
        ema={"decay": 0.0},
    )
    result, shown = _train(config)
    assert (result.history, result.best) == ((), None)
    assert f"{trained[1].checkpoint}: pit_micro" in shown
    with open_checkpoint(result.checkpoint) as checkpoint:
        assert {tensor.dtype.name for tensor in checkpoint.tensors.values()} == {"float64"}


def test_evaluation_without_weights_is_refused(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"an evaluation needs weights: set model\.weights"):
        evaluate(_config(pictures, tmp_path))


@pytest.mark.parametrize("classes", [0, 4])
def test_evaluation_with_weights_of_another_head_is_refused(pictures: Path, tmp_path: Path, classes: int) -> None:
    weights = tmp_path / "weights.safetensors"
    write_random(build("pit_micro", num_classes=classes), weights)
    config = _config(pictures, tmp_path, model={"weights": str(weights)})
    remedy = "set model.num_classes=4, or fine-tune first" if classes else "fine-tune first"
    refusal = rf"has no head\.weight, head\.bias for 3 classes, and random ones would be used; {remedy}$"
    with pytest.raises(ConfigError, match=refusal):
        evaluate(config, console=Console(file=io.StringIO()))


def test_evaluation_on_another_number_of_classes_is_refused(
    pictures: Path, tmp_path: Path, trained: tuple[Config, Result, str]
) -> None:
    config = _config(pictures, tmp_path, model={"weights": str(trained[1].checkpoint), "num_classes": 4})
    with pytest.raises(DataError, match=r"has 3 folders of classes, model\.num_classes is 4"):
        evaluate(config)


def test_second_run_in_the_same_folder_is_refused(trained: tuple[Config, Result, str]) -> None:
    with pytest.raises(TrainingError, match="holds a run, which a new one would overwrite"):
        _train(trained[0])


def test_tape_determines_the_run(pictures: Path, tmp_path: Path) -> None:
    def run(name: str, seed: int) -> tuple[dict[str, Any], ...]:
        config = _config(pictures, tmp_path / name, model={"drop_rate": 0.3}, schedule={"epochs": 1})
        return train(config, tape=Seeded(seed), console=Console(file=io.StringIO())).history

    first = run("first", 7)
    assert first == run("second", 7)
    assert first != run("other", 8)
