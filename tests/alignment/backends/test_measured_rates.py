"""Dropouts and drop paths of any class are measured by what they do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from torch import nn

from alignment.arrays import Array
from alignment.backends.measured_rates import Drawn, drawn, measured


class PerSampleScaled(nn.Module):
    """As timm and PaddleViT write it."""

    def __init__(self, drop_prob: float) -> None:
        super().__init__()
        self.drop_prob = drop_prob

    def forward(self, x: Any) -> Any:
        if not self.training:
            return x
        keep = 1 - self.drop_prob
        mask = (keep + torch.rand((x.shape[0],) + (1,) * (x.ndim - 1))).floor()
        return x / keep * mask


class PerBatch(nn.Module):
    """As torchvision's `batch` mode, with another name of the rate."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, x: Any) -> Any:
        return x * (torch.rand(()) >= self.probability) / (1 - self.probability) if self.training else x


class Unscaled(nn.Module):
    """Keeps the share of what survives, and does not scale."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.survival = 1 - rate

    def forward(self, x: Any) -> Any:
        return x * (torch.rand(x.shape[0], *[1] * (x.ndim - 1)) < self.survival) if self.training else x


class FromNumpy(nn.Module):
    """Draws from a generator of NumPy."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p, self.generator = p, np.random.default_rng(3)

    def forward(self, x: Any) -> Any:
        if not self.training:
            return x
        return x * torch.from_numpy((self.generator.random(x.shape) >= self.p) / (1 - self.p)).to(x.dtype)


class InItsName(nn.Module):
    """A dropout of feature maps whose rate is in a list."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rates = [rate]

    def forward(self, x: Any) -> Any:
        return nn.functional.dropout(x, self.rates[0], self.training)


InItsName.__name__ = "StochasticDepthOfChannels"


def call(module: Any, ones: Any) -> Any:
    with torch.no_grad():
        return module(torch.from_numpy(ones)).numpy()


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (PerSampleScaled, "drop_path"),
        (PerBatch, "drop_path"),
        (Unscaled, "drop_path"),
        (FromNumpy, "dropout"),
        (InItsName, "dropout"),
    ],
)
@pytest.mark.parametrize("rate", [0.1, 0.3])
def test_rate_and_kind_of_any_class_are_measured(make: Callable[[float], Any], kind: str, rate: float) -> None:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(3, 3), nn.GELU(), make(rate)).eval()
    found = drawn(model, call)
    assert {path: one.kind for path, one in found.items()} == {"2": kind}
    assert found["2"].rate == pytest.approx(rate, abs=1e-6)
    assert not model[2].training


def test_rate_of_zero_and_modules_that_do_not_draw_are_left_out() -> None:
    model = nn.Sequential(PerSampleScaled(0.0), nn.LeakyReLU(0.1), nn.ELU(0.5), nn.Softmax(-1), nn.Identity())
    assert drawn(model, call) == {}


def test_generators_are_given_back() -> None:
    model = FromNumpy(0.3)
    state = model.generator.bit_generator.state
    drawn(model, call)
    assert model.generator.bit_generator.state == state


def test_layer_of_paddle_with_a_generator_of_numpy_is_measured() -> None:
    pytest.importorskip("paddle")
    import paddle

    class DropPath(paddle.nn.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.chance = 0.2

        def forward(self, x: Any) -> Any:
            mask = np.random.rand(x.shape[0], *[1] * (x.ndim - 1)) >= self.chance
            return x * paddle.to_tensor(mask / (1 - self.chance), dtype=x.dtype) if self.training else x

    model = paddle.nn.Sequential(paddle.nn.Linear(2, 2), DropPath())
    model.eval()
    found = drawn(model, lambda layer, ones: layer(paddle.to_tensor(ones)).numpy())
    assert found == {"1": Drawn("drop_path", 0.2)}


def test_small_rate_of_batches_is_seen_by_its_scale() -> None:
    assert measured(lambda ones: ones / np.float32(0.999), (0.001,)) == Drawn("drop_path", 0.001)


def test_what_takes_no_ones_or_gives_another_shape_is_not_measured() -> None:
    assert measured(lambda ones: ones[:1]) is None

    def refuses(ones: Array) -> Array:
        raise ValueError(ones.shape)

    assert measured(refuses, (0.1,)) is None


def test_unscaled_rate_that_is_held_nowhere_is_counted() -> None:
    draws = np.random.default_rng(0)
    result = measured(lambda ones: ones * (draws.random(ones.shape) >= 0.25))
    assert result is not None
    assert result.rate == pytest.approx(0.25, abs=0.02)
