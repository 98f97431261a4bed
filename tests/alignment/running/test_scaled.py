"""Weights that one side keeps multiplied: their gradients are those of the canonical weights, and are compared."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

import cli
from alignment.pair import load_pair
from alignment.processes.settings import Settings
from alignment.results.report import DIVERGENCE, SAME_FUNCTION
from alignment.running.run import align

pytest.importorskip("torch")
PAIRS = Path(__file__).parents[1] / "scaled_pairs.py"
SETTINGS = Settings(steps=("forward", "bp", "train_mode"), threads=1, batch_size=2)


def test_port_with_a_weight_that_is_multiplied_is_the_same_function_in_its_gradients_too(tmp_path: Path) -> None:
    report = align(load_pair(f"{PAIRS}:RIGHT"), tmp_path, SETTINGS)
    assert report.verdict == SAME_FUNCTION, report.failures
    keys = {row.key for row in report.rows}
    assert "bp/gradient/second.weight" in keys
    assert "bp/loss_1" not in keys
    assert any("keeps second.weight multiplied by a number" in note and "AdamW" in note for note in report.notes)


def test_gradient_that_is_stopped_beside_a_weight_that_is_multiplied_is_found(tmp_path: Path) -> None:
    report = align(load_pair(f"{PAIRS}:STOPPED"), tmp_path, SETTINGS)
    assert report.verdict == DIVERGENCE
    wrong = {row.key for row in report.failures if row.step == "bp"}
    assert wrong == {"bp/gradient/input", "bp/gradient/first.weight", "bp/gradient/first.bias"}


def test_search_accuses_nothing_of_a_port_with_a_weight_that_is_multiplied(tmp_path: Path) -> None:
    words = ["bisect", "--pair", f"{PAIRS}:RIGHT", "--batch-size", "2", "--threads", "1", "--out", str(tmp_path)]
    done = CliRunner().invoke(cli.pit_align, words, prog_name="pit-align")
    assert done.exit_code == 0, done.output
