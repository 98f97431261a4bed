"""Modules that give the same values with their axes in another order."""

from __future__ import annotations

from functools import partial

import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor, nn

from alignment.backends.building import in_finest
from alignment.pair import Pair, Side
from alignment.rules.describe_worker import describe
from alignment.rules.evidence import gather
from alignment.rules.model import both
from alignment.rules.proposals import propose
from alignment.rules.trial import Trial
from tests.alignment.rules.small_models import built

WIDTH, HEADS, SIZE = 8, 2, 4


class ByHeads(nn.Module):
    """Attention of (length, batch, width), whose weights are parameters of (width, heads, size)."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Parameter(torch.zeros(WIDTH, HEADS, SIZE)) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (torch.einsum("ibh,hnd->ibnd", x, weight) for weight in (self.q, self.k, self.v))
        scores = torch.einsum("ibnd,jbnd->bnij", q, k).softmax(-1)
        return x + torch.einsum("bnij,jbnd,hnd->ibh", scores, v, self.o)


class ByLinears(nn.Module):
    """The same of (batch, length, width), with Linears."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (part(x).unflatten(-1, (HEADS, SIZE)).transpose(1, 2) for part in (self.query, self.key, self.value))
        mixed = (q @ k.transpose(-1, -2)).softmax(-1) @ v
        return x + self.out(mixed.transpose(1, 2).flatten(2))


class Net(nn.Module):
    """Blocks of attention."""

    def __init__(self, block: type[nn.Module], *, length_first: bool) -> None:
        super().__init__()
        self.blocks, self.head = nn.ModuleList(block() for _ in range(3)), nn.Linear(WIDTH, 3)
        self.length_first = length_first

    def forward(self, x: Tensor) -> Tensor:
        x = x.transpose(0, 1) if self.length_first else x
        for block in self.blocks:
            x = block(x)
        return self.head(x.transpose(0, 1) if self.length_first else x)


def test_blocks_after_a_wrong_one_are_given_what_those_of_the_reference_are_in_their_own_order_of_axes() -> None:
    pair = Pair("axes", Side("torch", "x:y"), Side("torch", "x:y"), input_shape=(5, WIDTH), rules="auto")
    builds = partial(Net, ByHeads, length_first=True), partial(Net, ByLinears, length_first=False)
    reference, candidate = (built("torch", build) for build in builds)
    models = both(describe(pair, "reference", reference), describe(pair, "candidate", candidate))
    evidence = gather(pair, reference, models[0].description)
    with in_finest(candidate):
        checks = Trial(candidate, *models, evidence).run(propose(*models).links)  # the first way to store each weight
    assert checks["blocks.0", "output"] is checks["blocks.1", "output"] is False
    assert checks["blocks.1", "input"] is checks["blocks.2", "input"] is True
