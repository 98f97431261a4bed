"""Exact versions of Paddle's and torch's kernels, held against the other framework's in float64, gradients included."""

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
import torch

from alignment.arrays import Array
from alignment.backends.stand_ins import paddle as exact_paddle
from alignment.backends.stand_ins import torch as exact_torch
from alignment.recordings.kernels import Kernel

T = torch.nn.functional
MEAN, VARIANCE = np.arange(6) / 7, 1 + np.arange(6) / 5
CLOSE = 1e-14
Kwargs: TypeAlias = dict[str, Any]
_EPS: tuple[Kwargs, Kwargs] = ({"epsilon": 1e-3}, {"eps": 1e-3})
CASES: list[tuple[str, Kwargs, Kwargs]] = [
    *(("adaptive_avg_pool2d", {"output_size": size}, {"output_size": size}) for size in (1, [3, 4])),
    *(
        (
            "avg_pool2d",
            {"kernel_size": 3, "stride": stride, "padding": padding, "ceil_mode": ceil, "exclusive": not inside},
            {"kernel_size": 3, "stride": stride, "padding": padding, "ceil_mode": ceil, "count_include_pad": inside},
        )
        for stride, padding, ceil, inside in ((3, 0, False, False), (2, 1, False, False), (2, 1, True, True))
    ),
    ("layer_norm", {"normalized_shape": [7, 9]} | _EPS[0], {"normalized_shape": [7, 9]} | _EPS[1]),
    ("group_norm", {"num_groups": 3} | _EPS[0], {"num_groups": 3} | _EPS[1]),
    ("instance_norm", _EPS[1], _EPS[1]),
    *((name, {}, {}) for name in ("hardswish", "selu", "hardsigmoid")),
    *((name, {"alpha": 0.3}, {"alpha": 0.3}) for name in ("elu", "celu")),
    ("hardtanh", {"min": -0.3, "max": 0.7}, {"min_val": -0.3, "max_val": 0.7}),
    *(
        (
            "interpolate",
            size | {"mode": mode, "align_corners": corners},
            size | {"mode": mode, "align_corners": corners},
        )
        for mode in ("bilinear", "bicubic")
        for corners in (True, False)
        for size in ({"size": (11, 5)}, {"scale_factor": 1.7})
    ),
]
"""Function of the same name in both frameworks, and its arguments in Paddle and in torch."""


@pytest.fixture(autouse=True)
def _in_float64() -> Iterator[None]:
    paddle.set_default_dtype("float64")
    yield
    paddle.set_default_dtype("float32")


def _draw() -> Array:
    return np.random.default_rng(0).normal(size=(2, 6, 7, 9))


def _in_paddle(function: Callable[[Any], Any]) -> tuple[Array, Array, dict[str, Kernel]]:
    with exact_paddle.exact() as used:
        x = paddle.to_tensor(_draw(), stop_gradient=False)
        y = function(x)
        (y * paddle.to_tensor(_weights(y))).sum().backward()
    return y.numpy(), x.grad.numpy(), used


def _in_torch(function: Callable[[Any], Any], peer: str = "paddle") -> tuple[Array, Array, dict[str, Kernel]]:
    with exact_torch.exact(peer) as used:
        x = torch.tensor(_draw(), requires_grad=True)
        y = function(x)
        (y * torch.tensor(_weights(y))).sum().backward()
    assert x.grad is not None
    return y.detach().numpy(), x.grad.numpy(), used


def _weights(y: Any) -> Array:
    return np.random.default_rng(1).normal(size=tuple(y.shape))


def _apart(one: Array, other: Array) -> float:
    return float(np.linalg.norm(one - other) / np.linalg.norm(other))


@pytest.mark.parametrize(("name", "ours", "theirs"), CASES)
def test_exact_versions_agree_with_torch_in_forward_and_gradient(name: str, ours: Kwargs, theirs: Kwargs) -> None:
    y, gradient, used = _in_paddle(lambda x: getattr(F, name)(x, **ours))
    expected, expected_gradient, _ = _in_torch(lambda x: getattr(T, name)(x, **theirs))
    assert _apart(y, expected) < CLOSE
    assert _apart(gradient, expected_gradient) < CLOSE
    (kernel,) = used.values()
    assert (kernel.name, kernel.calls, kernel.unused) == (f"paddle.nn.functional.{name}", 1, 0)


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("softshrink", {"threshold": 0.3}, lambda x: T.softshrink(x, 0.3)),
        ("thresholded_relu", {"threshold": 0.3, "value": 0.7}, lambda x: T.threshold(x, 0.3, 0.7)),
    ],
)
def test_functions_of_other_names_in_torch_agree_too(
    name: str, arguments: Kwargs, expected: Callable[[Any], Any]
) -> None:
    y, gradient, used = _in_paddle(lambda x: getattr(F, name)(x, **arguments))
    theirs, their_gradient, _ = _in_torch(expected)
    assert _apart(y, theirs) < CLOSE
    assert _apart(gradient, their_gradient) < CLOSE
    assert [kernel.calls for kernel in used.values()] == [1]


