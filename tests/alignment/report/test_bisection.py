"""Findings at a terminal: those with one cause are shown once, with the names of the other places below."""

from __future__ import annotations

import io

from rich.console import Console

from alignment.report.bisection import print_bisection, print_findings
from alignment.results.findings import Bisection, Cause, Evidence, Finding

EPS = Cause("eps", "its epsilon is 1e-3, not 1e-5", "norm.epsilon", 1e-3, 0.0)
OTHER = Cause("gelu", "GELU is approximated by tanh", "act", 1e-3, 0.0)


def finding(path: str, *causes: Cause) -> Finding:
    evidence = (Evidence("output 0", 1e-3, f"differs at {path}"), Evidence("blame", None, "has no modules"))
    return Finding("module", path, path, "eval", "forward", evidence, causes, 3)


FINDINGS = (
    *(finding(f"blocks.{number}.norm", EPS) for number in range(4)),
    finding("act", OTHER),
    finding("head"),
    finding("tail"),
)
BISECTION = Bisection("m", ("torch", "paddle"), "float64", True, findings=FINDINGS, modules=(), hypotheses=True)


def shown(*, verbose: bool) -> str:
    console = Console(width=200, file=io.StringIO(), record=True)
    print_bisection(BISECTION, console, verbose=verbose)
    return console.export_text()


def test_places_with_one_cause_are_shown_once() -> None:
    text = shown(verbose=False)
    assert text.count(EPS.says) == 1
    assert "   the same in 3 other places: blocks.{1..3}.norm; -v shows them" in text
    assert "differs at blocks.1.norm" not in text
    assert "5. module act" in text
    for unexplained in ("6. module head", "7. module tail"):
        assert unexplained in text
    assert text.count("none of 3 known mistakes explains it") == 2
    assert text.count("blame: has no modules") == 2


def test_verbose_shows_every_place_and_its_evidence() -> None:
    text = shown(verbose=True)
    assert text.count(EPS.says) == 4
    assert text.count("blame: has no modules") == len(FINDINGS)


def test_findings_of_training_are_shown_alike() -> None:
    console = Console(width=200, file=io.StringIO(), record=True)
    print_findings(FINDINGS, console)
    assert console.export_text().count(EPS.says) == 1
