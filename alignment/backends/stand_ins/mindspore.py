"""Exact versions of what is less than float32 inside MindSpore 2.10 on the CPU: tanh, exponentials and logarithms.

MindSpore's float32 kernels approximate these functions: its tanh is off by 1e-5, where float32 rounds to 3e-8. The
exact versions compute in float64 and round once, forward and backward. `docs/framework-differences.md` has the numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import mindspore
import numpy as np
from mindspore import Tensor, nn, ops
from mindspore.ops.auto_generate import gen_ops_prim as primitives

from alignment.backends.stand_ins.using import Function, using
from alignment.recordings.kernels import Kernel

_NEAR = 1e-3
"""Largest relative L2 between an exact version and MindSpore's own: its tanh reaches 1e-4 where the inputs are wide."""
_PRIMITIVES = ("Tanh", "Exp", "Sigmoid", "Log", "SiLU", "Elu", "Erf", "Erfc", "Softmax")
"""Classes of operations whose float64 kernels are exact."""
_METHODS = ("tanh", "exp", "sigmoid", "log", "erf", "erfc")
"""The same as methods of tensors, which call no class."""


@contextmanager
def exact() -> Iterator[dict[str, Kernel]]:
    """Use exact versions, for as long as the context lasts; yields what was used, see `using`."""
    classes = [getattr(primitives, name) for name in _PRIMITIVES]
    tensors = Tensor.__mro__[1]
    versions = {f"mindspore.ops.{kind.__name__}": (kind.__call__, _widened(kind.__call__)) for kind in classes}
    versions |= {f"mindspore.Tensor.{name}": _method(tensors, name) for name in _METHODS if name in vars(tensors)}
    softmax = ops.function.nn_func.softmax_impl
    log_softmax = ops.auto_generate.gen_ops_def.log_softmax_impl
    versions["mindspore.ops.softmax"] = softmax, _widened(softmax)
    versions["mindspore.ops.log_softmax"] = log_softmax, _only_float32(_log_softmax)
    versions["mindspore.ops.softplus"] = ops.softplus, _only_float32(_softplus)
    versions["mindspore.ops.mish"] = ops.mish, _only_float32(_mish)
    versions["mindspore.ops.LogSoftmax"] = primitives.LogSoftmax.__call__, _layer(_log_softmax, "axis")
    versions["mindspore.nn.Mish"] = nn.Mish.construct, _layer(_mish)
    with using(versions, _apart, near=_NEAR, holders=(tensors, nn.Mish, primitives.LogSoftmax, *classes)) as used:
        yield used


def _method(tensors: type, name: str) -> tuple[Function, Function]:
    own = vars(tensors)[name]
    return own, _widened(own)


def _widened(own: Function) -> Function:
    """The framework's own function in float64, of calls with tensors in float32; the result is rounded once."""

    def call(*args: Any, **kwargs: Any) -> Any:
        if not any(_is_float32(value) for value in (*args, *kwargs.values())):
            return NotImplemented
        result = own(*map(_wide, args), **{name: _wide(value) for name, value in kwargs.items()})
        return result.astype(mindspore.float32)

    return call


def _only_float32(version: Callable[..., Tensor]) -> Function:
    """An exact version that answers calls with a first tensor in float32 only."""

    def call(x: Any, *args: Any, **kwargs: Any) -> Any:
        return version(_wide(x), *args, **kwargs).astype(mindspore.float32) if _is_float32(x) else NotImplemented

    return call


def _layer(version: Callable[..., Tensor], *settings: str) -> Function:
    """The same for a method of a layer or operation, with these of its settings."""
    function = _only_float32(version)
    return lambda holder, x: function(x, *(getattr(holder, name) for name in settings))


def _is_float32(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dtype == mindspore.float32


def _wide(value: Any) -> Any:
    return value.astype(mindspore.float64) if _is_float32(value) else value


def _log_softmax(x: Tensor, axis: int = -1) -> Tensor:
    x = x - ops.stop_gradient(x.max(axis, keepdims=True))
    return x - ops.log(ops.exp(x).sum(axis, keepdims=True))


def _softplus(x: Tensor, beta: float = 1, threshold: float = 20) -> Tensor:
    scaled = x * beta
    bent = ops.relu(scaled) + ops.log1p(ops.exp(-ops.abs(scaled)))
    return ops.where(scaled > threshold, x, bent / beta)


def _mish(x: Tensor) -> Tensor:
    return x * ops.tanh(_softplus(x, threshold=np.inf))


def _apart(own: Tensor, version: Tensor) -> float:
    one, other = own.asnumpy().astype(np.float64), version.asnumpy().astype(np.float64)
    if one.shape != other.shape:
        return float("inf")
    if not np.array_equal(np.isfinite(one), np.isfinite(other)):
        return float("inf")
    finite = np.isfinite(other)
    return float(np.linalg.norm((one - other)[finite]) / (np.linalg.norm(other[finite]) or 1.0))
