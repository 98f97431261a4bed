"""Kernels of MindSpore that lose precision inside in float64, as docs/framework-differences.md says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

ms = pytest.importorskip("mindspore")
VALUES = np.random.default_rng(0).normal(size=(5, 8))


def _error(ours: Any, exact: Any) -> float:
    return float(np.linalg.norm(ours.asnumpy() - exact) / np.linalg.norm(exact))


@pytest.mark.parametrize(
    ("compute", "exact"),
    [
        (lambda x: ms.ops.softplus(x), lambda x: np.log1p(np.exp(x))),
        (lambda x: ms.ops.mish(x), lambda x: x * np.tanh(np.log1p(np.exp(x)))),
        (lambda x: ms.ops.leaky_relu(x, 0.1), lambda x: np.where(x > 0, x, 0.1 * x)),
        (lambda x: ms.ops.pow(x * x, 0.3), lambda x: (x * x) ** 0.3),
    ],
    ids=["softplus", "mish", "leaky_relu", "pow"],
)
def test_kernel_loses_precision_in_float64(compute: Callable[[Any], Any], exact: Callable[[Any], Any]) -> None:
    assert 1e-9 < _error(compute(ms.Tensor(VALUES, ms.float64)), exact(VALUES)) < 2e-6


def test_kernel_of_silu_is_exact_in_float64() -> None:
    assert _error(ms.ops.silu(ms.Tensor(VALUES, ms.float64)), VALUES / (1 + np.exp(-VALUES))) < 1e-14


def test_elu_takes_an_alpha_of_one_only() -> None:
    with pytest.raises(ValueError, match="alpha must be 1"):
        ms.ops.elu(ms.Tensor(VALUES, ms.float64), 0.3)
