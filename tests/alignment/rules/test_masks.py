"""Scores that a mask takes entries out of, with a number of the port's own, and where the port adds it."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from alignment.rules.trial import in_form

pytest.importorskip("torch")

import torch
from torch import Tensor, nn

from tests.alignment.rules.small_models import derive, pairs_of


class Biased(nn.Module):
    """Attention that makes a bias of its own, or takes it, and passes it on: with the mask in it, or without it."""

    def __init__(self, first: bool, fused: bool, masked: bool) -> None:
        super().__init__()
        self.fused, self.masked = fused, masked
        if first:
            self.table = nn.Parameter(torch.randn(5, 5))
        if fused:
            self.qkv = nn.Linear(8, 24)
        else:
            self.q, self.k, self.v = (nn.Linear(8, 8) for _ in range(3))
        self.out = nn.Linear(8, 8)

    def forward(self, x: Tensor, mask: Tensor, bias: Tensor | None = None) -> Any:
        q, k, v = self.qkv(x).chunk(3, -1) if self.fused else (self.q(x), self.k(x), self.v(x))
        if bias is None:
            bias = self.table + mask if self.masked else self.table
        scores = q @ k.transpose(1, 2) + bias
        y = (scores if self.masked else scores + mask).softmax(-1) @ v
        return x + self.out(y), bias


class Causal(nn.Module):
    """Two attentions that share a bias, after the first has made it."""

    def __init__(self, fused: bool, masked: bool, fill: float) -> None:
        super().__init__()
        self.fill = fill
        self.layers = nn.ModuleList(Biased(first, fused, masked) for first in (True, False))

    def forward(self, x: Tensor) -> Tensor:
        mask, bias = torch.full((5, 5), self.fill, dtype=x.dtype).triu(1), None
        for layer in self.layers:
            x, bias = layer(x, mask, bias)
        return x


@pytest.mark.parametrize("fill", [-1e4, -1e9, -1e30, float("-inf")])
@pytest.mark.parametrize("masked", [True, False])
def test_mask_of_another_number_or_place_tells_nothing(fill: float, masked: bool) -> None:
    contract = derive(partial(Causal, False, False, -3e38), partial(Causal, True, masked, fill), (5, 8))
    assert contract.proven is True
    assert pairs_of(contract)["layers.1.qkv.weight"][0] == "layers.1.q.weight + layers.1.k.weight + layers.1.v.weight"


def test_entries_that_no_mask_takes_out_have_to_agree() -> None:
    reference, array = np.array([[1.0, -np.inf], [2.0, 3.0]]), np.array([[1.0, -1e9], [2.0, 3.0]])
    placed = in_form(reference, array)
    assert placed is not None
    assert np.array_equal(placed, array)
    assert in_form(reference, array, masks=False) is None
    assert in_form(reference, np.array([[1.0, -1e9], [2.0, 3.01]])) is None
    assert in_form(np.full(3, -1e9), np.full(3, -2e9)) is None