def test_batch_norm_of_a_batch_gives_what_torch_gives_and_both_keep_the_biased_variance() -> None:
    x = _draw()
    ours = [paddle.to_tensor(MEAN), paddle.to_tensor(VARIANCE)]
    theirs = [torch.tensor(MEAN), torch.tensor(VARIANCE)]
    y, gradient, _ = _in_paddle(lambda x: F.batch_norm(x, *ours, training=True, momentum=0.9, epsilon=1e-3))
    expected, expected_gradient, used = _in_torch(
        lambda x: T.batch_norm(x, *theirs, training=True, momentum=0.1, eps=1e-3)
    )
    assert _apart(y, expected) < CLOSE
    assert _apart(gradient, expected_gradient) < CLOSE
    for mine, other, batch in zip(ours, theirs, (x.mean((0, 2, 3)), x.var((0, 2, 3))), strict=True):
        before = MEAN if mine is ours[0] else VARIANCE
        assert _apart(mine.numpy(), 0.9 * before + 0.1 * batch) < CLOSE
        assert _apart(other.numpy(), mine.numpy()) < CLOSE
    assert [kernel.calls for kernel in used.values()] == [1]


def test_batch_norm_in_evaluation_reads_the_running_statistics() -> None:
    y, gradient, _ = _in_paddle(
        lambda x: F.batch_norm(x, paddle.to_tensor(MEAN), paddle.to_tensor(VARIANCE), epsilon=1e-3)
    )
    expected, expected_gradient, used = _in_torch(
        lambda x: T.batch_norm(x, torch.tensor(MEAN), torch.tensor(VARIANCE), eps=1e-3)
    )
    assert _apart(y, expected) < CLOSE
    assert _apart(gradient, expected_gradient) < CLOSE
    assert used == {}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("act", [None, "relu"])
def test_older_batch_norm_of_paddle_gives_what_torch_gives_in_both_modes(training: bool, act: str | None) -> None:
    layer = paddle.nn.BatchNorm(6, act=act, momentum=0.9, epsilon=1e-3, dtype="float64")
    layer._mean.set_value(MEAN)
    layer._variance.set_value(VARIANCE)
    layer.train() if training else layer.eval()
    theirs = [torch.tensor(MEAN), torch.tensor(VARIANCE)]
    y, gradient, used = _in_paddle(layer)

    def in_torch(x: torch.Tensor) -> torch.Tensor:
        norm = T.batch_norm(x, *theirs, training=training, momentum=0.1, eps=1e-3)
        return T.relu(norm) if act else norm

    expected, expected_gradient, _ = _in_torch(in_torch)
    assert _apart(y, expected) < CLOSE
    assert _apart(gradient, expected_gradient) < CLOSE
    assert _apart(layer._mean.numpy(), theirs[0].numpy()) < CLOSE
    assert _apart(layer._variance.numpy(), theirs[1].numpy()) < CLOSE
    assert {name: kernel.calls for name, kernel in used.items()} == {"paddle.nn.BatchNorm": 1}


def test_variance_of_a_reference_stays_torchs_beside_another_framework() -> None:
    variance = torch.tensor(VARIANCE)
    _in_torch(lambda x: T.batch_norm(x, torch.tensor(MEAN), variance, training=True), peer="torch")
    assert _apart(variance.numpy(), 0.9 * VARIANCE + 0.1 * _draw().var((0, 2, 3), ddof=1)) < CLOSE


def test_version_that_does_not_reproduce_the_frameworks_own_is_not_used() -> None:
    """Paddle's divisor_override does not do what its name says; an exact version of it would hide that."""
    own = F.avg_pool2d(paddle.to_tensor(_draw()), 3, 2, 1, divisor_override=5).numpy()
    y, _, used = _in_paddle(lambda x: F.avg_pool2d(x, 3, 2, 1, divisor_override=5))
    assert np.array_equal(y, own)
    (kernel,) = used.values()
    assert (kernel.calls, kernel.unused) == (0, 1)
    assert kernel.apart > 0.1


def test_calls_in_float32_and_forms_that_are_not_known_are_left_alone() -> None:
    x = paddle.to_tensor(_draw(), dtype="float32")
    with exact_paddle.exact() as used:
        F.hardsigmoid(x)
        F.avg_pool2d(paddle.to_tensor(_draw()), 2, padding="SAME")
        F.interpolate(paddle.to_tensor(_draw()), (3, 3), mode="nearest")
    assert used == {}


def test_functions_are_put_back_everywhere() -> None:
    import paddle.nn.layer.norm as layer

    own, of_layer = F.layer_norm, F.batch_norm
    with exact_paddle.exact():
        assert F.layer_norm is not own
        assert layer.F.batch_norm is not of_layer
    assert F.layer_norm is own
    assert F.batch_norm is of_layer
