"""Tensors whose counterpart is at another place of the data flow, is joined of parts of it, or is no parameter."""

from __future__ import annotations

from functools import partial

import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor, nn

from alignment.errors import AlignmentError
from alignment.pair import Pair, Side
from alignment.rules import proof
from alignment.rules.in_process import derive_here
from alignment.rules.orders import orders
from tests.alignment.rules.small_models import built, derive, pairs_of


class Neighbours(nn.Module):
    """Layers of what a node is and of the mean of all: a layer of each, or one layer of both side by side."""

    def __init__(self, joined: bool, mistake: bool = False) -> None:
        super().__init__()
        self.joined, self.mistake = joined, mistake
        self.first = nn.Linear(6, 8)
        if joined:
            self.layers = nn.ModuleList(nn.Linear(16, 8) for _ in range(2))
        else:
            self.own, self.mean = (
                nn.ModuleList(nn.Linear(8, 8, bias=bias) for _ in range(2)) for bias in (False, True)
            )
        self.last = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x).tanh()
        for place in range(2):
            mean = x.mean(1, keepdim=True).expand_as(x)
            if self.joined:
                x = self.layers[place](torch.cat([x, mean], -1)).tanh()
            else:
                x = (self.own[place](x) + self.mean[place](mean)).tanh()
        y: Tensor = self.last(x)
        return y.relu() if self.mistake else y


def test_a_layer_of_two_inputs_is_joined_of_a_layer_of_each() -> None:
    contract = derive(partial(Neighbours, False), partial(Neighbours, True), (5, 6))
    assert contract.proven is True
    assert pairs_of(contract)["layers.1.weight"][0] == "own.1.weight + mean.1.weight"
    assert derive(partial(Neighbours, True), partial(Neighbours, False), (5, 6)).proven is True


def test_joined_columns_are_no_difference_of_models_that_differ_elsewhere() -> None:
    contract = derive(partial(Neighbours, False), partial(Neighbours, True, mistake=True), (5, 6))
    assert contract.proven is False
    assert pairs_of(contract)["layers.1.weight"][0] == "own.1.weight + mean.1.weight"


class Placed(nn.Module):
    """Positions that are a parameter, or a constant under another name, beside a weight of the same form."""

    def __init__(self, trained: bool) -> None:
        super().__init__()
        self.fc, self.q, self.k = nn.Linear(8, 6), nn.Linear(6, 6), nn.Linear(6, 6)
        if trained:
            self.pos_embed = nn.Parameter(torch.zeros(1, 8, 6), requires_grad=False)
        else:
            self.register_buffer("grid", torch.zeros(8, 6))
        self.trained = trained

    def forward(self, x: Tensor) -> Tensor:
        x = self.fc(x) + (self.pos_embed if self.trained else self.grid)
        return (self.q(x) @ self.k(x).tanh().transpose(1, 2)).softmax(-1) @ x


def placed(trained: bool) -> Placed:
    """The model by the name that the pair gives, which is built again to see whether its constants are drawn."""
    return Placed(trained)


def test_a_constant_under_another_name_is_the_parameter_of_its_form() -> None:
    sides = [Side("torch", f"{__file__}:placed", options={"trained": trained}) for trained in (True, False)]
    pair = Pair("placed", sides[0], sides[1], input_shape=(8, 8), rules="auto")
    models = [built("torch", partial(Placed, trained)) for trained in (True, False)]
    contract = derive_here(pair, models[0], models[1])
    assert contract.proven is True
    assert pairs_of(contract)["grid"][0] == "pos_embed"


class Modulated(nn.Module):
    """Blocks with a shift, a scale and a gate of each half, of one layer, or of six in the order of their names."""

    PARTS = ("shift_msa", "scale_msa", "gate_msa", "shift_mlp", "scale_mlp", "gate_mlp")

    def __init__(self, fused: bool) -> None:
        super().__init__()
        self.fused, self.embed, self.blocks = fused, nn.Linear(4, 8), nn.ModuleList()
        for _ in range(2):
            block = nn.Module()
            block.mix, block.mlp = nn.Linear(8, 8), nn.Sequential(nn.Linear(8, 12), nn.Tanh(), nn.Linear(12, 8))
            for name in ("modulation",) if fused else self.PARTS:
                block.add_module(name, nn.Linear(8, 48 if fused else 8))
            self.blocks.append(block)

    def forward(self, x: Tensor) -> Tensor:
        given = self.embed(x[:, :4]).tanh()
        x = x[:, 4:]
        for block in self.blocks:
            parts = (
                block.modulation(given).chunk(6, 1) if self.fused else [getattr(block, n)(given) for n in self.PARTS]
            )
            x = x + parts[2] * block.mix(x.tanh() * (1 + parts[1]) + parts[0])
            x = x + parts[5] * block.mlp(x.tanh() * (1 + parts[4]) + parts[3])
        return x


def test_six_layers_are_joined_block_by_block_in_the_order_of_the_state_dict() -> None:
    contract = derive(partial(Modulated, True), partial(Modulated, False), (12,))
    assert contract.proven is True
    for block in range(2):
        for name in Modulated.PARTS:
            assert pairs_of(contract)[f"blocks.{block}.{name}.weight"][0] == f"blocks.{block}.modulation.weight"


def test_orders_of_many_parts_are_few_and_have_the_order_of_the_state_dict() -> None:
    flow_ranks = (2, 1, 0, 5, 4, 3)
    some = [order for order, _ in orders(flow_ranks)]
    assert (2, 1, 0, 5, 4, 3) in some
    assert some[0] == (0, 1, 2, 3, 4, 5)
    assert len(some) == len(set(some)) < 80
    assert len(list(orders((0, 1, 2)))) == 6


