"""Tensors of one size at one place that one side keeps by heads: biases of queries, and a table of positions."""

from __future__ import annotations

from functools import partial

import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor, nn

from tests.alignment.rules.small_models import derive, pairs_of


class Shifted(nn.Module):
    """Attention whose queries have two biases, one for content and one for position, kept as they are or by heads."""

    def __init__(self, by_heads: bool, names: tuple[str, str]) -> None:
        super().__init__()
        self.names, shape = names, (4, 4) if by_heads else (16,)
        for name in names:
            self.register_parameter(name, nn.Parameter(torch.randn(shape)))
        self.by_heads, self.table = by_heads, nn.Parameter(torch.randn((5, 4, 4) if by_heads else (5, 16)))
        if by_heads:
            self.qkv = nn.Linear(16, 48)
        else:
            self.q, self.k, self.v = (nn.Linear(16, 16) for _ in range(3))
        self.out = nn.Linear(16, 16)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, -1) if self.by_heads else (self.q(x), self.k(x), self.v(x))
        one, other = (getattr(self, name).reshape(16) for name in self.names)
        q, k, v, first, second, table = (
            part.reshape(*part.shape[:-1], 4, 4).transpose(-2, -3)
            for part in (q, k, v, q + one, q + other, self.table.reshape(5, 16))
        )
        scores = first @ k.transpose(-1, -2) + second @ table.transpose(-1, -2)
        return self.out((scores.softmax(-1) @ v).transpose(1, 2).reshape(len(x), 5, 16))


@pytest.mark.parametrize("names", [("bias_u", "bias_v"), ("zeta", "alpha")])
@pytest.mark.parametrize("forward", [True, False])
def test_two_biases_by_heads_are_told_apart_by_a_run(names: tuple[str, str], forward: bool) -> None:
    builds = partial(Shifted, False, ("bias_u", "bias_v")), partial(Shifted, True, names)
    contract = derive(*(builds if forward else builds[::-1]), (5, 16))
    assert contract.proven is True
    pairs = pairs_of(contract)
    own, other = (names, ("bias_u", "bias_v")) if forward else (("bias_u", "bias_v"), names)
    assert [pairs[name][0] for name in own] == list(other)
