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


class Noisy(nn.Module):
    """Two layers, each of which adds noise of its own that is drawn when the model is built."""

    def __init__(self, noise: str, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.layers = nn.ModuleList(_Layer(noise, torch.randn(8, generator=generator)) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x).tanh()
        return x


class _Layer(nn.Module):
    def __init__(self, noise: str, values: Tensor) -> None:
        super().__init__()
        self.name, self.weight = noise, nn.Parameter(torch.randn(8, 8))
        self.register_buffer(noise, values)

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight.T + getattr(self, self.name)


def test_constants_of_one_form_under_other_names_are_those_of_the_modules_with_the_same_weights() -> None:
    reference, candidate = {"noise": "noise", "seed": 1}, {"noise": "fixed_draw", "seed": 2}
    theirs, ours = (Side("torch", f"{__file__}:Noisy", options=own) for own in (reference, candidate))
    models = built("torch", lambda: Noisy("noise", 1)), built("torch", lambda: Noisy("fixed_draw", 2))
    contract = derive_here(Pair("noisy", theirs, ours, input_shape=(8,), rules="auto"), *models)
    assert contract.proven is True
    assert [contract.table.sources_of(f"layers.{i}.fixed_draw") for i in (0, 1)] == [
        ("layers.0.noise",),
        ("layers.1.noise",),
    ]
