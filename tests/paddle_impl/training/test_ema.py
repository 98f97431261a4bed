"""The average: timm's formula over every tensor, from the loaded weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
import torch
from paddle import nn
from timm.utils import ModelEma, ModelEmaV2, ModelEmaV3

from paddle_impl.norms import BatchNorm2D
from paddle_impl.training.ema import Ema
from paddle_impl.training.starting import start
from recipe.config import Config


def _paddles() -> nn.Layer:
    return nn.Sequential(nn.Conv2D(3, 4, 3, bias_attr=False), BatchNorm2D(4))


def _torchs() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, bias=False), torch.nn.BatchNorm2d(4))


NAMES = {"0.weight": "0.weight", "1.weight": "1.weight", "1.bias": "1.bias"} | {
    "1._mean": "1.running_mean",
    "1._variance": "1.running_var",
}


def _move(ours: nn.Layer, theirs: torch.nn.Module, seed: int) -> None:
    """Give both the same values, running statistics included."""
    draw = np.random.default_rng(seed)
    for name, tensor in ours.state_dict().items():
        values = draw.standard_normal(tensor.shape).astype(tensor.numpy().dtype)
        tensor.set_value(values)
        theirs.state_dict()[NAMES[name]].copy_(torch.from_numpy(values))


@pytest.mark.parametrize("kind", [ModelEma, ModelEmaV2, ModelEmaV3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_average_is_timms(kind: Any, dtype: str) -> None:
    ours, theirs = _paddles().to(dtype=dtype), _torchs().to(getattr(torch, dtype))
    _move(ours, theirs, 0)
    average, reference = Ema(ours, 0.9), kind(theirs, decay=0.9)
    for seed in range(1, 20):
        _move(ours, theirs, seed)
        average.update()
        reference.update(theirs)
    expected = (reference.ema if kind is ModelEma else reference.module).state_dict()
    for name, tensor in average.model.state_dict().items():
        actual, wanted = tensor.numpy(), expected[NAMES[name]].numpy()
        if kind is ModelEmaV3:
            np.testing.assert_allclose(actual, wanted, rtol=1e-5 if dtype == "float32" else 1e-13)
        else:
            np.testing.assert_array_equal(actual, wanted)


def test_average_starts_from_the_loaded_weights(small: Callable[..., Config], weights: Callable[..., Path]) -> None:
    model = start(small(f"model.weights={weights()}")).model
    fresh = start(small()).model
    average = Ema(model, 0.99996)
    for name, tensor in average.model.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), model.state_dict()[name].numpy())
    assert not np.array_equal(average.model.pos_embed.numpy(), fresh.pos_embed.numpy())


def test_average_is_a_copy_in_evaluation_mode_without_gradients() -> None:
    model = _paddles()
    average = Ema(model, 0.5)
    before = average.model[0].weight.numpy().copy()
    model[0].weight.set_value(paddle.zeros_like(model[0].weight))
    np.testing.assert_array_equal(average.model[0].weight.numpy(), before)
    assert model.training
    assert not any(layer.training for layer in average.model.sublayers(include_self=True))
    assert all(parameter.stop_gradient for parameter in average.model.parameters())
    assert not any(parameter.stop_gradient for parameter in (model[0].weight, model[1].weight, model[1].bias))


def test_average_is_saved_and_resumed_bit_by_bit() -> None:
    model = _paddles()
    whole, first = Ema(model, 0.9), Ema(model, 0.9)
    state = {name: tensor.numpy().copy() for name, tensor in first.model.state_dict().items()}
    model[0].weight.set_value(paddle.ones_like(model[0].weight))
    second = Ema(model, 0.9)
    second.model.set_state_dict(state)
    whole.update()
    second.update()
    assert whole.model[0].weight.numpy().tobytes() == second.model[0].weight.numpy().tobytes()


def test_counters_are_copied() -> None:
    model = nn.Linear(2, 2)
    model.register_buffer("count", paddle.to_tensor(3))
    average = Ema(model, 0.9)
    model.count.set_value(paddle.to_tensor(7))
    average.update()
    assert int(average.model.count) == 7
