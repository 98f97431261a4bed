"""Tensors that share their place with those of other blocks: one input of every block, weights that meet two inputs."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

pytest.importorskip("torch")

from torch import Tensor, nn

from alignment.errors import AlignmentError
from tests.alignment.rules.small_models import derive, pairs_of


class Conditioned(nn.Module):
    """Blocks that all take one embedding, from which each makes a scale and a shift: in one layer, or in two."""

    def __init__(self, fused: bool, widths: tuple[int, ...] = (8, 8, 12, 8, 12), norms: bool = True) -> None:
        super().__init__()
        self.embed = nn.Linear(6, 10)
        self.fused = fused
        self.blocks, into = nn.ModuleList(), 6
        for width in widths:
            block = nn.Module()
            block.first, block.last = nn.Linear(into, width), nn.Linear(width, width)
            block.norm = nn.LayerNorm(width) if norms or width > 8 else nn.Identity()
            if fused:
                block.both = nn.Linear(10, 2 * width)
            else:
                block.shift, block.scale = nn.Linear(10, width), nn.Linear(10, width)
            self.blocks.append(block)
            into = width

    def forward(self, x: Tensor) -> Tensor:
        given = self.embed(x).tanh()
        for block in self.blocks:
            scale, shift = block.both(given).chunk(2, -1) if self.fused else (block.scale(given), block.shift(given))
            x = block.last((block.norm(block.first(x)) * (1 + scale) + shift).tanh())
        return x


def test_layers_after_one_embedding_are_joined_block_by_block() -> None:
    contract = derive(partial(Conditioned, True), partial(Conditioned, False), (6,))
    assert contract.proven is True
    pairs = pairs_of(contract)
    for block in range(5):
        assert pairs[f"blocks.{block}.scale.weight"][0] == f"blocks.{block}.both.weight"
        assert pairs[f"blocks.{block}.shift.bias"][0] == f"blocks.{block}.both.bias"


def test_what_a_run_has_joined_is_not_listed_among_the_differences() -> None:
    with pytest.raises(AlignmentError) as caught:
        derive(partial(Conditioned, True), partial(Conditioned, False, norms=False), (6,))
    lines = caught.value.details[:-1]
    assert len(lines) <= 3
    assert any("norm" in line for line in lines)
    assert not any("both" in line for line in lines if "no way fits" not in line)


class Relative(nn.Module):
    """Attention with embeddings of relative positions, which go through a norm and through layers of their own."""

    def __init__(self, fused: bool, shared: bool) -> None:
        super().__init__()
        self.places, self.fused, self.shared = nn.Embedding(5, 8), fused, shared
        self.norm, self.out = nn.LayerNorm(8), nn.Linear(8, 8)
        for name in ("content", *(() if shared else ("position",))):
            count = 3 if name == "content" else 2
            if fused:
                self.add_module(name, nn.Linear(8, 8 * count))
            else:
                for part in "qkv"[:count]:
                    self.add_module(f"{name}_{part}", nn.Linear(8, 8))

    def through(self, name: str, x: Tensor, count: int) -> tuple[Tensor, ...]:
        if self.fused:
            return getattr(self, name)(x).split(8, -1)[:count]
        return tuple(getattr(self, f"{name}_{part}")(x) for part in "qkv"[:count])

    def forward(self, x: Tensor) -> Tensor:
        places = self.norm(self.places.weight)
        q, k, v = self.through("content", x, 3)
        place_q, place_k = self.through("content" if self.shared else "position", places, 2)
        scores = q @ k.transpose(1, 2) + q @ place_k.T + (k @ place_q.T * 0.5).transpose(1, 2)
        return self.out(scores.softmax(-1) @ v)


@pytest.mark.parametrize("shared", [True, False])
def test_embeddings_of_relative_positions_are_followed_through_layers(shared: bool) -> None:
    contract = derive(partial(Relative, False, shared), partial(Relative, True, shared), (5, 8))
    assert contract.proven is True
    sources = pairs_of(contract)["content.weight"][0]
    assert sources == "content_q.weight + content_k.weight + content_v.weight"


class Gates(nn.Module):
    """Gated layers whose gate is multiplied or, by mistake, added."""

    def __init__(self, fused: bool, added: bool = False) -> None:
        super().__init__()
        self.fused, self.added = fused, added
        self.layers = nn.ModuleList()
        for _ in range(3):
            layer = nn.Module()
            layer.norm, layer.down = nn.LayerNorm(6), nn.Linear(10, 6)
            if fused:
                layer.both = nn.Linear(6, 20)
            else:
                layer.gate, layer.up = nn.Linear(6, 10), nn.Linear(6, 10)
            self.layers.append(layer)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            y = layer.norm(x)
            gate, up = layer.both(y).chunk(2, -1) if self.fused else (layer.gate(y), layer.up(y))
            x = x + layer.down(gate.sigmoid() + up if self.added else gate.sigmoid() * up)
        return x


def test_a_mistake_in_every_block_is_one_line() -> None:
    with pytest.raises(AlignmentError, match="no way fits") as caught:
        derive(partial(Gates, True), partial(Gates, False, added=True), (6,))
    lines: Any = caught.value.details[:-1]
    assert len(lines) == 1
    assert "layers.{0..2}.gate.weight" in lines[0]
