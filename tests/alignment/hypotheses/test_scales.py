"""Bases of powers, tables that are read as they are, and loops that take parts in another order are named."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

import cli
from alignment.results.findings import Bisection

PAIRS = Path(__file__).parents[1] / "scales_pairs.py"


@pytest.mark.parametrize(
    ("pair", "says"),
    [
        ("BASE", "the base of its power is 20, not 10000"),
        ("QUERIES", "what layer gets is query.weight, not nothing"),
        ("TURNED", "in turn it takes [1], [0], where [0], [1] is meant"),
    ],
)
def test_mistake_between_modules_is_named(pair: str, says: str, tmp_path: Path) -> None:
    words = ("diagnose", "--pair", f"{PAIRS}:{pair}", "--batch-size", "2", "--threads", "1", "--out", str(tmp_path))
    done = CliRunner().invoke(cli.pit_align, words, prog_name="pit-align")
    assert done.exit_code == 1, done.output
    (finding,) = [one for one in Bisection.read(tmp_path / "bisection.json").findings if one.mode == "eval"]
    assert (finding.candidate, finding.causes[0].says) == ("", says)
