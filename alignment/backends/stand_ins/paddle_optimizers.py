"""Exact float64 versions of Paddle's optimizers, whose kernels hold some of their coefficients as float32 numbers.

AdamW holds its decay so, Momentum its momentum and decay, RMSProp and Lamb all that they are given. Each version takes
the arguments of the kernel that updates one parameter.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import paddle
from paddle import Tensor

from alignment.arrays import Array
from alignment.backends.stand_ins.using import InPlace, using
from alignment.recordings.kernels import Kernel

_NEAR = 1e-4
"""Largest distance of two steps, of their norm: 1 - 0.999 has no more than five digits in float32."""


@contextmanager
def exact(peer: str) -> Iterator[dict[str, Kernel]]:
    """Use exact versions, for as long as the context lasts; yields what was used, see `using`.

    Args:
        peer: The framework of the other side; Paddle's optimizers are made exact for any.
    """
    del peer
    kernels = {
        "paddle.optimizer.AdamW": ("adamw_", _adamw),
        "paddle.optimizer.Momentum": ("momentum_", _momentum),
        "paddle.optimizer.RMSProp": ("rmsprop_", _rmsprop),
        "paddle.optimizer.Lamb": ("lamb_", _lamb),
    }
    functions = {
        name: (getattr(paddle._C_ops, kernel), version)
        for name, (kernel, version) in kernels.items()
        if hasattr(paddle._C_ops, kernel)
    }
    with using(functions, lambda *_: 0.0, near=_NEAR) as used:
        yield used


def _values(tensor: Tensor) -> Array:
    return tensor.detach().numpy().copy()


def _number(tensor: Tensor) -> float:
    return float(tensor.detach().numpy().reshape(-1)[0])


def _step(param: Tensor, new: Array, *state: tuple[Tensor, Array]) -> InPlace:
    """The exact update of a parameter and of the state that the optimizer keeps of it."""
    before = _values(param)

    def distance() -> float:
        moved = _values(param) - before
        return float(np.linalg.norm(moved - (new - before)) / (np.linalg.norm(moved) or 1.0))

    def after() -> None:
        with paddle.no_grad():
            for tensor, values in ((param, new), *state):
                tensor.set_value(values.reshape(tensor.shape))

    return InPlace(distance, after)


def _adamw(*given: Any) -> Any:
    param, grad, rate, first, second, _, power1, power2, master, found_inf = given[:10]
    beta1, beta2, epsilon, ratio, decay, decays, *_, amsgrad = given[10:]
    if param.dtype != paddle.float64 or amsgrad or master is not None or found_inf is not None:
        return NotImplemented
    weight, gradient, lr = _values(param), _values(grad), _number(rate) * ratio
    if decays:
        weight = weight * (1 - lr * decay)
    new1 = beta1 * _values(first) + (1 - beta1) * gradient
    new2 = beta2 * _values(second) + (1 - beta2) * gradient**2
    root = np.sqrt(new2 / (1 - _number(power2))) + epsilon
    return _step(param, weight - lr / (1 - _number(power1)) * new1 / root)


def _momentum(*given: Any) -> Any:
    param, grad, velocity, rate, master, momentum, nesterov, kind, coefficient, _, rescale = given
    if param.dtype != paddle.float64 or master is not None:
        return NotImplemented
    weight, lr = _values(param), _number(rate)
    gradient = _values(grad) * rescale
    if kind == "l2_decay":
        gradient = gradient + coefficient * weight
    new = momentum * _values(velocity) + gradient
    return _step(param, weight - lr * (gradient + momentum * new if nesterov else new), (velocity, new))


def _rmsprop(*given: Any) -> Any:
    param, square, grad, moment, rate, mean, master, epsilon, rho, momentum, centered, _ = given
    if param.dtype != paddle.float64 or master is not None:
        return NotImplemented
    gradient, lr = _values(grad), _number(rate)
    squares = rho * _values(square) + (1 - rho) * gradient**2
    means = rho * _values(mean) + (1 - rho) * gradient if centered else _values(mean)
    root = np.sqrt(squares - (means**2 if centered else 0.0) + epsilon)
    new = momentum * _values(moment) + lr * gradient / root
    return _step(param, _values(param) - new, (square, squares), (mean, means), (moment, new))


def _lamb(*given: Any) -> Any:
    param, grad, rate, first, second, power1, power2, master, skip, decay, beta1, beta2, epsilon, always, _ = given
    if param.dtype != paddle.float64 or master is not None or skip is not None:
        return NotImplemented
    weight, gradient, lr = _values(param), _values(grad), _number(rate)
    new1 = beta1 * _values(first) + (1 - beta1) * gradient
    new2 = beta2 * _values(second) + (1 - beta2) * gradient**2
    large, small = 1 - _number(power1), 1 - _number(power2)
    update = (new1 / large) / (np.sqrt(new2 / small) + epsilon) + decay * weight
    norms = float(np.linalg.norm(weight)), float(np.linalg.norm(update))
    trust = norms[0] / norms[1] if all(norms) and (always or decay) else 1.0
    later1, later2 = (np.asarray(power) for power in ((1 - large) * beta1, (1 - small) * beta2))
    return _step(param, weight - lr * trust * update, (first, new1), (second, new2), (power1, later1), (power2, later2))
