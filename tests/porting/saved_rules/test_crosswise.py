"""Rules that give modules each other's weights are told in a sentence; renamed and shifted ones are not."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from porting.rules import linear, rule
from porting.saved_rules import SavedSide, SavedTable, TensorInfo
from porting.terminal.plan_table import table_text

SHAPE = (3, 3)


def table(pairs: Mapping[str, str]) -> SavedTable:
    """Return rules that take each source to its target."""
    torch = SavedSide("torch", {name: TensorInfo(SHAPE) for name in pairs})
    paddle = SavedSide("paddle", {name: TensorInfo(SHAPE) for name in pairs.values()})
    return SavedTable(torch, paddle, tuple(rule(source, target) for source, target in pairs.items()))


def blocks(name: str, other: str, places: tuple[int, ...]) -> dict[str, str]:
    parts = ("norm1.weight", "fc.weight", "fc.bias")
    return {f"{name}.{at}.{part}": f"{other}.{place}.{part}" for at, place in enumerate(places) for part in parts}


def test_exchanged_blocks_are_told_with_both_names_and_in_their_order() -> None:
    saved = table(blocks("blocks", "blocks", (0, 2, 1, 3)))
    assert saved.crosswise.startswith(
        "the rules go crosswise to the names: blocks.1 of the reference is blocks.2 of the candidate, "
        "blocks.2 is blocks.1; if weights are to be read by name there"
    )
    shown = table_text(saved.plan("reference"), folded=True, width=120)
    assert "blocks.{0..3}.fc.bias" in shown
    assert "blocks.{0,2,1,3}.fc.bias" in shown


def test_many_exchanged_blocks_are_counted() -> None:
    saved = table(blocks("layers", "blocks", (5, 4, 3, 2, 1, 0)))
    assert "layers.0 of the reference is blocks.5 of the candidate, layers.1 is blocks.4" in saved.crosswise
    assert "and 2 more;" in saved.crosswise


def test_exchanged_names_without_numbers_are_told() -> None:
    saved = table({"a.fc.weight": "a.mlp.weight", "a.mlp.weight": "a.fc.weight", "a.norm.weight": "a.norm.weight"})
    assert "a.fc of the reference is a.mlp of the candidate, a.mlp is a.fc" in saved.crosswise
    turn = table({"q.weight": "k.weight", "k.weight": "v.weight", "v.weight": "q.weight"})
    assert "q of the reference is k of the candidate, k is v, v is q" in turn.crosswise


@pytest.mark.parametrize(
    "pairs",
    [
        blocks("blocks", "blocks", (0, 1, 2)),
        blocks("layers", "stages.0", (0, 1, 2)),
        {"features.0.weight": "features.0.weight", "features.2.weight": "features.1.weight"},
        {"features.0.weight": "features.1.weight", "features.1.weight": "features.2.weight"},
        {"a.0.weight": "b.1.weight", "a.2.weight": "b.3.weight"},
        {"a.weight": "b.weight", "b.weight": "c.weight"},
        {},
    ],
)
def test_renamed_and_shifted_modules_are_not_crosswise(pairs: dict[str, str]) -> None:
    assert not table(pairs).crosswise


def test_transposed_weight_under_its_own_name_is_not_crosswise() -> None:
    torch = SavedSide("torch", {"fc.weight": TensorInfo(SHAPE)})
    paddle = SavedSide("paddle", {"fc.weight": TensorInfo(SHAPE)})
    assert not SavedTable(torch, paddle, linear("fc", "fc")[:1]).crosswise
