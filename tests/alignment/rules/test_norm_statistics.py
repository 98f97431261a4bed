"""Norms that one side has as one and the other as several: their statistics go with their weights."""

from __future__ import annotations

from functools import partial

import pytest

pytest.importorskip("torch")

from torch import Tensor, nn

from alignment.pair import Pair, Side
from alignment.rules.describe_worker import describe
from alignment.rules.model import both
from alignment.rules.proposals import propose
from tests.alignment.rules.small_models import built, derive, pairs_of

HEADS, SIZE = 2, 4


class Normed(nn.Module):
    """A Linear and a norm of its outputs."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.linear, self.bn = nn.Linear(8, size, bias=False), nn.BatchNorm1d(size)

    def forward(self, x: Tensor) -> Tensor:
        x = self.linear(x)
        return self.bn(x.flatten(0, 1)).reshape_as(x)


class Attention(nn.Module):
    """Attention whose queries, keys and values are normed: of one Linear, part by part or head by head, or of three."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.form = form
        if form == "three":
            self.v, self.q, self.k = Normed(8), Normed(8), Normed(8)
        else:
            self.qkv = Normed(24)
        self.out = nn.Linear(8, 3)

    def parts(self, x: Tensor) -> list[Tensor]:
        rows, length, _ = x.shape
        if self.form == "heads":
            return [*self.qkv(x).reshape(rows, length, HEADS, 3 * SIZE).chunk(3, -1)]
        parts = (self.q(x), self.k(x), self.v(x)) if self.form == "three" else self.qkv(x).chunk(3, -1)
        return [part.reshape(rows, length, HEADS, SIZE) for part in parts]

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (part.transpose(1, 2) for part in self.parts(x))
        scores = (q @ k.transpose(-1, -2) / SIZE**0.5).softmax(-1)
        return self.out((scores @ v).transpose(1, 2).flatten(2))


@pytest.mark.parametrize(("one", "other"), [("parts", "three"), ("heads", "three"), ("three", "heads")])
def test_statistics_are_joined_and_put_in_order_as_the_weights_of_their_norms_are(one: str, other: str) -> None:
    contract = derive(partial(Attention, one), partial(Attention, other), (5, 8))
    assert contract.proven is True
    pairs = pairs_of(contract)
    norms = ("q", "k", "v") if other == "three" else ("qkv",)
    for norm in norms:
        assert pairs[f"{norm}.bn.running_var"][1] == pairs[f"{norm}.bn.weight"][1]


class WideValues(nn.Module):
    """Keys of 8 and values of 32 in four heads, all normed; keys and values of one Linear, head by head, or of two."""

    def __init__(self, *, joined: bool) -> None:
        super().__init__()
        if joined:
            self.kv, self.q = Normed(4 * 40), Normed(4 * 8)
        else:
            self.v, self.q, self.k = Normed(4 * 32), Normed(4 * 8), Normed(4 * 8)
        self.joined, self.out = joined, nn.Linear(4 * 32, 3)

    def forward(self, x: Tensor) -> Tensor:
        rows, length, _ = x.shape
        if self.joined:
            k, v = self.kv(x).reshape(rows, length, 4, 40).split([8, 32], -1)
        else:
            k, v = (part(x).reshape(rows, length, 4, -1) for part in (self.k, self.v))
        q = self.q(x).reshape(rows, length, 4, 8)
        scores = (q.transpose(1, 2) @ k.permute(0, 2, 3, 1) / 8**0.5).softmax(-1)
        return self.out((scores @ v.transpose(1, 2)).transpose(1, 2).flatten(2))


def test_queries_apart_from_keys_and_values_with_a_norm_each_are_told_with_their_norms() -> None:
    pair = Pair("values", Side("torch", "x:y"), Side("torch", "x:y"), input_shape=(5, 8), rules="auto")
    reference, candidate = (built("torch", partial(WideValues, joined=joined)) for joined in (True, False))
    models = both(describe(pair, "reference", reference), describe(pair, "candidate", candidate))
    decisions = propose(*models).decisions
    assert {*decisions[0].targets} == {
        f"{name}.{part}" for name in "qkv" for part in ("linear.weight", "bn.weight", "bn.bias")
    }


def test_norms_of_queries_apart_from_keys_and_values_are_proven() -> None:
    contract = derive(partial(WideValues, joined=True), partial(WideValues, joined=False), (5, 8))
    assert contract.proven is True
    pairs = pairs_of(contract)
    assert [pairs[f"{name}.bn.bias"][0] for name in "qkv"] == ["q.bn.bias", "kv.bn.bias", "kv.bn.bias"]
    assert {pairs[f"k.bn.{part}"][1] for part in ("weight", "running_mean")} == {pairs["k.bn.bias"][1]}
