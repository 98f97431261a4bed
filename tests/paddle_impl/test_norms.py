"""Batch normalisation is torch's: outputs, gradients and running statistics, in float64 to its last digits."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest
import torch

from paddle_impl.norms import BatchNorm2D


def both(dtype: str, scale: float = 1.0) -> tuple[Any, Any, Any, Any]:
    """Torch's layer and ours with the same weights, and one input for each."""
    draw = np.random.default_rng(0)
    theirs, ours = torch.nn.BatchNorm2d(5).to(getattr(torch, dtype)), BatchNorm2D(5).to(dtype=dtype)
    values = {
        "weight": draw.standard_normal(5),
        "bias": draw.standard_normal(5),
        "mean": scale * draw.standard_normal(5),
        "variance": scale**2 * draw.uniform(0.5, 2, 5),
    }
    names = {"mean": ("running_mean", "_mean"), "variance": ("running_var", "_variance")}
    for name, value in values.items():
        their, our = names.get(name, (name, name))
        getattr(theirs, their).data.copy_(torch.from_numpy(value))
        getattr(ours, our).set_value(value.astype(dtype))
    images = scale * draw.standard_normal((4, 5, 3, 3)) + 2 * scale
    x = torch.tensor(images, dtype=getattr(torch, dtype), requires_grad=True)
    return theirs, ours, x, paddle.to_tensor(images.astype(dtype), stop_gradient=False)


@pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])
@pytest.mark.parametrize("scale", [1.0, 1e-3], ids=["variance 1", "variance 1e-6"])
@pytest.mark.parametrize(("dtype", "rtol"), [("float64", 1e-11), ("float32", 1e-4)])
def test_same_as_torch(training: bool, scale: float, dtype: str, rtol: float) -> None:
    theirs, ours, x, y = both(dtype, scale)
    theirs.train(training)
    (ours.train if training else ours.eval)()
    expected, actual = theirs(x), ours(y)
    weight = np.random.default_rng(1).standard_normal(expected.shape)
    (expected * torch.tensor(weight, dtype=x.dtype)).sum().backward()
    (actual * paddle.to_tensor(weight.astype(dtype))).sum().backward()
    pairs = {
        "output": (actual, expected),
        "input gradient": (y.grad, x.grad),
        "scale gradient": (ours.weight.grad, theirs.weight.grad),
        "shift gradient": (ours.bias.grad, theirs.bias.grad),
        "running mean": (ours._mean, theirs.running_mean),
        "running variance": (ours._variance, theirs.running_var),
    }
    for name, (our, their) in pairs.items():
        expected_values = their.detach().numpy()
        limit = rtol * np.abs(expected_values).max()
        np.testing.assert_allclose(our.numpy(), expected_values, rtol=0, atol=limit, err_msg=name)


def test_paddles_own_batch_norm_differs_from_torch() -> None:
    """Why the layer exists; should this fail, Paddle has changed and the layer may go."""
    theirs, _, x, y = both("float64")
    own = paddle.nn.BatchNorm2D(5).to(dtype="float64")
    own._variance.set_value(theirs.running_var.numpy().copy())
    theirs(x)
    with pytest.warns(UserWarning, match="always track"):
        own(y)
    assert np.abs(own._variance.numpy() - theirs.running_var.numpy()).max() > 1e-3


def test_evaluation_does_not_change_the_statistics() -> None:
    _, ours, _, y = both("float64")
    before = ours._mean.numpy().copy(), ours._variance.numpy().copy()
    ours.eval()
    ours(y)
    np.testing.assert_array_equal(before, (ours._mean.numpy(), ours._variance.numpy()))


def test_one_value_per_channel_is_refused() -> None:
    with pytest.raises(ValueError, match=r"batch of shape \(1, 5, 1, 1\) has one value a channel"):
        BatchNorm2D(5)(paddle.ones((1, 5, 1, 1)))
