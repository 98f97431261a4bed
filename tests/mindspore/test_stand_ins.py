"""Exact versions of MindSpore's kernels: near their own, exact to float32 forward and backward, and gone afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

ms = pytest.importorskip("mindspore")
VALUES = (3 * np.random.default_rng(0).normal(size=(6, 10))).astype(np.float32)
X = VALUES.astype(np.float64)
SIGMOID = 1 / (1 + np.exp(-X))
SHARES = np.exp(X) / np.exp(X).sum(-1, keepdims=True)
SOFTPLUS = np.log1p(np.exp(X))
FUNCTIONS = {
    "ops.tanh": (ms.ops.tanh, np.tanh(X)),
    "nn.Tanh": (ms.nn.Tanh(), np.tanh(X)),
    "Tensor.tanh": (lambda x: x.tanh(), np.tanh(X)),
    "mint.tanh": (lambda x: ms.mint.tanh(x), np.tanh(X)),
    "ops.exp": (ms.ops.exp, np.exp(X)),
    "nn.Sigmoid": (ms.nn.Sigmoid(), SIGMOID),
    "nn.SiLU": (ms.nn.SiLU(), X * SIGMOID),
    "nn.Softmax": (ms.nn.Softmax(-1), SHARES),
    "ops.softmax": (lambda x: ms.ops.softmax(x, -1), SHARES),
    "nn.LogSoftmax": (ms.nn.LogSoftmax(-1), np.log(SHARES)),
    "ops.log_softmax": (lambda x: ms.ops.log_softmax(x, -1), np.log(SHARES)),
    "ops.softplus": (lambda x: ms.ops.softplus(x), SOFTPLUS),
    "nn.Mish": (ms.nn.Mish(), X * np.tanh(SOFTPLUS)),
    "nn.ELU": (ms.nn.ELU(), np.where(X > 0, X, np.expm1(X))),
}
TANH_SLOPE = 1 - np.tanh(X) ** 2


def error(ours: Any, exact: Any) -> float:
    return float(np.linalg.norm(ours.asnumpy() - exact) / np.linalg.norm(exact))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_exact_version_rounds_once(name: str) -> None:
    from alignment.backends.stand_ins.mindspore import exact

    function, expected = FUNCTIONS[name]
    with exact() as used:
        result = function(ms.Tensor(VALUES))
        assert result.dtype == ms.float32
        assert error(result, expected) < 6e-8
    assert [(kernel.calls > 0, kernel.unused) for kernel in used.values()] == [(True, 0)]


@pytest.mark.parametrize("function", [ms.ops.tanh, lambda x: x.tanh(), ms.nn.Tanh()])
def test_gradient_is_exact_only_within_the_context(function: Callable[[Any], Any]) -> None:
    from alignment.backends.stand_ins.mindspore import exact

    gradient = ms.grad(lambda x: function(x).sum())
    assert error(gradient(ms.Tensor(VALUES)), TANH_SLOPE) > 1e-6
    with exact():
        assert error(gradient(ms.Tensor(VALUES)), TANH_SLOPE) < 6e-8
    assert error(gradient(ms.Tensor(VALUES)), TANH_SLOPE) > 1e-6


def test_other_dtypes_are_left_to_mindspore() -> None:
    from alignment.backends.stand_ins.mindspore import exact

    with exact() as used:
        assert ms.ops.tanh(ms.Tensor(VALUES, ms.float16)).dtype == ms.float16
        assert ms.ops.tanh(ms.Tensor(X)).dtype == ms.float64
    assert not used
