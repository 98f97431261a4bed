"""What a framework's own batch normalisation does otherwise is no finding; a mistake in its parameters is."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

import cli
from alignment.results.findings import Bisection

FOLDER = Path(__file__).parents[1]
PAIRS = FOLDER / "batch_norm_pairs.py"


def diagnosed(name: str, out: Path, pairs: Path = PAIRS) -> tuple[int, Bisection]:
    words = ("diagnose", "--pair", f"{pairs}:{name}", "--batch-size", "2", "--threads", "1", "--out", str(out))
    done = CliRunner().invoke(cli.pit_align, words, prog_name="pit-align")
    return done.exit_code, Bisection.read(out / "bisection.json")


def test_batch_norm_of_the_framework_is_not_accused_in_training_mode(tmp_path: Path) -> None:
    code, found = diagnosed("RIGHT", tmp_path)
    assert (code, found.findings) == (0, ())
    assert {row.mode for row in found.modules} == {"eval", "train"}
    assert any("own differences are left out" in note and "biased" in note for note in found.notes)


def test_momentum_of_the_other_convention_is_named_beside_the_biased_variance(tmp_path: Path) -> None:
    code, found = diagnosed("MOMENTUM", tmp_path)
    assert code == 1
    assert [(finding.path, finding.mode) for finding in found.findings] == [("4", "train")]
    says = found.findings[0].causes[0].says
    assert says.startswith(
        "its momentum is wrong: a batch has a share of 0.9 in them, not 0.1: Paddle's momentum is one"
    )
    assert "pass momentum=0.9 to Paddle's" in says
    assert found.findings[0].causes[0].after < 1e-9


def test_norm_that_both_models_keep_in_evaluation_mode_is_not_accused(tmp_path: Path) -> None:
    code, found = diagnosed("FROZEN", tmp_path)
    assert (code, found.findings) == (0, ())


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("FROZEN_IN_REFERENCE", "it trains: it normalises by the batch"),
        ("FROZEN_IN_CANDIDATE", "it stays in evaluation mode while the model trains"),
    ],
)
def test_norm_that_one_model_keeps_in_evaluation_mode_is_named(name: str, says: str, tmp_path: Path) -> None:
    code, found = diagnosed(name, tmp_path)
    assert code == 1
    assert [(finding.path, finding.mode) for finding in found.findings] == [("1", "train")]
    cause = found.findings[0].causes[0]
    assert cause.says.startswith(says)
    assert cause.after < 1e-9


def test_model_with_a_kernel_of_little_precision_is_not_blamed_beside_a_module_that_is_wrong(tmp_path: Path) -> None:
    code, found = diagnosed("BESIDE", tmp_path, FOLDER / "kernel_pairs.py")
    assert (code, {finding.candidate for finding in found.findings}) == (1, {"part"})
    assert any("own differences are left out" in note and "selu" in note for note in found.notes)
