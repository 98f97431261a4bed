"""With exact versions, Paddle's optimizers take the steps of torch's, to rounding in float64; without, they do not."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np
import paddle
import pytest
import torch

from alignment.arrays import Array
from alignment.backends import torch as _prepared  # noqa: F401 - timm needs its preparation
from alignment.backends.stand_ins import paddle_optimizers, torch_optimizers
from alignment.recordings.kernels import Kernel

_RATES = (2.0**-7, 2.0**-8, 2.0**-7)
_GENERATOR = np.random.default_rng(0)
_WEIGHTS = _GENERATOR.standard_normal((4, 3))
_GRADIENTS = [_GENERATOR.standard_normal((4, 3)) * 10.0 ** (-7 * _GENERATOR.random((4, 3))) for _ in _RATES]


def _timms_lamb(parameters: Any) -> Any:
    from timm.optim import Lamb

    return Lamb(parameters, lr=1.0, weight_decay=0.01, max_grad_norm=None)


TORCH, PADDLE = torch.optim, paddle.optimizer
PAIRS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "AdamW": (
        lambda p: TORCH.AdamW(p, weight_decay=0.05),
        lambda p: PADDLE.AdamW(1.0, parameters=p, weight_decay=0.05),
    ),
    "Momentum": (
        lambda p: TORCH.SGD(p, momentum=0.9, weight_decay=0.05, nesterov=True),
        lambda p: PADDLE.Momentum(1.0, 0.9, parameters=p, weight_decay=0.05, use_nesterov=True),
    ),
    "RMSProp": (
        lambda p: TORCH.RMSprop(p, alpha=0.9, momentum=0.9, centered=True, weight_decay=0.01),
        lambda p: PADDLE.RMSProp(1.0, 0.9, 1e-8, 0.9, centered=True, parameters=p, weight_decay=0.01),
    ),
    "Lamb": (_timms_lamb, lambda p: PADDLE.Lamb(1.0, 0.01, parameters=p)),
}


def _torch_steps(make: Callable[[Any], Any]) -> Array:
    parameter = torch.nn.Parameter(torch.tensor(_WEIGHTS))
    optimizer = make([parameter])
    for rate, gradient in zip(_RATES, _GRADIENTS, strict=True):
        optimizer.param_groups[0]["lr"] = rate
        parameter.grad = torch.tensor(gradient)
        optimizer.step()
    return parameter.detach().numpy().copy()


def _paddle_steps(make: Callable[[Any], Any]) -> Array:
    parameter = paddle.create_parameter((4, 3), "float64")
    parameter.set_value(_WEIGHTS)
    optimizer = make([parameter])
    for rate, gradient in zip(_RATES, _GRADIENTS, strict=True):
        optimizer.set_lr(rate)
        parameter.grad = paddle.to_tensor(gradient)
        optimizer.step()
        optimizer.clear_grad()
    values: Array = parameter.numpy().copy()
    return values


def _apart(name: str, exact: bool) -> tuple[float, dict[str, Kernel]]:
    """Distance of both sides' steps, of the length of the step, and what was used."""
    used: dict[str, Kernel] = {}
    with ExitStack() as stack:
        tables = []
        if exact:
            tables.append(stack.enter_context(torch_optimizers.exact("paddle")))
            tables.append(stack.enter_context(paddle_optimizers.exact("torch")))
        one, other = _torch_steps(PAIRS[name][0]), _paddle_steps(PAIRS[name][1])
        for table in tables:
            used |= table
    return float(np.linalg.norm(one - other) / np.linalg.norm(one - _WEIGHTS)), used


@pytest.mark.parametrize("name", PAIRS)
def test_exact_versions_take_the_same_steps_and_the_own_kernels_do_not(name: str) -> None:
    assert _apart(name, exact=False)[0] > 1e-10
    distance, used = _apart(name, exact=True)
    assert distance < 1e-14
    kernel = used[f"paddle.optimizer.{name}"]
    assert (kernel.calls, kernel.unused) == (3, 0)


def test_rmsprop_of_torch_is_left_alone_for_a_candidate_in_torch() -> None:
    own = _torch_steps(PAIRS["RMSProp"][0])
    with torch_optimizers.exact("torch") as used:
        assert (_torch_steps(PAIRS["RMSProp"][0]) == own).all()
    assert used == {}


def test_float32_steps_keep_the_own_kernel() -> None:
    parameter = paddle.create_parameter((2,), "float32")
    optimizer = PADDLE.AdamW(0.1, parameters=[parameter])
    parameter.grad = paddle.ones([2])
    with paddle_optimizers.exact("torch") as used:
        optimizer.step()
    assert used == {}
