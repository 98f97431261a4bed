"""What a proof is worth at a terminal and in the page."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from alignment.report.html import render
from alignment.report.power import print_power
from alignment.report.terminal import print_report
from alignment.results.power import Planted, Power
from alignment.results.report import Report, Row

_IGNORED = Planted("loss", "loss/cross_entropy", "", "class 0 ignored", False, changes=False, needs="class 0")
_ROWS = Planted("last row", "words.weight", "Embedding", "its last row differs", True, by="forward/parameters/words")
_FAILS = Planted("stride", "conv", "Conv2D", "its stride is 2, not 1", True, fails="the model fails")
_EPS = tuple(
    Planted("eps", f"norms.{number}", "LayerNorm", "another eps", True, by="forward/logits") for number in range(30)
)
POWER = Power("net", (*_EPS, _IGNORED, _ROWS, _FAILS), 40, ("eps: unused",), "float64", 12.0, 5.0)
_ROW = Row("forward/logits", "forward", "output", "float64", 0.0, 0.0, 0.0, "same function", "equal")
REPORT = Report("same function", "net", ("forward",), (_ROW,), power=POWER)


def printed(power: Power, *, verbose: bool = False) -> str:
    text = StringIO()
    print_power(power, Console(file=text, width=160), verbose=verbose)
    return text.getvalue()


def test_terminal_shows_share_kinds_and_what_is_missed_with_what_it_needs() -> None:
    text = printed(POWER)
    assert text.startswith("net: NOTICES 96.9 %\nof 33 mistakes that were planted the proof notices 32, in float64; 40")
    assert "eps            30       30  forward\n" in text
    assert "not exercised, nothing that is compared changes (1):" in text
    assert "loss/cross_entropy: class 0 ignored; it would need class 0" in text
    assert "noticed by the comparison of the weights alone (1):" in text
    assert "never reached, counted neither way (1): eps: unused" in text
    assert "norms." not in text


def test_verbose_terminal_shows_every_mistake() -> None:
    text = printed(POWER, verbose=True)
    assert "eps, norms.29: another eps: noticed by forward/logits" in text
    assert "stride, conv: its stride is 2, not 1: it fails" in text
    assert "loss, loss/cross_entropy: class 0 ignored: not noticed" in text


def test_terminal_says_why_nothing_was_planted() -> None:
    power = Power("net", problem="nothing was planted, since the pair differs: 1 of 2 rows")
    assert printed(power) == "net: NOTHING PLANTED\nnothing was planted, since the pair differs: 1 of 2 rows\n"


@pytest.mark.parametrize("power", [POWER, None])
def test_report_at_a_terminal_ends_with_it_if_there_is_one(power: Power | None) -> None:
    text = StringIO()
    print_report(replace(REPORT, power=power), Console(file=text, width=160))
    assert ("NOTICES 96.9 %" in text.getvalue()) is (power is not None)


def test_page_has_a_section_of_it() -> None:
    page = render([REPORT])
    assert "What this proof is worth" in page
    assert "Not exercised: nothing that is compared changes (1)" in page
    assert "class 0 ignored; it would need class 0" in page
    assert "What this proof is worth" not in render([replace(REPORT, power=None)])


def test_nothing_of_it_is_markup_or_controls_a_terminal() -> None:
    evil = replace(_IGNORED, path="<b>\x1b[31m", says="<script>")
    power = replace(POWER, planted=(evil,))
    page = render([replace(REPORT, power=power)])
    assert page.count("<script>") == 1  # the page's own
    assert "&lt;script&gt;" in page
    assert "\x1b" not in printed(power)
