"""Training mode where a side draws: not compared, or a divergence where the other side draws nothing."""

from __future__ import annotations

from alignment.judging.training_mode import DRAWS, left_out, notes, reason

RATE, LOGITS = "train_mode/rate_0.5", "train_mode/logits"


def test_sides_that_draw_nothing_are_compared() -> None:
    assert not left_out(LOGITS, {LOGITS}, {LOGITS})
    assert not [*notes({LOGITS}, {LOGITS})]


def test_side_that_draws_beside_one_with_a_rate_is_left_out_with_a_note() -> None:
    sides = {RATE, LOGITS}, {DRAWS}
    assert all(left_out(key, *sides) for key in (RATE, LOGITS, DRAWS))
    assert "by the candidate" in "".join(notes(*sides))
    assert not left_out("forward/logits", *sides)


def test_side_that_draws_beside_one_without_any_rate_diverges() -> None:
    sides = {LOGITS}, {DRAWS}
    assert left_out(LOGITS, *sides)
    assert not left_out(DRAWS, *sides)
    assert reason(DRAWS, *sides) == "the candidate draws random numbers in training mode, the reference none"
    assert not [*notes(*sides)]


def test_rate_of_one_side_is_named() -> None:
    assert reason(RATE, {LOGITS}, {LOGITS, RATE}) == (
        "the candidate has dropouts or drop paths of rate 0.5, the reference none"
    )
    assert reason(LOGITS, {LOGITS}, {LOGITS}) == ""


def test_rate_of_the_other_side_is_named_with_it() -> None:
    other, unscaled = "train_mode/rate_0.2", f"{RATE}_unscaled"
    assert reason(RATE, {RATE}, {other}) == (
        "the reference has dropouts or drop paths of rate 0.5, the candidate none, but of rate 0.2"
    )
    assert reason(unscaled, {RATE}, {RATE, unscaled}) == (
        "the candidate has a dropout or drop path of rate 0.5 that does not divide what it keeps by one minus the "
        "rate, the reference none"
    )
