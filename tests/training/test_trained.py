"""A model that was trained, on real images that it has not seen: what is random elsewhere means something here."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import cli

ROOT = Path(__file__).parents[2]
TRAINED = ROOT / "tests" / "assets" / "pit_micro_digits.safetensors"
ENOUGH = 0.97


def run(tool: str, *words: str | Path) -> Result:
    return CliRunner().invoke(getattr(cli, tool), [str(word) for word in words], prog_name=tool.replace("_", "-"))


def test_trained_model_is_small_and_classifies_held_out_digits(digits: Path) -> None:
    assert TRAINED.stat().st_size < 1_000_000
    words = ("--config", "pit_micro_digits", f"data.path={digits}", f"model.weights={TRAINED}", "data.workers=0")
    done = run("pit_train", "eval", *words, "--json")
    assert done.exit_code == 0, done.output
    evaluation = json.loads(done.stdout)
    assert evaluation["images"] == 355
    assert evaluation["top1"] >= ENOUGH


def test_both_sides_reach_the_same_accuracy(digits: Path, tmp_path: Path) -> None:
    images, labels = runpy.run_path(str(ROOT / "examples" / "digits.py"))["prepared"](digits / "val")
    np.savez(tmp_path / "held_out.npz", image=images, label=labels)
    done = run(
        *("pit_align", "metric", "--model", "pit_micro", "--weights", TRAINED, "--dtype", "both"),
        *("--inputs", tmp_path / "held_out.npz", "--out", tmp_path / "out"),
    )
    assert done.exit_code == 0, done.output
    for side in ("torch", "paddle"):
        logged = np.load(tmp_path / "out" / f"metric_{side}.npy", allow_pickle=True).item()  # our own file
        assert float(logged["acc_top1"]) >= ENOUGH


@pytest.mark.parametrize("digit", ["0", "4", "7"])
def test_prediction_names_the_digit_of_held_out_images(digits: Path, digit: str) -> None:
    done = run(
        "pit_train", "predict", "--weights", TRAINED, "--config", "pit_micro_digits", digits / "val" / digit, "--json"
    )
    named = [json.loads(line)["classes"][0]["label"] for line in done.stdout.splitlines()]
    assert named.count(digit) >= ENOUGH * len(named) - 1
