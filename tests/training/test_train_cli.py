"""`pit-train` as its users run it."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

import cli
from porting.architectures import build
from porting.checkpoint import open_checkpoint
from porting.conversion import convert, write_random


def pit_train(*words: str | Path) -> Result:
    return CliRunner().invoke(cli.pit_train, [str(word) for word in words], prog_name="pit-train")


@pytest.fixture(scope="module")
def few_digits(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight images of each digit to train on, three to evaluate on."""
    folder: Path = tmp_path_factory.mktemp("few")
    for split, count in (("train", 8), ("val", 3)):
        for label in (digits / split).iterdir():
            (folder / split / label.name).mkdir(parents=True)
            for image in sorted(label.iterdir())[:count]:
                shutil.copy(image, folder / split / label.name)
    return folder


@pytest.fixture(scope="module")
def run(few_digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of two epochs."""
    output: Path = tmp_path_factory.mktemp("runs") / "run"
    done = pit_train("train", *words(few_digits, output))
    assert done.exit_code == 0, done.output
    return output


def words(data: Path, output: Path, epochs: int = 2) -> list[str]:
    return [
        *("--config", "pit_micro_digits", f"data.path={data}", f"run.output={output}", "data.workers=0"),
        *("data.batch_size=16", f"schedule.epochs={epochs}", "schedule.warmup_epochs=0", "run.validate_every=1"),
    ]


def test_training_leaves_checkpoints_a_log_and_curves(run: Path) -> None:
    names = {path.name for path in run.iterdir()}
    assert {"latest.pdparams", "best.pdparams", "log.jsonl", "curves.png", "classes.txt"} <= names
    events = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    trained = [event for event in events if event["event"] == "train"]
    assert {"loss", "lr", "batch_cost", "reader_cost"} <= set(trained[0])
    assert [event["epoch"] for event in trained] == [0, 1]
    assert (run / "classes.txt").read_text().split() == [str(digit) for digit in range(10)]


def test_existing_run_is_not_overwritten_but_resumed(run: Path, few_digits: Path) -> None:
    again = pit_train("train", *words(few_digits, run))
    assert again.exit_code == 3
    assert "holds a run, which a new one would overwrite" in again.output
    resumed = pit_train("train", *words(few_digits, run), "--resume", run)
    assert resumed.exit_code == 0, resumed.output


def test_evaluation_counts_every_image(run: Path, few_digits: Path) -> None:
    settings = (*words(few_digits, run), f"model.weights={run / 'latest.pdparams'}")
    done = pit_train("eval", *settings, "--json")
    assert done.exit_code == 0, done.output
    evaluation = json.loads(done.stdout)
    assert (evaluation["images"], evaluation["k"]) == (30, 5)
    assert re.fullmatch(r"top-1 \d+\.\d\d%  top-5 .* 30 images\n", pit_train("eval", *settings).stdout)


def test_evaluation_without_weights_exits_2(run: Path, few_digits: Path) -> None:
    none = pit_train("eval", *words(few_digits, run))
    assert none.exit_code == 2
    assert "set model.weights" in none.stderr


def test_prediction_names_the_classes_of_the_run(run: Path, few_digits: Path) -> None:
    image = next((few_digits / "val" / "3").iterdir())
    done = pit_train("predict", "--weights", run / "best.pdparams", "--config", "pit_micro_digits", image, "--top", "2")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0] == str(image)
    assert len(lines) == 3
    assert re.fullmatch(r" +\d+\.\d\d%  \d", lines[1])
    several = pit_train("predict", "--weights", run / "best.pdparams", few_digits / "val" / "4", "--json")
    records = [json.loads(line) for line in several.stdout.splitlines()]
    assert len(records) == 3
    for record in records:
        assert sum(entry["probability"] for entry in record["classes"]) <= 1
        assert [entry["label"] for entry in record["classes"]] == [entry["words"] for entry in record["classes"]]


def test_weights_of_other_frameworks_predict_the_same(tmp_path: Path, few_digits: Path) -> None:
    write_random(build("pit_micro"), tmp_path / "a.pth")
    convert(tmp_path / "a.pth", tmp_path / "a.pdparams")
    images = few_digits / "val" / "1"
    first, second = (pit_train("predict", "--weights", tmp_path / name, images) for name in ("a.pth", "a.pdparams"))
    assert first.exit_code == 0, first.output
    assert first.stdout == second.stdout


def test_unreadable_images_are_named_and_the_others_predicted(run: Path, few_digits: Path, tmp_path: Path) -> None:
    shutil.copytree(few_digits / "val" / "7", tmp_path / "images")
    (tmp_path / "images" / "broken.png").write_bytes(b"\x89PNG no image")
    done = pit_train("predict", "--weights", run / "best.pdparams", tmp_path / "images")
    assert done.exit_code == 3
    assert "1 image could not be read" in done.stderr
    assert "broken.png: cannot be read as an image" in done.stderr
    assert done.stdout.count("%") == 15


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere.jpg",), "nowhere.jpg: no such file or folder"),
        (("data.crop=0.5",), "name images or folders of images"),
        ((".", "data.corp=0.5"), "did you mean data.crop?"),
    ],
)
def test_prediction_refuses_wrong_words(run: Path, arguments: tuple[str, ...], message: str) -> None:
    done = pit_train("predict", "--weights", run / "best.pdparams", *arguments)
    assert done.exit_code in (2, 3)
    assert message in done.stderr.replace("\n  ", " ")


def test_list_of_classes_of_another_length_is_refused(run: Path, tmp_path: Path, few_digits: Path) -> None:
    (tmp_path / "names.txt").write_text("zero\none\n")
    done = pit_train(
        "predict", "--weights", run / "best.pdparams", "--classes", tmp_path / "names.txt", few_digits / "val"
    )
    assert done.exit_code == 3
    assert "there are 2 names for the model's 10 classes" in done.stderr


def test_dry_run_prints_the_whole_configuration() -> None:
    done = pit_train("train", "--config", "pit_b_224", "--dry-run", "optimizer.learning_rate=1e-3")
    settings = yaml.safe_load(done.stdout)
    assert settings["model"]["name"] == "pit_b"
    assert settings["optimizer"]["learning_rate"] == 1e-3
    assert settings["augmentation"]["repeats"] == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "--config", "pit_b_225"), "did you mean the shipped pit_b_224?"),
        (("train", "--config", "pit_b_224", "optimizer.learning_rat=1"), "did you mean optimizer.learning_rate?"),
        (("train", "--config", "pit_b_224", "schedule.epochs=many"), "schedule.epochs is 'many', expected"),
        (("-cfg", "pit_b_224", "-batch_sze", "8"), "did you mean -batch_size?"),
        (("-data_path", "x"), "-cfg names no configuration file"),
    ],
)
def test_unknown_words_exit_2(arguments: tuple[str, ...], message: str) -> None:
    done = pit_train(*arguments)
    assert done.exit_code == 2, done.output
    assert message in done.stderr


def test_paddlevit_command_lines_are_understood(run: Path, few_digits: Path) -> None:
    done = pit_train(
        *("-cfg", "pit_micro_digits", "-dataset", "imagenet2012", "-data_path", few_digits, "-batch_size", "7"),
        *("-image_size", "32", "-eval", "-pretrained", run / "latest"),
    )
    assert done.exit_code == 0, done.output
    assert "30 images" in done.stdout


def test_fine_tuning_at_another_size_on_other_classes_is_reported(few_digits: Path, tmp_path: Path) -> None:
    write_random(build("pit_micro", num_classes=7), tmp_path / "a.pth")
    done = pit_train(
        *("train", *words(few_digits, tmp_path / "run", 1), f"model.weights={tmp_path / 'a.pth'}"),
        "model.image_size=48",
    )
    assert done.exit_code == 0, done.output
    assert "pos_embed" in done.stderr
    assert "head.{bias,weight}" in done.stderr or "drawn anew" in done.stderr
    with open_checkpoint(tmp_path / "run" / "latest.pdparams", weights="model") as checkpoint:
        assert checkpoint.tensors["pos_embed"].shape == (1, 24, 11, 11)
