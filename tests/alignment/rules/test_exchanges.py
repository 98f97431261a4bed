"""Two tensors of one module that nothing but a run tells apart, and modules that are the whole model."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor, nn

from alignment.backends.base import Runtime
from alignment.backends.building import build_model
from alignment.errors import AlignmentError
from alignment.rules.in_process import derive_here
from benchmarks.mistakes.nets import READER
from tests.alignment.rules.small_models import derive, pairs_of


class Started(nn.Module):
    """An LSTM step by step that begins with two learned states: torch's cell, or one written by hand."""

    def __init__(self, by_hand: bool, names: tuple[str, str]) -> None:
        super().__init__()
        self.by_hand, self.names = by_hand, names
        if by_hand:
            self.input, self.state = nn.Linear(4, 24), nn.Linear(6, 24)
        else:
            self.cell = nn.LSTMCell(4, 6)
        for name in names:
            self.register_parameter(name, nn.Parameter(torch.zeros(6)))
        self.out = nn.Linear(6, 3)

    def step(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        if not self.by_hand:
            h, c = self.cell(x, (h, c))
            return h, c
        i, f, g, o = (self.input(x) + self.state(h)).chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c

    def forward(self, x: Tensor) -> Tensor:
        h, c = (getattr(self, name).expand(len(x), -1) for name in self.names)
        for part in x.unbind(1):
            h, c = self.step(part, h, c)
        return self.out(h)


@pytest.mark.parametrize("names", [("first_h", "first_c"), ("late", "early")])
@pytest.mark.parametrize("back", [False, True])
def test_states_that_a_cell_begins_with_are_told_apart(names: tuple[str, str], back: bool) -> None:
    builds = partial(Started, False, ("h0", "c0")), partial(Started, True, names)
    contract = derive(*(builds[::-1] if back else builds), (4, 4))
    assert contract.proven is True
    pairs = pairs_of(contract)
    own, other = (("h0", "c0"), names) if back else (names, ("h0", "c0"))
    assert [pairs[name][0] for name in own] == list(other)


def test_states_between_two_frameworks_are_told_apart_where_structure_has_them_crosswise() -> None:
    pytest.importorskip("paddle")
    pair = replace(READER, rules="auto")
    reference, candidate = (build_model(side, Runtime(threads=1)) for side in (pair.reference, pair.candidate))
    contract = derive_here(pair, reference, candidate)
    assert contract.proven is True
    assert pairs_of(contract)["writer.first_h"][0] == "decoder.h0"
    assert contract.evidence["writer.state.weight"] == "proof"


def test_difference_of_a_module_that_is_the_whole_model_has_a_name() -> None:
    with pytest.raises(AlignmentError) as caught:
        derive(lambda: nn.Linear(8, 4), lambda: nn.Linear(8, 5), (8,))
    assert caught.value.details[0].startswith("not the same: the model (4, 8) of a Linear in the reference against")


class Response(nn.Module):
    """A response norm, whose scale and shift one operation reads, or two."""

    def __init__(self, at_once: bool) -> None:
        super().__init__()
        self.at_once = at_once
        for name in ("weight", "bias") if at_once else ("beta", "gamma"):
            self.register_parameter(name, nn.Parameter(torch.zeros(8)))

    def forward(self, x: Tensor) -> Tensor:
        norms = x.norm(p=2, dim=1, keepdim=True)
        normed = x * norms / (norms.mean(-1, keepdim=True) + 1e-6)
        if self.at_once:
            return x + torch.addcmul(self.bias, self.weight, normed)
        return self.gamma * normed + self.beta + x


class Responses(nn.Module):
    """Equal blocks, which only a run tells from each other."""

    def __init__(self, at_once: bool) -> None:
        super().__init__()
        blocks = [nn.Sequential(nn.Linear(4, 8), nn.GELU(), Response(at_once), nn.Linear(8, 4)) for _ in range(3)]
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = x + block(x)
        return x


@pytest.mark.parametrize("back", [False, True])
def test_scale_and_shift_are_told_apart_in_equal_blocks(back: bool) -> None:
    contract = derive(partial(Responses, not back), partial(Responses, back), (5, 4))
    assert contract.proven is True
    names = ("weight", "bias") if back else ("gamma", "beta")
    others = ("gamma", "beta") if back else ("weight", "bias")
    pairs = pairs_of(contract)
    assert [pairs[f"blocks.1.2.{name}"][0] for name in names] == [f"blocks.1.2.{other}" for other in others]