class Cell(nn.Module):
    """Two products and two vectors: each product with its own, or one after the other, as in a cell."""

    def __init__(self, chained: bool) -> None:
        super().__init__()
        self.chained = chained
        self.weight_x, self.weight_h = (nn.Parameter(torch.randn(12, n)) for n in (6, 12))
        self.bias_x, self.bias_h = nn.Parameter(torch.randn(12)), nn.Parameter(torch.randn(12))
        self.first, self.last = nn.Linear(6, 12), nn.Linear(12, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x).tanh()
        if self.chained:
            y = x @ self.weight_x.T + self.bias_x
            y = y + h @ self.weight_h.T
            y = y + self.bias_h
        else:
            y = nn.functional.linear(x, self.weight_x, self.bias_x) + nn.functional.linear(
                h, self.weight_h, self.bias_h
            )
        return self.last(y.tanh())


def test_a_vector_that_is_added_later_is_the_same() -> None:
    contract = derive(partial(Cell, False), partial(Cell, True), (6,))
    assert contract.proven is True
    assert pairs_of(contract)["weight_h"][0] == "weight_h"


class Experts(nn.Module):
    """Convolutions that are mixed: their kernels, which are one tensor, or what each of them gives."""

    def __init__(self, stacked: bool, mistake: bool = False) -> None:
        super().__init__()
        self.stacked, self.mistake = stacked, mistake
        self.stem, self.route, self.head = nn.Linear(5, 4), nn.Linear(4, 3), nn.Linear(4, 2)
        if stacked:
            self.kernels = nn.Parameter(torch.randn(3, 4, 4))
        else:
            self.experts = nn.ModuleList(nn.Linear(4, 4, bias=False) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).tanh()
        share = self.route(x).softmax(-1) if self.mistake else self.route(x).sigmoid()
        if self.stacked:
            x = torch.einsum("be,eoi,bi->bo", share, self.kernels, x)
        else:
            x = sum(share[:, place, None] * layer(x) for place, layer in enumerate(self.experts))
        return self.head(x)


def test_kernels_that_are_mixed_before_they_are_used_are_a_stack_of_experts() -> None:
    contract = derive(partial(Experts, True), partial(Experts, False), (5,))
    assert contract.proven is True
    assert [pairs_of(contract)[f"experts.{n}.weight"][0] for n in range(3)] == ["kernels"] * 3


def test_stacked_experts_with_another_mistake_are_one_line() -> None:
    with pytest.raises(AlignmentError) as caught:
        derive(partial(Experts, True), partial(Experts, False, mistake=True), (5,))
    lines = caught.value.details[:-1]
    assert len(lines) == 1
    assert "kernels" in lines[0]
    assert not any("only in" in line for line in lines)


class Skips(nn.Module):
    """Blocks that give a residual and a skip, of one layer or of two; nothing takes the last residual."""

    def __init__(self, fused: bool) -> None:
        super().__init__()
        self.fused, self.blocks, self.last = fused, nn.ModuleList(), nn.Linear(6, 2)
        for _ in range(3):
            block = nn.Module()
            block.mix = nn.Linear(6, 6)
            for name in ("out",) if fused else ("res", "skip"):
                block.add_module(name, nn.Linear(6, 12 if fused else 6))
            self.blocks.append(block)

    def forward(self, x: Tensor) -> Tensor:
        total: Tensor | float = 0.0
        for block in self.blocks:
            y = block.mix(x).tanh()
            residual, skip = block.out(y).chunk(2, -1) if self.fused else (block.res(y), block.skip(y))
            x, total = x + residual, total + skip
        return self.last(torch.as_tensor(total).tanh())


def test_a_layer_of_which_one_half_is_not_used_is_joined_of_a_used_and_an_unused_one() -> None:
    for fused in (True, False):
        contract = derive(partial(Skips, fused), partial(Skips, not fused), (6,))
        assert contract.proven is True
        pairs = pairs_of(contract)
        if fused:
            assert pairs["blocks.2.res.weight"][0] == pairs["blocks.2.skip.weight"][0] == "blocks.2.out.weight"
        else:
            assert pairs["blocks.2.out.weight"][0] == "blocks.2.res.weight + blocks.2.skip.weight"


class Longer(nn.Module):
    """Linear layers in a row."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(nn.Linear(6, 6) for _ in range(count)), nn.Linear(6, 4))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return y


def test_no_order_of_rows_is_tried_where_a_tensor_has_no_counterpart(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise AssertionError("rows are turned in vain")

    monkeypatch.setattr(proof, "turned", fails)
    with pytest.raises(AlignmentError, match="could be matched"):
        derive(partial(Longer, 3), partial(Longer, 2), (6,))


class Padded(nn.Module):
    """Tokens of which one is padding: its row of the table is taken as it is, or zeros stand for it, as in Paddle."""

    def __init__(self, zeros: bool) -> None:
        super().__init__()
        self.zeros, self.words, self.mix = zeros, nn.Embedding(9, 6, padding_idx=2), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        words = self.words(x)
        return self.mix(words * (x != 2)[..., None] if self.zeros else words).tanh()


def test_rules_are_proven_with_zeros_in_the_row_of_padding() -> None:
    assert derive(partial(Padded, False), partial(Padded, True), (12,), tokens=9).proven is True
