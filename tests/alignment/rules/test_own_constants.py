"""Constants that a port keeps in other units or another form, such as the anchors of a detector."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor, nn

from alignment.pair import Pair, Side
from alignment.pair.contract import Contract
from alignment.rules.in_process import derive_here
from tests.alignment.rules.small_models import built


class Detector(nn.Module):
    """Sizes of boxes by anchors, which are kept in cells or in pixels."""

    def __init__(self, name: str, anchors: tuple[float, ...], stride: float) -> None:
        super().__init__()
        self.name, self.stride = name, stride
        self.body, self.head = nn.Linear(4, 8), nn.Linear(8, 3)
        self.register_buffer(name, torch.tensor(anchors))

    def forward(self, x: Tensor) -> Tensor:
        return (self.head(self.body(x).tanh()).sigmoid() * 2) ** 2 * getattr(self, self.name) * self.stride


def _derived(name: str, anchors: tuple[float, ...], stride: float) -> Contract:
    reference: dict[str, Any] = {"name": "anchors", "anchors": (2.5, 4.0, 7.5), "stride": 4.0}
    candidate: dict[str, Any] = {"name": name, "anchors": anchors, "stride": stride}
    theirs, ours = (Side("torch", f"{__file__}:Detector", options=own) for own in (reference, candidate))
    pair = Pair("detector", theirs, ours, input_shape=(4,), rules="auto")
    models = (built("torch", partial(Detector, **own)) for own in (reference, candidate))
    return derive_here(pair, next(models), next(models))


@pytest.mark.parametrize("name", ["anchors", "anchor_grid"])
def test_constants_in_other_units_are_each_sides_own(name: str) -> None:
    contract = _derived(name, (10.0, 16.0, 30.0), 1.0)
    assert contract.proven is True
    assert contract.evidence[name] == "constant"


@pytest.mark.parametrize("name", ["anchors", "anchor_grid"])
def test_constants_that_are_wrong_stay_a_pair_that_is_compared(name: str) -> None:
    contract = _derived(name, (10.0, 30.0, 16.0), 1.0)
    assert contract.proven is not True
    assert contract.table.sources_of(name) == ("anchors",)
