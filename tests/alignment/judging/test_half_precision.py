"""Notes on half precision: what it can tell, and a candidate that does not compute in it."""

from __future__ import annotations

from alignment.judging.half_precision import notes
from alignment.results.report import ROUNDING, Row


def row(kind: str, margin: float) -> Row:
    return Row(
        *(f"forward/{kind}", "forward", kind, "bfloat16", 0.0, 0.0, 0.0, ROUNDING, ""),
        error=0.01 * margin,
        floor=0.01,
        margin=margin,
        limit=4.0,
    )


def test_note_says_what_is_told_from_rounding_and_how_to_see_more() -> None:
    (note,) = notes([row("output", 1.0), row("gradient", 0.7)], ["bfloat16"])
    assert note == (
        "bfloat16 tells errors from rounding above 4.0% of the outputs, 4.0% of the gradients; --dtype both,bfloat16 "
        "sees smaller ones"
    )
    (note,) = notes([row("output", 1.0)], ["float64", "bfloat16"])
    assert "sees" not in note


def test_candidate_far_below_the_rounding_is_said_to_compute_in_a_wider_precision() -> None:
    assert "it computes in a wider precision" in " ".join(notes([row("output", 1e-4)], ["bfloat16"]))
    assert not [*notes([], ["float64"])]
