"""A table that both sides make in float32, each in its way, is no mistake; one of other numbers is."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

import cli
from alignment.results.findings import Bisection

pytest.importorskip("torch")
PAIRS = Path(__file__).parents[1] / "built_table_pairs.py"


@pytest.mark.parametrize("command", ["bisect", "diagnose"])
@pytest.mark.parametrize(("pair", "code"), [("RIGHT", 0), ("WRONG", 1)])
def test_table_of_float32_diverges_only_where_its_numbers_are_others(
    tmp_path: Path, command: str, pair: str, code: int
) -> None:
    words = [command, "--pair", f"{PAIRS}:{pair}", "--batch-size", "2", "--threads", "1", "--out", str(tmp_path)]
    done = CliRunner().invoke(cli.pit_align, words, prog_name="pit-align")
    result = Bisection.read(tmp_path / "bisection.json")
    assert (done.exit_code, result.diverges) == (code, bool(code)), done.output
    assert any("tables that a model makes in float32" in note for note in result.notes) == (code == 0)
