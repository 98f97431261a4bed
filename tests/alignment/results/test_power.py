"""How much a proof is worth, as numbers and words."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from alignment.results.power import Planted, Power, folded, headline, percent
from alignment.results.report import Report, Row, read_report, write_report

EPS = Planted("eps", "norm", "LayerNorm", "its eps is 1e-05, not 1e-06", noticed=True, by="forward/logits", error=1e-6)
STOPPED = Planted("gradient stopped", "fc", "Linear", "no gradient flows", noticed=True, by="bp/gradient/fc.weight")
FAILING = Planted("stride", "conv", "Conv2D", "its stride is 2, not 1", noticed=True, fails="the model fails")
WEIGHTS = Planted("last row", "words.weight", "Embedding", "other values", noticed=True, by="forward/parameters/words")
IGNORED = Planted("loss", "loss/cross_entropy", "", "class 0 ignored", noticed=False, changes=False, needs="class 0")
SMALL = Planted("eps", "norms.0", "LayerNorm", "another eps", noticed=False)
POWER = Power("net", (EPS, STOPPED, FAILING, WEIGHTS, IGNORED, SMALL), 9, ("eps: unused",), "float64", 2.0, 1.0)


def test_share_counts_what_is_noticed_by_results_failures_and_weights() -> None:
    assert (POWER.noticed, POWER.share) == (4, 4 / 6)
    assert POWER.missed == (IGNORED, SMALL)
    assert POWER.unexercised == (IGNORED,)
    assert POWER.below_limits == (SMALL,)
    assert POWER.by_weights == (WEIGHTS,)


def test_kinds_are_counted_with_the_steps_that_notice_them_first() -> None:
    kinds = {kind: counts for kind, *counts in POWER.by_kind()}
    assert kinds["eps"] == [2, 1, {"forward": 1}]
    assert kinds["gradient stopped"] == [1, 1, {"bp": 1}]
    assert kinds["stride"] == [1, 1, {"fails": 1}]
    assert kinds["loss"] == [1, 0, {}]


def test_nothing_planted_is_worth_nothing() -> None:
    power = Power("net", problem="nothing was planted, since the pair differs: why")
    assert power.share == 0
    assert headline(power) == power.problem


def test_headline_says_how_many_could_be_planted() -> None:
    assert headline(POWER) == "of 6 mistakes that were planted the proof notices 4, in float64; 9 could be"
    assert "could" not in headline(replace(POWER, possible=6))


def test_headline_of_a_model_without_modules_says_that_the_share_says_little() -> None:
    whole = replace(SMALL, kind="state kept", path="", noticed=True, by="bp/loss_0")
    assert headline(replace(POWER, planted=(whole,), possible=1)).endswith("so that this says little")


def test_percent_is_rounded_down_so_that_100_means_all() -> None:
    assert [percent(share) for share in (1.0, 0.9999, 0.95, 0.0)] == ["100 %", "99.9 %", "95 %", "0 %"]


def test_same_mistake_in_many_modules_is_one_line() -> None:
    several = [replace(SMALL, path=f"norms.{number}") for number in range(3)]
    assert list(folded([*several, IGNORED])) == [
        ("norms.{0..2} (LayerNorm)", "another eps"),
        ("loss/cross_entropy", "class 0 ignored; it would need class 0"),
    ]
    assert list(folded([replace(SMALL, path="", of="Net")])) == [("the model (Net)", "another eps")]


def test_report_keeps_it_and_earlier_reports_have_none(tmp_path: Path) -> None:
    row = Row("forward/logits", "forward", "output", "float64", 0.0, 0.0, 0.0, "same function", "equal")
    path = tmp_path / "report.json"
    report = Report("same function", "net", ("forward",), (row,), power=POWER)
    write_report(report, path)
    assert read_report(path) == report
    value = json.loads(path.read_text())
    del value["power"]
    path.write_text(json.dumps(value))
    assert read_report(path).power is None
