"""The command: exit codes, JSON, the page, and what it hands on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import cli
from alignment.power import run
from alignment.power.run import Budget
from alignment.results.power import Planted, Power
from alignment.results.report import DIVERGENCE, SAME_FUNCTION, Report, Row

_EPS = Planted("eps", "norm", "LayerNorm", "another eps", True, by="forward/logits")
_LOSS = Planted("loss", "loss/cross_entropy", "", "class 0 ignored", False, changes=False)
POWER = Power("pit_micro", (_EPS, _EPS, _EPS, _LOSS), 4, dtype="float64")
DIFFERS = Power("pit_micro", problem="nothing was planted, since the pair differs: 1 of 1 rows")


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What `measure` was called with; its `power` is what it returns."""
    given: dict[str, Any] = {"power": POWER}

    def measure(pair: Any, out: Path, settings: Any, budget: Budget | None = None, **_: Any) -> Report:
        given.update(out=out, settings=settings, budget=budget)
        differs = bool(given["power"].problem)
        row = Row("forward/logits", "forward", "output", "float64", 0.0, 0.0, 0.0, SAME_FUNCTION, "equal")
        verdict = DIVERGENCE if differs else SAME_FUNCTION
        return Report(verdict, "pit_micro", ("forward",), (row,), power=given["power"])

    monkeypatch.setattr(run, "measure", measure)
    return given


def align(*words: str) -> Result:
    return CliRunner().invoke(cli.pit_align, [*words, "--model", "pit_micro"])


@pytest.mark.parametrize(("at_least", "code"), [(None, 0), ("75", 0), ("75.1", 1)])
def test_share_below_the_least_one_exits_1(at_least: str | None, code: int, measured: dict[str, Any]) -> None:
    done = align("power", *(["--at-least", at_least] if at_least else []))
    assert done.exit_code == code
    assert "NOTICES 75 %" in done.stdout


def test_pair_that_differs_exits_1(measured: dict[str, Any]) -> None:
    measured["power"] = DIFFERS
    done = align("power")
    assert done.exit_code == 1
    assert "nothing was planted, since the pair differs" in done.stdout


def test_json_has_share_and_every_mistake(measured: dict[str, Any]) -> None:
    value = json.loads(align("power", "--json").stdout)
    assert (value["share"], value["noticed"], value["possible"]) == (0.75, 3, 4)
    assert value["planted"][3]["says"] == "class 0 ignored"


def test_options_reach_the_measurement(measured: dict[str, Any], tmp_path: Path) -> None:
    words = ("--limit", "7", "--seconds", "2.5", "--without", "bp", "--out", str(tmp_path / "out"))
    assert align("power", *words).exit_code == 0
    assert measured["budget"] == Budget(7, 2.5)
    assert "bp" not in measured["settings"].steps
    assert measured["out"] == tmp_path / "out"
    assert align("power").exit_code == 0
    assert measured["out"] == Path("logs/pit_micro-power")


def test_all_shows_it_below_the_report_and_in_the_page(measured: dict[str, Any], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    measured["power"] = POWER
    done = align("all", "--power", "--out", str(tmp_path), "--html", str(page))
    assert done.exit_code == 0
    assert done.stdout.index("SAME FUNCTION") < done.stdout.index("NOTICES 75 %")
    assert "What this proof is worth" in page.read_text()


@pytest.mark.parametrize("words", [("--limit", "0"), ("--seconds", "0"), ("--at-least", "101")])
def test_option_out_of_range_is_a_usage_error(words: tuple[str, str]) -> None:
    assert align("power", *words).exit_code == 2


def test_only_all_takes_power_and_without() -> None:
    assert align("forward", "--power").exit_code == 2
    assert align("forward", "--without", "bp").exit_code == 2
