"""Looking at the modules of a model does not change what it computes, or that is said and nothing is accused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import cli
from alignment.bisection.recorded import Deduplicator
from alignment.bisection.watching import Results, difference
from alignment.results.findings import Bisection

PAIRS = Path(__file__).parents[1] / "inplace_pairs.py"
ONE, TWO = np.ones(3), np.array([1.0, 1.0, 1.0 + 1e-15])


def run(command: str, pair: str, out: Path) -> Result:
    words = (command, "--pair", f"{PAIRS}:{pair}", "--batch-size", "2", "--threads", "1", "--out", str(out))
    return CliRunner().invoke(cli.pit_align, words, prog_name="pit-align")


@pytest.mark.parametrize("pair", ["RIGHT", "IN_PLACE"])
def test_right_port_of_activation_in_place_before_skip_is_not_accused(tmp_path: Path, pair: str) -> None:
    done = run("bisect", pair, tmp_path)
    assert done.exit_code == 0, done.output
    assert {row.status for row in Bisection.read(tmp_path / "bisection.json").modules} == {"agrees"}


def test_skip_that_misses_activation_in_place_is_named(tmp_path: Path) -> None:
    done = run("diagnose", "WRONG", tmp_path)
    assert done.exit_code == 1, done.output
    found = Bisection.read(tmp_path / "bisection.json")
    (finding,) = found.findings
    assert (finding.kind, finding.path, finding.direction) == ("module", "", "forward")
    assert "not act, flattened + conv, flattened" in finding.causes[0].says
    assert {row.path: row.status for row in found.modules} == {
        **dict.fromkeys(("act", "conv", "fc"), "inherits"),
        "": "guilty",
    }


def test_model_that_changes_when_watched_is_judged_as_a_whole(tmp_path: Path) -> None:
    done = run("bisect", "HOOKED", tmp_path)
    assert done.exit_code == 0, done.output
    found = Bisection.read(tmp_path / "bisection.json")
    assert {row.path: row.status for row in found.modules}[""] == "agrees"
    assert {row.status for row in found.modules if row.path} == {"not compared"}
    assert any("gives something else in eval mode when its modules are watched" in note for note in found.notes)


def test_reference_that_draws_at_random_is_refused(tmp_path: Path) -> None:
    done = run("bisect", "RANDOM", tmp_path)
    assert done.exit_code == 3
    assert "the reference gives something else every time" in done.stderr
    assert "two runs of the torch model on the same input differ in eval mode" in done.stderr


@pytest.mark.parametrize(
    ("other", "name", "error"),
    [
        (Results([ONE], ONE, {"w": ONE}), "", 0.0),
        (Results([ONE], ONE, {"w": TWO}), "the gradient of w", 5.7e-16),
        (Results([TWO], ONE, {"w": ONE * 2}), "the gradient of w", 1.0),
        (Results([ONE, ONE], ONE, {"w": ONE}), "output 1", np.inf),
        (Results([ONE], ONE * np.nan, {"w": ONE}), "the loss", np.inf),
        (Results([ONE.astype(np.float32)], ONE, {"w": ONE}), "output 0", np.inf),
    ],
)
def test_difference_names_the_worst_quantity(other: Results, name: str, error: float) -> None:
    found, relative = difference(Results([ONE], ONE, {"w": ONE}), other)
    assert found == name
    assert relative == pytest.approx(error, rel=0.2)


def test_recording_is_rewound_to_a_mark(tmp_path: Path) -> None:
    aliases: dict[str, str] = {}
    recorded = Deduplicator(tmp_path, "float64", aliases)
    recorded.add("eval/tap/a:0/output/0", ONE, "output", "eval")
    mark = recorded.mark()
    for _ in range(2):
        recorded.add("eval/tap/b.c:0/input/0", ONE, "output", "eval")
        recorded.add("eval/tap/b.c:1/output/0", TWO, "output", "eval")
        assert recorded.calls("eval") == [("a", 0), ("b.c", 1), ("b.c", 0)]
        for key, array in (("b.c:0/input/0", ONE), ("b.c:1/output/0", TWO)):
            kept = recorded.get(f"eval/tap/{key}")
            assert kept is not None
            assert np.array_equal(kept, array)
        recorded.rewind(mark)
        assert not aliases
        assert recorded.get("eval/tap/b.c:1/output/0") is None
