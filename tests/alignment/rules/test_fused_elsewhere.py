"""Queries, keys and values that are one layer in one attention of a model and several in another, or two beside two."""

from __future__ import annotations

from functools import partial

import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor, nn

from tests.alignment.rules.small_models import derive, pairs_of


class Attention(nn.Module):
    """Attention of one head with one layer for all, or one for the keys and values, or one for each."""

    def __init__(self, parts: tuple[str, ...]) -> None:
        super().__init__()
        self.parts = parts
        for name in parts:
            self.add_module(name, nn.Linear(8, 8 * len(name), bias=False))
        self.out = nn.Linear(8, 8)

    def forward(self, x: Tensor, count: int | None = None) -> Tensor:
        cut = [part for name in self.parts for part in getattr(self, name)(x).chunk(len(name), -1)]
        own = dict(zip("".join(self.parts), cut, strict=True))
        scores = own["q"][:, :count] @ own["k"].transpose(-1, -2)
        return self.out((scores / 3).softmax(-1) @ own["v"])


class Block(nn.Module):
    """A block of a transformer; a block of a class token changes the first token only."""

    def __init__(self, parts: tuple[str, ...], first: bool) -> None:
        super().__init__()
        self.norm, self.attention, self.first = nn.LayerNorm(8), Attention(parts), first
        self.mlp = nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))

    def forward(self, x: Tensor) -> Tensor:
        own, rest = (x[:, :1], x[:, 1:]) if self.first else (x, x[:, :0])
        own = own + self.attention(self.norm(x), 1 if self.first else None)
        return torch.cat([own + self.mlp(own), rest], 1)


class Volo(nn.Module):
    """Blocks of all tokens, then blocks of a class token, each kind with layers of its own."""

    def __init__(self, tokens: tuple[str, ...], first: tuple[str, ...]) -> None:
        super().__init__()
        self.embed, self.norm, self.head = nn.Linear(3, 8), nn.LayerNorm(8), nn.Linear(8, 5)
        self.tokens = nn.ModuleList(Block(tokens, False) for _ in range(2))
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.first = nn.ModuleList(Block(first, True) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        for block in self.tokens:
            x = block(x)
        x = torch.cat([self.token.expand(len(x), 1, 8), x], 1)
        for block in self.first:
            x = block(x)
        return self.head(self.norm(x)[:, 0])


class TwoAfterOne(nn.Module):
    """Two attentions to themselves after one norm that both inputs pass, each with a residual."""

    def __init__(self, parts: tuple[str, ...]) -> None:
        super().__init__()
        self.embed, self.norm = nn.Linear(3, 8), nn.LayerNorm(8)
        self.one, self.other = Attention(parts), Attention(parts)
        self.ends = nn.ModuleList([nn.Linear(8, 5), nn.Linear(8, 6)])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.norm(self.embed(x))
        return self.ends[0](x + self.one(x)), self.ends[1](x + self.other(x))


def test_attentions_that_are_fused_where_the_other_side_splits_are_not_exchanged() -> None:
    contract = derive(partial(Volo, ("qkv",), ("kv", "q")), partial(Volo, ("q", "kv"), ("qkv",)), (4, 3))
    assert contract.proven is True
    pairs = pairs_of(contract)
    for place in range(2):
        assert pairs[f"first.{place}.attention.qkv.weight"][0].startswith(f"first.{place}.")
        assert pairs[f"tokens.{place}.norm.bias"][0] == f"tokens.{place}.norm.bias"


@pytest.mark.parametrize("forward", [True, False])
def test_keys_and_values_are_joined_in_each_of_two_attentions_after_one_norm(forward: bool) -> None:
    apart, joined = partial(TwoAfterOne, ("q", "k", "v")), partial(TwoAfterOne, ("kv", "q"))
    reference, candidate = (apart, joined) if forward else (joined, apart)
    assert derive(reference, candidate, (4, 3)).proven is True
