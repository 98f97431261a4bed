from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from porting.names import fold, nearest, unknown


@pytest.mark.parametrize(
    ("names", "folded"),
    [
        ([], []),
        (["a"], ["a"]),
        (["a.0.w", "a.1.w", "a.2.w"], ["a.{0..2}.w"]),
        (["a.0.w", "a.2.w"], ["a.{0,2}.w"]),
        (["a.0.b.0", "a.0.b.1", "a.1.b.0", "a.1.b.1"], ["a.{0..1}.b.{0..1}"]),
        (["a.0.b.0", "a.0.b.1", "a.1.b.0"], ["a.0.b.{0..1}", "a.1.b.0"]),
        (["norm1.weight", "norm2.weight"], ["norm1.weight", "norm2.weight"]),
    ],
)
def test_fold(names: list[str], folded: list[str]) -> None:
    assert fold(names) == folded


def _unfold(name: str) -> set[str]:
    braces = re.search(r"\{([\d.,]+)\}", name)
    if not braces:
        return {name}
    indices: list[int] = []
    for run in braces[1].split(","):
        low, _, high = run.partition("..")
        indices += range(int(low), int(high or low) + 1)
    return {unfolded for index in indices for unfolded in _unfold(name.replace(braces[0], str(index), 1))}


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.sampled_from(["x", "y"])), unique=True))
def test_folded_names_stand_for_exactly_those_given(parts: list[tuple[int, int, str]]) -> None:
    names = {f"s.{stage}.b.{block}.{leaf}" for stage, block, leaf in parts}
    folded = [_unfold(name) for name in fold(names)]
    assert sum(map(len, folded)) == len(names)
    assert set().union(*folded) == names


def test_a_number_of_thousands_of_digits_is_no_index() -> None:
    names = [f"blocks.{'1' * 5000}.w", f"blocks.{'1' * 5001}.w", "blocks.3.w"]
    assert fold(names) == names


def test_nearest_names_are_offered() -> None:
    assert nearest("pit_bb", ["pit_b", "pit_ti"]) == ["pit_b"]
    assert str(unknown("model", "pit_bb", ["pit_b", "pit_ti"])) == "unknown model 'pit_bb'; did you mean pit_b?"
    assert str(unknown("model", "vgg", ["pit_b", "pit_ti"])) == "unknown model 'vgg'; known: pit_b, pit_ti"
