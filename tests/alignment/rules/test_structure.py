"""Rules between models that nobody has declared: by the structure of their data flow, and by runs of the candidate."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import nn

from alignment.errors import AlignmentError
from porting.rules import rule
from tests.alignment.rules.small_models import (
    Attention,
    Bottleneck,
    Gated,
    Indexed,
    InOut,
    Rotary,
    Tokens,
    derive,
    pairs_of,
)

BY_NUMBER = ("conv1", "bn1", "conv3", "bn3", "down0", "down1")
BY_ROLE = ("first", "first_norm", "second", "second_norm", "short", "short_norm")


def test_branches_of_a_bottleneck_are_told_apart_by_what_comes_after() -> None:
    pairs = pairs_of(derive(lambda: Bottleneck(BY_NUMBER), lambda: Bottleneck(BY_ROLE), (8, 6, 6)))
    assert pairs["second.weight"] == ("conv3.weight", "")
    assert pairs["short.weight"] == ("down0.weight", "")
    assert pairs["short_norm.running_var"] == ("down1.running_var", "")


@pytest.mark.parametrize("names", [("w1", "w3"), ("w3", "w1"), ("up", "gate")])
def test_gate_and_its_other_half_are_told_apart_by_a_run_whatever_they_are_called(names: tuple[str, str]) -> None:
    contract = derive(lambda: Gated("gate_proj", "up_proj"), lambda: Gated(*names), (8,))
    pairs = pairs_of(contract)
    assert pairs[f"{names[0]}.weight"] == ("gate_proj.weight", "")
    assert pairs[f"{names[1]}.weight"] == ("up_proj.weight", "")
    expected = "proof against the names" if names[0] == "up" else "and proof"
    assert contract.evidence[f"{names[0]}.weight"].endswith(expected)


def test_constant_that_only_the_candidate_keeps_is_built_there() -> None:
    contract = derive(lambda: Indexed(False), lambda: Indexed(True), (8,))
    assert pairs_of(contract)["index"] == ("", "build: a constant that each side builds itself")
    back = derive(lambda: Indexed(True), lambda: Indexed(False), (8,))
    assert list(back.table.dropped) == ["index"]


def test_linear_layer_stored_in_out_in_a_class_of_its_own_is_transposed() -> None:
    square = derive(lambda: Attention("apart"), lambda: Attention("apart", InOut), (5, 16))
    assert pairs_of(square)["a.kernel"] == ("a.weight", "transpose")
    back = derive(lambda: Attention("apart", InOut), lambda: Attention("apart"), (5, 16))
    assert pairs_of(back)["c.weight"] == ("c.kernel", "transpose")


@pytest.mark.parametrize("linear", [nn.Linear, InOut])
def test_q_k_and_v_are_joined_in_the_order_that_agrees(linear: type[nn.Module]) -> None:
    contract = derive(lambda: Attention("apart"), lambda: Attention("by part", linear), (5, 16))
    weight = "fused.weight" if linear is nn.Linear else "fused.kernel"
    sources, operations = pairs_of(contract)[weight]
    assert sources == "a.weight + b.weight + c.weight"
    assert operations.startswith("join 3" if linear is nn.Linear else "transpose each of 3, join 3 along 1") or (
        linear is InOut and operations == "join 3, transpose"
    )


def test_fused_qkv_is_split_head_by_head_where_it_lies_so() -> None:
    pairs = pairs_of(derive(lambda: Attention("by head"), lambda: Attention("apart"), (5, 16)))
    assert pairs["b.weight"] == ("fused.weight", "interleave 4 parts of 3 groups, split in 3")
    assert pairs["b.bias"] == ("fused.bias", "interleave 4 parts of 3 groups, split in 3")


def test_rows_of_two_fused_qkv_in_other_orders_are_interleaved() -> None:
    contract = derive(lambda: Attention("by part"), lambda: Attention("by head"), (5, 16))
    assert pairs_of(contract)["fused.weight"] == ("fused.weight", "interleave 3 parts of 4 groups")
    assert contract.evidence["fused.bias"] == "the order of rows and proof"


def test_rotary_halves_become_pairs_in_queries_and_keys() -> None:
    pairs = pairs_of(derive(lambda: Rotary(False), lambda: Rotary(True), (5, 16)))
    assert pairs["wq.weight"] == ("wq.weight", "interleave 2 parts of 4 groups in each of 2")
    assert pairs["wk.weight"] == ("wk.weight", "interleave 2 parts of 4 groups")
    assert pairs["wv.weight"] == ("wv.weight", "")


@pytest.mark.parametrize("pairs", [False, True])
def test_rotary_positions_of_queries_and_of_keys_in_one_layer_with_values_are_turned(pairs: bool) -> None:
    contract = derive(lambda: Rotary(not pairs, joined=True), lambda: Rotary(pairs, joined=True), (5, 16))
    assert contract.proven
    assert pairs_of(contract)["wq.weight"][1].startswith("interleave")
    split, *_, joined = pairs_of(contract)["wkv.weight"][1].split(", ")
    assert (split, joined) == ("split in 2", "join 2")


def test_one_tied_tensor_fills_both_copies_of_the_candidate() -> None:
    contract = derive(lambda: Tokens(True), lambda: Tokens(False), (6,), tokens=20)
    assert pairs_of(contract)["head.weight"][0] == pairs_of(contract)["words.weight"][0]


def test_positions_that_are_looked_up_are_those_of_a_parameter() -> None:
    pairs = pairs_of(derive(lambda: Tokens(False), lambda: Tokens(False, "parameter"), (6,), tokens=20))
    assert pairs["places"] == ("places.weight", "unsqueeze 0")


def test_one_by_one_convolution_becomes_a_linear_layer_of_paddle() -> None:
    paddle = pytest.importorskip("paddle")

    def theirs() -> nn.Module:
        return nn.Sequential(nn.Conv2d(6, 6, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3))

    def ours() -> object:
        class Net(paddle.nn.Layer):  # type: ignore[name-defined] # paddle is imported late
            def __init__(self) -> None:
                super().__init__()
                self.mix, self.head = paddle.nn.Linear(6, 6), paddle.nn.Linear(6, 3)

            def forward(self, x: object) -> object:
                return self.head(self.mix(x.transpose([0, 2, 3, 1])).mean([1, 2]))  # type: ignore[attr-defined] # a tensor

        return Net()

    pairs = pairs_of(derive(theirs, ours, (6, 4, 4), frameworks=("torch", "paddle")))
    assert pairs["mix.weight"] == ("0.weight", "squeeze 2 3, transpose")


def chain(widths: Sequence[int] = (8, 8), *, norm: int = -1) -> nn.Module:
    """Blocks of a hidden width each, between a first and a last layer; one may have a norm more."""
    blocks = []
    for place, width in enumerate(widths):
        more = [nn.BatchNorm1d(width)] if place == norm else []
        blocks += [nn.Sequential(nn.Linear(6, width), *more, nn.ReLU(), nn.Linear(width, 6)), nn.LayerNorm(6)]
    return nn.Sequential(nn.Linear(4, 6), *blocks, nn.Linear(6, 3))


@pytest.mark.parametrize(
    ("reference", "candidate", "line"),
    [
        (
            {},
            {"widths": (8, 9)},
            "not the same: 3.0 (8, 6) of a Linear, 3.2.weight (6, 8) of a Linear in the reference against 3.0 (9, 6) "
            "of a Linear, 3.2.weight (6, 9) of a Linear in the candidate, after 2.bias (2.bias in the candidate)",
        ),
        (
            {},
            {"norm": 0},
            "only in the candidate: 1.1 (8,) of a BatchNorm, after 1.0.bias (1.0.bias in the reference)",
        ),
        (
            {"widths": (8, 8, 8)},
            {},
            "only in the reference: 5.0 (8, 6) of a Linear, 5.2 (6, 8) of a Linear, 6 (6,) of a LayerNorm, after "
            "4.bias (4.bias in the candidate)",
        ),
    ],
)
def test_one_difference_is_one_line_and_no_cascade(
    reference: dict[str, Any], candidate: dict[str, Any], line: str
) -> None:
    with pytest.raises(AlignmentError, match="not every tensor of the reference") as caught:
        derive(lambda: chain(**reference), lambda: chain(**candidate), (4,))
    assert caught.value.details[0] == line
    assert len(caught.value.details) <= 3  # with what is not decided until then, and the remedy


def test_two_differences_are_two_lines_in_the_order_of_execution() -> None:
    with pytest.raises(AlignmentError, match="not every tensor of the reference") as caught:
        derive(lambda: chain((8, 8, 8)), lambda: chain((9, 8, 7)), (4,))
    lines = [line for line in caught.value.details if line.startswith("not the same")]
    assert [line.split()[3] for line in lines] == ["1.0", "5.0"]


def test_a_layer_more_in_one_of_two_towers_is_one_line() -> None:
    class Towers(nn.Module):
        def __init__(self, first: int, second: int) -> None:
            super().__init__()
            self.left, self.right = (
                nn.Sequential(*(layer for _ in range(count) for layer in (nn.Linear(4, 4), nn.LayerNorm(4), nn.Tanh())))
                for count in (first, second)
            )
            self.head = nn.Linear(8, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(torch.cat([self.left(x), self.right(x * x)], 1))

    with pytest.raises(AlignmentError, match="not every tensor of the reference") as caught:
        derive(lambda: Towers(3, 3), lambda: Towers(3, 4), (4,))
    lines = [line for line in caught.value.details if line.startswith(("only", "not the same"))]
    assert len(lines) == 1
    assert re.match(r"only in the candidate: \S+ \(4, 4\) of a Linear, \S+ \(4,\) of a LayerNorm", lines[0])


def test_parameter_in_use_is_never_taken_for_one_of_a_module_that_is_never_called() -> None:
    class Net(nn.Module):
        def __init__(self, *, bias: bool) -> None:
            super().__init__()
            self.first, self.head = nn.Linear(4, 7, bias=bias), nn.Linear(7, 3)
            if not bias:
                self.dead = nn.BatchNorm1d(7)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(torch.tanh(self.first(x)))

    for one, other in ((True, False), (False, True)):
        with pytest.raises(AlignmentError) as caught:
            derive(lambda: Net(bias=one), lambda: Net(bias=other), (4,))  # noqa: B023 # called at once
        assert caught.value.details[0].startswith(f"only in the {'reference' if one else 'candidate'}: first.bias (7,)")


def test_given_rule_goes_first_and_the_rest_is_derived() -> None:
    given = rule("gate_proj.weight", "w3.weight")
    pairs = pairs_of(derive(lambda: Gated("gate_proj", "up_proj"), lambda: Gated("w1", "w3"), (8,), rules=[given]))
    assert pairs["w3.weight"] == ("gate_proj.weight", "")
    assert pairs["w1.weight"] == ("up_proj.weight", "")


def test_model_that_computes_something_else_still_has_its_rules() -> None:
    class Wrong(Gated):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(2 * x)

    contract = derive(lambda: Gated("gate", "up"), lambda: Wrong("gate", "up"), (8,))
    assert pairs_of(contract)["gate.weight"] == ("gate.weight", "")


def test_module_that_is_never_called_is_set_aside() -> None:
    class Idle(Gated):
        def __init__(self) -> None:
            super().__init__("gate", "up")
            self.spare = nn.Linear(3, 3)

    contract = derive(Idle, lambda: Gated("gate", "up"), (8,))
    assert set(contract.table.dropped) == {"spare.weight", "spare.bias"}
