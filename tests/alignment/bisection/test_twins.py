"""Modules that are cut otherwise, or take their tensors in another order, are matched by what they compute."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import cli
from alignment.bisection.twins import match
from alignment.results.findings import Bisection

PAIRS = Path(__file__).parents[1] / "cut_otherwise_pairs.py"
A, B = np.arange(1.0, 7.0).reshape(2, 3), np.ones((2, 3))
C = np.ones((4,))


def diagnose(pair: str, out: Path) -> Bisection:
    words = ("diagnose", "--pair", f"{PAIRS}:{pair}", "--batch-size", "2", "--threads", "1", "--out", str(out))
    done = CliRunner().invoke(cli.pit_align, words, prog_name="pit-align")
    assert done.exit_code == (0 if pair == "TEXT" else 1), done.output
    return Bisection.read(out / "bisection.json")


@pytest.mark.parametrize(
    ("pair", "module", "cause"),
    [
        ("PADDING", "2.conv1", "it pads by reflect, not with zeros: pass padding_mode='zeros'"),
        ("EPSILON", "2.bn1", "its epsilon is 0.001, not 1e-05: pass epsilon=1e-05"),
        ("SEQUENCE", "norm", "its epsilon is 0.001, not 1e-05: pass epsilon=1e-05"),
        (
            "AXIS",
            "mean",
            "it gives the shape (2, 4), where (2, 1, 1, 4) is meant: an axis of length one is lost or added; "
            "name the axis of squeeze",
        ),
    ],
)
def test_mistake_among_modules_cut_otherwise_is_the_only_one_named(
    tmp_path: Path, pair: str, module: str, cause: str
) -> None:
    found = diagnose(pair, tmp_path)
    (finding,) = [finding for finding in found.findings if finding.mode == "eval"]
    assert (finding.path, finding.direction, finding.causes[0].says) == (module, "forward", cause)
    assert not [row.path for row in found.modules if row.status == "not compared"]


@pytest.mark.parametrize(("pair", "modules"), [("TEXT", []), ("SCALE", ["second"]), ("TYPES", ["words"])])
def test_modules_with_tensors_in_another_order_run_alone(tmp_path: Path, pair: str, modules: list[str]) -> None:
    found = diagnose(pair, tmp_path)
    assert [finding.path for finding in found.findings] == modules
    assert not [row.path for row in found.modules if row.status == "not compared"]


@pytest.mark.parametrize(
    ("arrays", "expected", "places"),
    [
        ([A, B], [A, B], [0, 1]),
        ([B * 1.001, A], [A, B], [1, 0]),
        ([B, C, A], [A, B], [1, None, 0]),
        ([A, A, A], [A, A, A], [0, 1, 2]),
        ([A * 9, C], [C, A], [1, 0]),
        ([C[:2], A], [A, C], [1, 0]),
        ([A * np.nan], [B], [0]),
    ],
)
def test_match_pairs_tensors_by_values_then_by_shapes(
    arrays: list[np.ndarray], expected: list[np.ndarray], places: list[int | None]
) -> None:
    assert match(arrays, expected) == places
