"""A layer that is called in the place of another one is named, with the call."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

import cli
from alignment.results.findings import Bisection

PAIRS = Path(__file__).parents[1] / "sharing_pairs.py"


@pytest.mark.parametrize(
    ("pair", "says"),
    [
        ("LAYER", "layers.1 is called where layers.0 is meant, in its call 2"),
        ("NORM", "norms.0 is called where norms.1 is meant, in its call 2"),
        ("NORM", "its norms.1 takes no part in what it gives"),
    ],
)
def test_layer_that_is_called_in_the_place_of_another_is_named(pair: str, says: str, tmp_path: Path) -> None:
    words = ("diagnose", "--pair", f"{PAIRS}:{pair}", "--batch-size", "4", "--threads", "1", "--out", str(tmp_path))
    done = CliRunner().invoke(cli.pit_align, words, prog_name="pit-align")
    assert done.exit_code == 1, done.output
    (finding,) = [one for one in Bisection.read(tmp_path / "bisection.json").findings if one.mode == "eval"]
    assert finding.candidate == ""
    assert says in [cause.says for cause in finding.causes]
