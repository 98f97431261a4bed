"""Norms that one side has as one and the other as several: their statistics go with their weights."""

from __future__ import annotations

from functools import partial

import pytest

pytest.importorskip("torch")

from torch import Tensor, nn

from tests.alignment.rules.small_models import derive, pairs_of

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
