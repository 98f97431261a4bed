"""The line that says what is wrong: where, what, and where to look."""

from __future__ import annotations

from alignment.results.findings import Bisection, Cause, Evidence, Finding, cause_line

CAUSE = Cause("softmax axis", "its softmax runs over axis 1, not 2", "net.py:7: F.softmax(x, 1)", 0.1, 1e-16)


def finding(path: str, *causes: Cause, direction: str = "forward") -> Finding:
    return Finding("module", path, path, "eval", direction, (Evidence("output 0", 0.1, "differs"),), causes)


def test_line_has_the_places_of_one_cause_and_counts_the_other_findings() -> None:
    found = (finding("head"), finding("layers.0.attn", CAUSE), finding("layers.1.attn", CAUSE))
    assert cause_line(found) == (
        "layers.{0..1}.attn: its softmax runs over axis 1, not 2 (net.py:7: F.softmax(x, 1)); and 1 more finding"
    )


def test_line_without_a_cause_has_the_place() -> None:
    assert cause_line((finding("head", direction="backward"),)) == (
        "head differs by itself, in its gradient; the reason is not known"
    )
    assert cause_line(()) == ""


def test_cause_stands_near_the_top_of_the_json() -> None:
    made = Bisection("net", ("torch", "paddle"), "float64", True, (finding("head", CAUSE),), (), cause="head: why")
    assert list(made.to_json())[:5] == ["model", "sides", "dtype", "diverges", "cause"]
