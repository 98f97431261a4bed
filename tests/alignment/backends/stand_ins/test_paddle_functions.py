"""Exact versions of Paddle's powers, norms and losses, held against torch in float64, gradients included."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
import torch

from alignment.arrays import Array
from alignment.backends.stand_ins.paddle import exact
from alignment.recordings.kernels import Kernel

T = torch.nn.functional
X = np.random.default_rng(0).normal(size=(4, 6))
OTHER = np.random.default_rng(1).normal(size=(4, 6))
IMAGES = np.random.default_rng(2).normal(size=(2, 3, 8, 9))
LABELS = np.array([0, 5, 2, 2])
CLOSE = 1e-13


@pytest.fixture(autouse=True)
def _in_float64() -> Iterator[None]:
    paddle.set_default_dtype("float64")
    yield
    paddle.set_default_dtype("float32")


def _both(ours: Callable[[Any], Any], theirs: Callable[[Any], Any], x: Array) -> tuple[float, dict[str, Kernel]]:
    """The largest relative distance between output and gradient of both, and what was used."""
    mine, other = paddle.to_tensor(x, stop_gradient=False), torch.tensor(x, requires_grad=True)
    with exact() as used:
        y = ours(mine)
    expected = theirs(other)
    weights = np.random.default_rng(3).normal(size=tuple(expected.shape))
    (y * paddle.to_tensor(weights)).sum().backward()
    (expected * torch.tensor(weights)).sum().backward()
    assert other.grad is not None
    pairs = ((y.numpy(), expected.detach().numpy()), (mine.grad.numpy(), other.grad.numpy()))
    return max(float(np.linalg.norm(one - two) / np.linalg.norm(two)) for one, two in pairs), used


Y, TY = paddle.to_tensor(OTHER, dtype="float64"), torch.tensor(OTHER)
PLABELS, TLABELS = paddle.to_tensor(LABELS), torch.tensor(LABELS)


@pytest.mark.parametrize(
    ("name", "ours", "theirs", "x"),
    [
        ("paddle.pow", lambda x: paddle.pow(x, 0.3), lambda x: x**0.3, np.abs(X)),
        ("paddle.pow", lambda x: x.pow(1 / 3), lambda x: x ** (1 / 3), np.abs(X)),
        ("paddle.Tensor.__pow__", lambda x: x**-0.3, lambda x: x**-0.3, np.abs(X)),
        ("paddle.norm", lambda x: paddle.norm(x, 3.0, 1), lambda x: x.norm(3.0, 1), X),
        ("paddle.norm", lambda x: x.norm(2.5, -1, True), lambda x: x.norm(2.5, -1, True), X),
        (
            "paddle.linalg.vector_norm",
            lambda x: paddle.linalg.vector_norm(x, 3.0),
            lambda x: torch.linalg.vector_norm(x, 3.0),
            X,
        ),
        ("paddle.dist", lambda x: paddle.dist(x, Y, 3.0), lambda x: torch.dist(x, TY, 3.0), X),
        ("paddle.cdist", lambda x: paddle.cdist(x, Y, 3.0), lambda x: torch.cdist(x, TY, 3.0), X),
        ("paddle.stanh", lambda x: paddle.stanh(x, 0.7, 1.7), lambda x: 1.7 * torch.tanh(0.7 * x), X),
        ("F.normalize", lambda x: F.normalize(x, 3.0, 1), lambda x: T.normalize(x, 3.0, 1), X),
        ("F.normalize", lambda x: F.normalize(x, epsilon=0.1), lambda x: T.normalize(x, eps=0.1), X / 20),
        (
            "F.pairwise_distance",
            lambda x: F.pairwise_distance(x, Y, 3.0),
            lambda x: T.pairwise_distance(x, TY, 3.0),
            X,
        ),
        (
            "F.local_response_norm",
            lambda x: F.local_response_norm(x, 2, 0.1, 0.7, 1.3),
            lambda x: T.local_response_norm(x, 2, 0.1, 0.7, 1.3),
            IMAGES,
        ),
        ("F.lp_pool2d", lambda x: F.lp_pool2d(x, 2.0, 3, 2), lambda x: T.lp_pool2d(x, 2.0, 3, 2), IMAGES),
        (
            "F.interpolate",
            lambda x: F.interpolate(x, [4, 5], mode="area"),
            lambda x: T.adaptive_avg_pool2d(x, (4, 5)),
            IMAGES,
        ),
        *(
            (
                "F.interpolate",
                lambda x, mode=mode: F.interpolate(x, [4, 11], mode=mode, antialias=True),
                lambda x, mode=mode: T.interpolate(x, (4, 11), mode=mode, antialias=True),
                IMAGES,
            )
            for mode in ("bilinear", "bicubic")
        ),
        ("F.rrelu", lambda x: F.rrelu(x, 0.1, 0.3, training=False), lambda x: T.rrelu(x, 0.1, 0.3), X),
        ("F.dropout", lambda x: F.dropout(x, 0.3, training=False, mode="downscale_in_infer"), lambda x: x * 0.7, X),
        ("F.smooth_l1_loss", lambda x: F.smooth_l1_loss(x, Y, delta=0.3), lambda x: T.huber_loss(x, TY, delta=0.3), X),
        (
            "F.smooth_l1_loss",
            lambda x: F.smooth_l1_loss(x, Y, "none", 0.3, is_huber=False),
            lambda x: T.smooth_l1_loss(x, TY, beta=0.3, reduction="none"),
            X,
        ),
        ("paddle.renorm", lambda x: paddle.renorm(x, 2.0, 0, 0.7), lambda x: torch.renorm(x, 2.0, 0, 0.7), X),
        ("paddle.renorm", lambda x: paddle.renorm(x, 3.0, 1, 0.7), lambda x: torch.renorm(x, 3.0, 1, 0.7), X),
        ("F.label_smooth", lambda x: F.label_smooth(x, epsilon=0.1), lambda x: x * 0.9 + 0.1 / 6, X),
        (
            "F.label_smooth",
            lambda x: F.label_smooth(x, paddle.full([1, 6], 0.3), 0.1),
            lambda x: x * 0.9 + 0.1 * 0.3,
            X,
        ),
        *(
            (
                "F.multi_margin_loss",
                lambda x, power=power: F.multi_margin_loss(x, PLABELS, power, 0.3),
                lambda x, power=power: T.multi_margin_loss(x, TLABELS, power, 0.3),
                X,
            )
            for power in (1, 2)
        ),
        *(
            (
                "F.cross_entropy",
                lambda x, how=how: F.cross_entropy(
                    input=x, label=PLABELS, label_smoothing=0.1, reduction=how
                ).squeeze(),
                lambda x, how=how: T.cross_entropy(x, TLABELS, label_smoothing=0.1, reduction=how),
                X,
            )
            for how in ("mean", "none")
        ),
    ],
)
def test_exact_version_agrees_with_torch_in_forward_and_gradient(
    name: str, ours: Callable[[Any], Any], theirs: Callable[[Any], Any], x: Array
) -> None:
    apart, used = _both(ours, theirs, x)
    assert apart < CLOSE
    kernel = used[name.replace("F.", "paddle.nn.functional.")]
    assert (kernel.calls, kernel.unused) == (1, 0)


def test_norm_of_zeros_has_a_gradient_of_zero() -> None:
    apart, _ = _both(lambda x: F.normalize(x, 3.0, 1), lambda x: T.normalize(x, 3.0, 1), np.vstack([X, np.zeros(6)]))
    assert apart < CLOSE


def test_powers_and_norms_that_float32_holds_exactly_are_left_alone() -> None:
    x = paddle.to_tensor(np.abs(X))
    with exact() as used:
        _ = x**2, x**0.5, x.pow(-1.5), paddle.pow(x, x), x.norm(2.0, 1), paddle.norm(x), F.cross_entropy(x, PLABELS)
    assert used == {}


def test_methods_of_tensors_are_put_back() -> None:
    own = paddle.Tensor.__pow__, paddle.Tensor.norm, paddle.Tensor.astype
    with exact():
        assert paddle.Tensor.__pow__ is not own[0]
    assert (paddle.Tensor.__pow__, paddle.Tensor.norm, paddle.Tensor.astype) == own
