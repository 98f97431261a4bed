"""A report in a notebook, in a data frame and in a test."""

from __future__ import annotations

import sys
import types
from dataclasses import replace
from typing import Any

import pytest

from alignment.errors import AlignmentError, DivergenceError, NothingComparedError
from alignment.results.report import DIVERGENCE, SAME_FUNCTION, Report, Row
from alignment.results.verdicts import Verdict

ROW = Row("forward/<b>", "forward", "output", "float64", 0.1, 0.2, 0.3, DIVERGENCE, "differs", margin=2.0)
BAD = Report(DIVERGENCE, "<m>", ("forward",), (ROW,))
GOOD = Report(SAME_FUNCTION, "m", ("forward",), (replace(ROW, verdict=SAME_FUNCTION),))


def test_repr_is_one_line() -> None:
    assert repr(GOOD) == "<Report m: same function, 1 row>"


def test_html_shows_the_verdict_and_the_rows_that_diverge_escaped() -> None:
    page = BAD._repr_html_()
    assert "DIVERGENCE" in page
    assert "<td>forward/&lt;b&gt;</td>" in page
    assert "<b>&lt;m&gt;</b>" in page
    assert "<table>" not in GOOD._repr_html_()
    assert "<b>without a model</b>" in replace(GOOD, model="")._repr_html_()
    assert "more rows" in replace(BAD, rows=tuple(replace(ROW, key=f"forward/{i}") for i in range(20)))._repr_html_()


def test_divergence_is_raised_with_its_rows_and_a_passing_report_returned() -> None:
    assert GOOD.raise_for_divergence() is GOOD
    with pytest.raises(DivergenceError, match="<m> diverges: 1 of 1 rows diverge") as caught:
        BAD.raise_for_divergence()
    assert caught.value.details == (
        "forward/<b> (float64): differs",
        "weights were not compared: check that both sides have the same",
    )
    assert caught.value.exit_code == 1
    with pytest.raises(DivergenceError, match="its epsilon"):
        replace(BAD, cause="its epsilon is 0.1").raise_for_divergence()
    with pytest.raises(NothingComparedError):
        Report(SAME_FUNCTION, "m", (), ()).raise_for_divergence()


def test_rows_become_a_data_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    pandas: Any = types.ModuleType("pandas")
    pandas.DataFrame = dict
    monkeypatch.setitem(sys.modules, "pandas", pandas)
    frame = BAD.to_pandas()
    assert (frame["key"], frame["share_of_limit"]) == (["forward/<b>"], [2.0])
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(AlignmentError, match="pip install pandas"):
        BAD.to_pandas()


def test_verdicts_equal_the_words_of_reports() -> None:
    assert Verdict(BAD.verdict) is Verdict.DIVERGENCE
    assert hash(Verdict.DIVERGENCE) == hash(BAD.verdict)
    assert Verdict("same function") is Verdict.SAME_FUNCTION
    assert f"{Verdict.ROUNDING}" == "rounding"
    assert Verdict.SAME_FUNCTION.strength > Verdict.DIVERGENCE.strength
