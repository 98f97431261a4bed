"""Small models in torch that are written in two ways each; the rules between them are derived in this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from alignment import backends
from alignment.backends.base import Backend, Runtime
from alignment.pair import Pair, Side
from alignment.pair.contract import Contract
from alignment.rules.in_process import derive_here
from porting.rules import Rule

Build = Callable[[], Any]


def built(framework: str, builder: Build) -> Backend:
    """A backend with a model."""
    backend = backends.create(framework, Runtime(threads=1))
    backend.use("float32")
    backend.build(lambda: builder(), {})
    return backend


def derive(
    reference: Build,
    candidate: Build,
    shape: tuple[int, ...],
    *,
    tokens: int = 0,
    frameworks: tuple[str, str] = ("torch", "torch"),
    rules: Sequence[Rule] = (),
) -> Contract:
    """The contract between two models."""
    one, other = (Side(name, "nowhere:model") for name in frameworks)
    pair = Pair("small", one, other, input_shape=shape, rules="auto", tokens=tokens)
    return derive_here(pair, built(frameworks[0], reference), built(frameworks[1], candidate), rules)


def pairs_of(contract: Contract) -> dict[str, tuple[str, str]]:
    """Name in the candidate to its sources and its operations."""
    table = contract.table
    return {
        name: (" + ".join(table.sources_of(name)), ", ".join(table.operations_of(name)))
        for name in table.outputs
        if not name.endswith("num_batches_tracked")
    }


class Bottleneck(nn.Module):
    """Three convolutions of 1 x 1 with norms, two in a row and one beside them, under given names."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.names = names
        for place, (into, out) in enumerate(((8, 8), (8, 16), (8, 16))):
            self.add_module(names[2 * place], nn.Conv2d(into, out, 1, bias=False))
            self.add_module(names[2 * place + 1], nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        conv1, norm1, conv2, norm2, conv3, norm3 = (getattr(self, name) for name in self.names)
        return (norm2(conv2(norm1(conv1(x)).relu())) + norm3(conv3(x))).relu().mean((2, 3))


class Gated(nn.Module):
    """A gated layer, under given names of its gate and its other half."""

    def __init__(self, gate: str, up: str) -> None:
        super().__init__()
        self.names = gate, up
        self.add_module(gate, nn.Linear(8, 16, bias=False))
        self.add_module(up, nn.Linear(8, 16, bias=False))
        self.down = nn.Linear(16, 8)

    def forward(self, x: Tensor) -> Tensor:
        first, second = (getattr(self, name)(x) for name in self.names)
        return self.down(nn.functional.silu(first) * second)


class InOut(nn.Module):
    """A linear layer of a class of one's own, whose weight is stored (in, out)."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(into, out) / into**0.5)
        self.shift = nn.Parameter(torch.randn(out))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.kernel + self.shift


class Attention(nn.Module):
    """Attention with q, k and v apart, in one matrix part by part, or in one matrix head by head."""

    def __init__(self, layout: str, linear: Callable[[int, int], nn.Module] = nn.Linear) -> None:
        super().__init__()
        self.layout = layout
        self.norm = nn.LayerNorm(16)
        if layout == "apart":
            self.a, self.b, self.c = linear(16, 16), linear(16, 16), linear(16, 16)
        else:
            self.fused = linear(16, 48)
        self.out = nn.Linear(16, 16)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, _ = x.shape
        y = self.norm(x)
        if self.layout == "apart":
            q, k, v = (part(y).view(batch, length, 4, 4).transpose(1, 2) for part in (self.a, self.b, self.c))
        elif self.layout == "by part":
            q, k, v = self.fused(y).view(batch, length, 3, 4, 4).permute(2, 0, 3, 1, 4).unbind(0)
        else:
            q, k, v = self.fused(y).view(batch, length, 4, 3, 4).permute(3, 0, 2, 1, 4).unbind(0)
        y = nn.functional.scaled_dot_product_attention(q, k, v)
        return x + self.out(y.transpose(1, 2).reshape(batch, length, 16))


class Rotary(nn.Module):
    """Grouped attention whose positions turn pairs of rows, or the two halves of each head.

    Keys and values may be one layer.
    """

    def __init__(self, pairs: bool, *, joined: bool = False) -> None:
        super().__init__()
        self.pairs, self.joined = pairs, joined
        self.wq = nn.Linear(16, 16, bias=False)
        if joined:
            self.wkv = nn.Linear(16, 16, bias=False)
        else:
            self.wk, self.wv = nn.Linear(16, 8, bias=False), nn.Linear(16, 8, bias=False)
        self.out = nn.Linear(16, 16, bias=False)

    def turn(self, x: Tensor) -> Tensor:
        angles = torch.arange(x.shape[-2])[:, None] * 0.7 ** torch.arange(4)
        cos, sin = angles.cos().to(x), angles.sin().to(x)
        if self.pairs:
            a, b = x[..., ::2], x[..., 1::2]
            return torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2)
        a, b = x[..., :4], x[..., 4:]
        return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, _ = x.shape
        keys, values = self.wkv(x).chunk(2, -1) if self.joined else (self.wk(x), self.wv(x))
        q, k, v = (part.view(batch, length, -1, 8).transpose(1, 2) for part in (self.wq(x), keys, values))
        k, v = (part.repeat_interleave(2, 1) for part in (self.turn(k), v))
        y = nn.functional.scaled_dot_product_attention(self.turn(q), k, v)
        return self.out(y.transpose(1, 2).reshape(batch, length, 16))


class Indexed(nn.Module):
    """A table that is read by a constant index, which is in the state dict or not."""

    def __init__(self, kept: bool) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(7, 8))
        self.register_buffer("index", torch.arange(6) % 7, persistent=kept)
        self.fc = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x + self.table[self.index].sum(0))


class Tokens(nn.Module):
    """A model of tokens whose last layer is the embedding once more, or a copy of it."""

    def __init__(self, tied: bool, positions: str = "lookup") -> None:
        super().__init__()
        self.words = nn.Embedding(20, 8)
        self.lookup = positions == "lookup"
        self.places = nn.Embedding(6, 8) if self.lookup else nn.Parameter(torch.randn(1, 6, 8))
        self.mix = nn.Linear(8, 8)
        self.head = nn.Linear(8, 20, bias=False)
        if tied:
            self.head.weight = self.words.weight

    def forward(self, x: Tensor) -> Tensor:
        places = self.places(torch.arange(6)) if self.lookup else self.places
        return self.head(self.mix(self.words(x) + places))
