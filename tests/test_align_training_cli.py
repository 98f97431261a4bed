"""`pit-align`'s check points of training as its users run them: both frameworks, real files, exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import cli

WRONG = Path(__file__).parent / "alignment" / "training" / "wrong_trainers.py"


def pit_align(*words: str | Path) -> Result:
    return CliRunner().invoke(cli.pit_align, [str(word) for word in words], prog_name="pit-align")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path]:
    out = tmp_path_factory.mktemp("logs") / "training"
    done = pit_align(
        "training", "--model", "pit_micro", "--batch-size", "2", "--steps", "2", "--threads", "1", "--out", out
    )
    return done, out


def test_every_check_point_of_training_passes(run: tuple[Result, Path]) -> None:
    done, out = run
    assert done.exit_code == 0, done.output
    report = json.loads((out / "report.json").read_text())
    assert report["steps"] == [
        *("data", "train_data", "init", "schedule", "regularisation", "optimizer", "train", "distributed", "inference")
    ]
    for row in report["rows"]:
        allowed = ["same function", "rounding"] if row["kind"] in ("sample", "picture") else ["same function"]
        assert row["verdict"] in allowed, row


def test_the_official_files_are_there(run: tuple[Result, Path]) -> None:
    out = run[1]
    names = {path.name for path in out.iterdir()}
    for step in ("data", "train_align", "schedule", "inference"):
        assert {f"{step}_torch.npy", f"{step}_paddle.npy", f"{step}_diff.log"} <= names
    assert "loss_0" in (out / "train_align_diff.log").read_text()
    assert "lr_1" in (out / "train_align_diff.log").read_text()
    explained = (Path(__file__).parents[1] / "logs" / "README.md").read_text()
    for name in names - {".lock"}:
        assert name in explained, f"{name} is not in logs/README.md"


def test_the_gate_passes_it(run: tuple[Result, Path]) -> None:
    config = Path(__file__).parents[1] / "pit-align-training.toml"
    done = pit_align("gate", run[1] / "report.json", "--config", config)
    assert done.exit_code == 0, done.output


def test_a_wrong_port_exits_1_and_says_where(tmp_path: Path) -> None:
    pair = tmp_path / "pair.py"
    pair.write_text(
        "from dataclasses import replace\nfrom alignment import pairs\n"
        "RIGHT = pairs.build('pit_micro')\n"
        f"PAIR = replace(RIGHT, candidate=replace(RIGHT.candidate, training={str(WRONG)!r} + ':late_by_an_epoch'))\n"
    )
    done = pit_align("schedule", "--pair", pair, "--threads", "1", "--out", tmp_path / "out")
    assert done.exit_code == 1, done.output
    assert "schedule/lr (float64): " in done.stdout
    assert "the first at [1, 0]" in done.stdout
    assert "cause:" not in done.stdout
    done = pit_align("schedule", "--pair", pair, "--threads", "1", "--out", tmp_path / "out", "--diagnose")
    assert done.exit_code == 1, done.output
    assert "1. quantity schedule/lr" in done.stdout
    assert "cause: " in done.stdout
    (finding,) = json.loads((tmp_path / "out" / "diagnosis.json").read_text())
    assert [cause["name"] for cause in finding["causes"]] == ["schedule off by one"]


def test_two_sides_recorded_apart_are_compared_if_their_images_are_the_same(tmp_path: Path) -> None:
    few = ("--model", "pit_micro", "--batch-size", "2", "--dtype", "float64", "--threads", "1")
    for backend, seed in (("torch", 0), ("paddle", 0), ("other", 1)):
        side = ("--backend", "torch" if backend == "torch" else "paddle", "--seed", str(seed))
        done = pit_align("record", "train_data", *few, *side, "--out", tmp_path / backend)
        assert done.exit_code == 0, done.output
    assert pit_align("compare", tmp_path / "torch", tmp_path / "paddle").exit_code == 0
    refused = pit_align("compare", tmp_path / "torch", tmp_path / "other")
    assert refused.exit_code == 3
    assert "different inputs" in refused.stderr


def test_a_pair_without_trainers_exits_5(tmp_path: Path) -> None:
    done = pit_align("train", "--pair", f"{WRONG}:UNTRAINED", "--out", tmp_path / "out")
    assert done.exit_code == 5, done.output
    assert "the step train does not apply: the candidate of untrained names no trainer (Side.training)" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["train", "--model", "pit_micro", "--config", "pit_tii_224"], 2, "did you mean the shipped pit_ti_224?"),
        (["train", "--model", "pit_micro", "--set", "ema.deca=0.9"], 2, "ema.deca"),
        (["train", "--model", "pit_micro", "--steps", "0"], 2, "--steps"),
        (["data", "--model", "pit_micro", "--data", "nowhere"], 3, "nowhere: no such folder of images"),
        (
            ["record", "forward", "--model", "pit_micro", "--backend", "torch", "--steps", "3"],
            2,
            "are for the check poi",
        ),
        (["record", "data", "--model", "pit_micro", "--backend", "torch", "--inputs", "x.npy"], 3, "with --data"),
    ],
)
def test_impossible_run_exits_with_the_reason(tmp_path: Path, words: list[str], code: int, message: str) -> None:
    done = pit_align(*words, "--out", tmp_path / "out")
    assert done.exit_code == code, done.output
    assert message in done.stderr.replace("\n", " ")
    assert not (tmp_path / "out" / "report.json").exists()


@pytest.mark.parametrize("words", [("optimizer", "--steps", "5"), ("train", "--steps", "4")])
def test_the_right_trainer_is_not_accused_in_float32_alone(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = pit_align(
        *words,
        *("--model", "pit_micro", "--num-classes", "10", "--dtype", "float32", "--batch-size", "2", "--seed", "3"),
        *("--threads", "1", "--out", tmp_path),
    )
    assert done.exit_code == 0, done.output
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["verdict"] == "within tolerance"
    drifted = [row for row in report["rows"] if "the drift of two runs of the reference" in row["reason"]]
    assert drifted
    assert all(0 < row["margin"] <= row["limit"] for row in drifted)


def test_a_wrong_optimizer_is_seen_in_float32_alone(tmp_path: Path) -> None:
    pair = tmp_path / "pair.py"
    pair.write_text(
        "from dataclasses import replace\nfrom alignment import pairs\n"
        "RIGHT = pairs.build('pit_micro')\n"
        f"PAIR = replace(RIGHT, candidate=replace(RIGHT.candidate, training={str(WRONG)!r} + ':with_other_betas'))\n"
    )
    words = ("--dtype", "float32", "--threads", "1", "--out", tmp_path / "out")
    assert pit_align("optimizer", "--pair", pair, *words).exit_code == 1
