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


def test_epsilon_of_all_norms_is_the_only_cause_where_none_shows_how_they_are_cut(tmp_path: Path) -> None:
    found = diagnose("UNITS", tmp_path).findings
    assert {finding.path for finding in found} == {"0.bn", "1.bn"}
    assert {finding.causes[0].says for finding in found} == {"its epsilon is 0.001, not 1e-05: pass epsilon=1e-05"}


def test_positions_off_by_one_are_named_where_the_port_has_no_axis_for_the_batch(tmp_path: Path) -> None:
    (finding,) = [one for one in diagnose("PLACES", tmp_path).findings if one.direction == "forward"]
    assert (finding.candidate, finding.causes[0].says) == ("", "what places gets is off by +1")


def test_activation_of_another_name_is_the_only_cause_and_no_statistics_are(tmp_path: Path) -> None:
    found = diagnose("SWISH", tmp_path).findings
    assert all("it computes silu" in finding.causes[0].says for finding in found)
    assert {finding.path for finding in found} <= {"0.bn.act", "1.bn.act", "0", "1"}


def test_block_without_its_shortcut_is_blamed_although_it_gives_what_a_module_in_it_gives(tmp_path: Path) -> None:
    words = ("diagnose", "--pair", f"{PAIRS.parent / 'shortcut_pairs.py'}:MISSING", "--batch-size", "2")
    done = CliRunner().invoke(cli.pit_align, (*words, "--threads", "1", "--out", str(tmp_path)), prog_name="pit-align")
    assert done.exit_code == 1, done.output
    (finding,) = Bisection.read(tmp_path / "bisection.json").findings
    assert (finding.candidate, finding.direction) == ("first", "forward")
    assert "not what it gets + " in finding.causes[0].says


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
        ([A * 9, A * 9, B * 9], [A, B], [0, None, 1]),
    ],
)
def test_match_pairs_tensors_by_values_then_by_shapes(
    arrays: list[np.ndarray], expected: list[np.ndarray], places: list[int | None]
) -> None:
    assert match(arrays, expected) == places
