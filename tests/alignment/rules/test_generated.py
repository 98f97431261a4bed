"""Drawn pairs are one function on both sides, and their score tells right rules from wrong ones."""

from __future__ import annotations

import numpy as np
import pytest

from alignment.pair import ROLES
from benchmarks.rules import scoring
from benchmarks.rules.adapter import Arrays, Found
from benchmarks.rules.drawing import Draw, draw, plant
from benchmarks.rules.families import FAMILIES
from benchmarks.rules.sides import draw_weights

_VIT = Draw(4, "vit")


def _found(monkeypatch: pytest.MonkeyPatch, drawn: Draw, change: dict[str, str]) -> scoring.Score:
    """The score of rules that know the truth, with weights given for others."""

    def convert(_: Arrays) -> Arrays:
        made, side = drawn.tensors("candidate")
        weights = draw_weights(side.shapes, 1)
        return scoring.truth(made, weights | {key: weights[other] for key, other in change.items()})

    monkeypatch.setattr(scoring, "find", lambda pair: Found(convert))
    return scoring.score(drawn)


@pytest.mark.parametrize("family", FAMILIES)
def test_both_sides_of_a_draw_are_one_function(family: str) -> None:
    assert scoring.broken(Draw(1, family)) == ""


@pytest.mark.parametrize("family", ["bottlenecks", "decoder", "swin"])
def test_draws_are_one_function_across_frameworks(family: str) -> None:
    assert scoring.broken(Draw(2, family, ("torch", "paddle"))) == ""


def test_draw_is_the_same_for_the_same_seed() -> None:
    first, second = (draw(14).tensors("candidate")[0] for _ in range(2))
    assert list(first) == list(second)
    assert draw(14) == draw(14) != draw(15)


def test_right_rules_score_as_right(monkeypatch: pytest.MonkeyPatch) -> None:
    result = _found(monkeypatch, _VIT, {})
    assert (result.verdict, list(result.lines)) == (scoring.RIGHT, [])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"blocks.0.norm1.scale": "blocks.0.norm2.scale"}, "outputs are"),
        ({"blocks.0.attn.q.weight": "blocks.0.attn.v.weight"}, "outputs are"),
        ({"blocks.0.attn.k.bias": "blocks.1.attn.k.bias"}, "which no output shows"),
    ],
)
def test_tensors_taken_for_others_score_as_wrong(
    change: dict[str, str], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = _found(monkeypatch, _VIT, change)
    assert result.verdict == scoring.WRONG
    assert reason in result.lines[0]


def test_experts_exchanged_without_their_router_score_as_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    experts = {
        f"blocks.0.moe.w_{way}.{n}.weight": f"blocks.0.moe.w_{way}.{1 - n}.weight"
        for way in ("in", "out")
        for n in (0, 1)
    }
    drawn = next(d for seed in range(40) if "experts" in (d := Draw(seed, "decoder")).make("candidate")[1].choices)
    assert _found(monkeypatch, drawn, experts).verdict == scoring.WRONG


def test_rules_that_leave_a_tensor_out_score_as_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    made, side = _VIT.tensors("candidate")
    state = scoring.truth(made, draw_weights(side.shapes, 1))
    name = next(iter(state))
    monkeypatch.setattr(scoring, "find", lambda _: Found(lambda _: {k: v for k, v in state.items() if k != name}))
    assert list(scoring.score(_VIT).lines) == [f"nothing fills {name}"]


def test_exception_of_the_matcher_scores_as_crashed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "find", lambda _: 1 / 0)
    assert scoring.score(_VIT).verdict == scoring.CRASHED


@pytest.mark.parametrize("seed", range(11))
def test_planted_difference_changes_tensors_of_the_candidate(seed: int) -> None:
    drawn = plant(draw(seed))
    shapes = []
    for role in ROLES:
        made, side = drawn.tensors(role)
        state = scoring.truth(made, draw_weights(side.shapes, 0))
        shapes.append({key: np.shape(array) for key, array in draw_weights(side.shapes, 0).items()})
        assert state
    assert shapes[0] != shapes[1]


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("only in the candidate: blocks.{0..2}.attn.proj.weight (8, 8), of a Linear", True),
        ("only in the candidate: blocks.1.attn.proj", True),
        ("only in the candidate: blocks.{0..2}.attn.qkv.weight", False),
        ("blocks.11.attn.proj.weight", False),
    ],
)
def test_lines_name_tensors_whose_indices_may_be_folded(line: str, named: bool) -> None:
    assert scoring.mentions(line, "blocks.1.attn.proj.weight") == named


@pytest.mark.parametrize(
    ("family", "swapped"), [("vit_tiny_patch16_224", True), ("swin_tiny_patch4_window7_224", False)]
)
def test_models_of_timm_in_disguise_are_the_same_function(family: str, swapped: bool) -> None:
    from benchmarks.rules.published import Published

    drawn = Published(3, family, swapped)
    assert scoring.broken(drawn) == ""
    plain, disguised = (drawn.tensors(role)[0] for role in (reversed(ROLES) if swapped else ROLES))
    assert set(plain) != set(disguised)


@pytest.mark.parametrize("seed", [42414, 42480, 95071])
def test_partly_fused_queries_keys_and_values_with_other_rotary_positions_are_found(seed: int) -> None:
    """One matrix of another order and head by head; queries alone beside keys and values in one, against all in one."""
    result = scoring.score(draw(seed))
    assert (result.verdict, list(result.lines)) == (scoring.RIGHT, [])


def test_fused_gate_is_cut_rightly_in_blocks_whose_attentions_have_other_rotary_positions() -> None:
    """Nothing in a block agrees until the rows of its fused query, key and value are in the right order."""
    assert scoring.score(draw(350106)).verdict == scoring.RIGHT


def test_layers_of_equal_blocks_side_by_side_are_joined_block_by_block() -> None:
    assert scoring.score(draw(140017)).verdict == scoring.RIGHT
