"""Queries, keys and values that are one layer in one attention of a model and several in another, or two beside two."""

from __future__ import annotations

from functools import partial

import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor, nn

from alignment.errors import AlignmentError
from tests.alignment.rules.small_models import derive, pairs_of


class Attention(nn.Module):
    """Attention of one head with one layer for all, or one for the keys and values, or one for each."""

    def __init__(self, parts: tuple[str, ...]) -> None:
        super().__init__()
        self.parts = parts
        for name in parts:
            self.add_module(name, nn.Linear(8, 8 * len(name), bias=False))
        self.out = nn.Linear(8, 8)

    def forward(self, x: Tensor, count: int | None = None, scale: float = 1) -> Tensor:
        cut = [part for name in self.parts for part in getattr(self, name)(x).chunk(len(name), -1)]
        own = dict(zip("".join(self.parts), cut, strict=True))
        scores = own["q"][:, :count] @ own["k"].transpose(-1, -2)
        return self.out((scores * scale).softmax(-1) @ own["v"])


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


class Scaled(nn.Module):
    """Blocks of attention, of which one multiplies its scores by another number."""

    def __init__(self, parts: tuple[str, ...], scales: tuple[float, ...]) -> None:
        super().__init__()
        self.embed, self.head = nn.Linear(3, 8), nn.Linear(8, 5)
        self.blocks = nn.ModuleList(nn.Sequential(nn.LayerNorm(8), Attention(parts)) for _ in scales)
        self.scales = scales

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        for block, scale in zip(self.blocks, self.scales, strict=True):
            x = x + block[1](block[0](x), None, scale)
        return self.head(x)


@pytest.mark.parametrize("forward", [True, False])
def test_fused_weights_of_a_block_with_a_mistake_are_cut_as_in_the_other_blocks(forward: bool) -> None:
    parts = (("qkv",), ("q", "k", "v"))
    reference, candidate = parts if forward else parts[::-1]
    contract = derive(partial(Scaled, reference, (1, 1, 1)), partial(Scaled, candidate, (1, 0.5, 1)), (4, 3))
    assert contract.proven is False
    pairs, of_block = pairs_of(contract), {name: what for name, what in contract.evidence.items() if "blocks.1" in name}
    for name in (name for name in of_block if "norm" not in name):
        assert pairs[name][1] == pairs[name.replace("blocks.1", "blocks.0")][1]
    assert {what for name, what in of_block.items() if set(name.split(".")) & {"q", "k", "v", "qkv"}} == {
        "other blocks"
    }


def test_mistakes_in_all_blocks_leave_fused_weights_undecided_and_name_the_usual_order() -> None:
    words = (
        r"blocks\.0\.1\.qkv\.weight', \('blocks\.0\.1\.q\.weight', 'blocks\.0\.1\.k\.weight', 'blocks\.0\.1\.v\.weight'"
    )
    with pytest.raises(AlignmentError, match=rf"no way fits: (?s:.*){words}"):
        derive(partial(Scaled, ("qkv",), (1, 1)), partial(Scaled, ("v", "k", "q"), (0.5, 0.5)), (4, 3))
