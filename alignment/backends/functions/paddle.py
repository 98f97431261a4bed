"""Paddle's functions, methods of tensors and operators, watched by putting others in their place."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any, TypeAlias

import paddle
import paddle.nn.functional as F
from paddle import Tensor

from alignment.arrays import Array
from alignment.backends.functions.calls import (
    ALONG,
    ARITHMETIC,
    BOUNDING,
    FOURIER,
    PARTS,
    SPECIAL,
    OnCall,
    Tensors,
    Watcher,
)

_ACTIVATIONS = (
    *("gelu", "relu", "relu6", "silu", "swish", "hardswish", "hardsigmoid", "sigmoid", "tanh", "leaky_relu", "elu"),
    *("softplus", "mish"),
)
_FUNCTIONAL = (
    *_ACTIVATIONS,
    *("softmax", "log_softmax", "interpolate", "upsample", "normalize", "layer_norm", "dropout", "cross_entropy"),
    *("batch_norm", "instance_norm", "group_norm", "linear", "conv2d", "conv1d", "embedding", "avg_pool2d"),
    *("adaptive_avg_pool2d", "adaptive_avg_pool1d", "max_pool2d", "scaled_dot_product_attention", "pad", "one_hot"),
    *("adaptive_max_pool2d", "adaptive_max_pool1d", "conv2d_transpose", *SPECIAL),
)
_PLAIN = (
    *("sigmoid", "tanh", "std", "var", "repeat_interleave", "tile", "expand", "triu", "tril", "matmul", "bmm"),
    *("einsum", "chunk", "split", "unbind", "unstack", "reshape", "flatten", "concat", "stack", "mean", "sum"),
    *(
        "arange",
        "linspace",
        "roll",
        "flip",
        "greater_equal",
        "greater_than",
        "less_equal",
        "less_than",
        "cumsum",
        "unflatten",
    ),
    *("add", "subtract", "multiply", "divide", "exp", "expm1", "log", "log2", "log10", "log1p", "sqrt", "rsqrt"),
    *("square", "clip", "max", "min", "amax", "amin", "full", "norm", "transpose", "pow"),
    *("where", "masked_fill", *ALONG, *BOUNDING),
)
_METHODS = {
    "__matmul__": "matmul",
    "__ge__": "greater_equal",
    "__gt__": "greater_than",
    "__le__": "less_equal",
    "__lt__": "less_than",
    "__pow__": "pow",
    "__rpow__": "rpow",
    "detach": "detach",
    **{f"__{prefix}{short}__": name for prefix in ("", "r") for short, name in ARITHMETIC.items()},
    "__getitem__": "getitem",
}
_IN_PLACE = ("relu_", "softmax_", "tanh_", "sigmoid_", "leaky_relu_", "elu_")
_Place: TypeAlias = "tuple[Any, Any, Callable[..., Any], str]"
"""What holds a function, under which key, the function, and its name."""


class PaddleFunctions:
    """See `alignment.backends.functions.calls.Functions`.

    Args:
        model: The model, whose modules may hold functions.
        array: The values of a tensor.
    """

    def __init__(self, model: Any, array: Callable[[Any], Array]) -> None:
        self._tensors = Tensors("paddle", lambda value: isinstance(value, Tensor), array, _like)
        self._places = list(_places(model))

    @contextmanager
    def watch(self, visit: OnCall) -> Iterator[None]:
        """Show every call that the code of a model makes while the context is open, and answer as is said."""
        watcher = Watcher(self._tensors, visit)
        wrapped = {id(own): _wrapped(watcher, name, own) for _, _, own, name in self._places}
        enter, stop = paddle.base.dygraph.base.no_grad_.__enter__, Tensor.stop_gradient
        try:
            for holder, key, own, _ in self._places:
                _put(holder, key, wrapped[id(own)])
            paddle.base.dygraph.base.no_grad_.__enter__ = _entered(watcher, enter)
            Tensor.stop_gradient = _stopping(watcher, stop)
            yield
        finally:
            Tensor.stop_gradient = stop
            paddle.base.dygraph.base.no_grad_.__enter__ = enter
            for holder, key, own, _ in self._places:
                _put(holder, key, own)


def _like(array: Array, other: Tensor) -> Tensor:
    return paddle.to_tensor(array, dtype=other.dtype, stop_gradient=other.stop_gradient)


def _wrapped(watcher: Watcher, name: str, own: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(own)
    def call(*args: Any, **by_name: Any) -> Any:
        return watcher.call(name, own, args, by_name)

    return call


def _entered(watcher: Watcher, own: Callable[[Any], None]) -> Callable[[Any], None]:
    def enter(context: Any) -> None:
        on = paddle.is_grad_enabled()
        own(context)
        if watcher.is_seen("no_grad"):
            paddle.base.dygraph.base._set_grad_enabled(on)

    return enter


def _stopping(watcher: Watcher, own: Any) -> property:
    def put(tensor: Tensor, value: bool) -> None:
        if not (value and not own.__get__(tensor) and watcher.is_seen("stop_gradient")):
            own.__set__(tensor, value)

    return property(own.__get__, put)


def _functions() -> dict[int, tuple[Callable[..., Any], str]]:
    """Id of a function to the function and its name; exact versions that stand in for some are taken for them."""
    named: list[tuple[Any, str]] = [(getattr(F, name, None), name) for name in (*_FUNCTIONAL, *_IN_PLACE)]
    named += [(getattr(F.conv, "_conv_nd", None), "convolution")]  # what the layers call
    named += [(getattr(paddle, name, None), name) for name in _PLAIN]
    named += [(getattr(paddle.fft, name, None), name) for name in FOURIER]
    named += [(getattr(holder, name, None), name) for holder in (paddle, Tensor) for name in PARTS]
    named += [(getattr(Tensor, method, None), name) for method, name in _METHODS.items()]
    named += [(getattr(Tensor, name, None), name) for name in (*_PLAIN, "softmax")]
    return {id(own): (own, name) for own, name in reversed(named) if callable(own)}


def _places(model: Any) -> Iterator[_Place]:
    """Everything under which a function is known: modules, tables in modules, methods of tensors, layers."""
    functions = _functions()
    for holder in (*_modules(), Tensor):
        yield from _held(holder, list(vars(holder).items()), functions)
        if isinstance(holder, ModuleType) and holder.__name__.partition(".")[0] != "paddle":
            for value in list(vars(holder).values()):
                if type(value) is dict and len(value) < 200:
                    yield from _held(value, list(value.items()), functions)
    for layer in model.sublayers(include_self=True):
        yield from _held(layer, list(vars(layer).items()), functions)


def _modules() -> list[ModuleType]:
    ours = __name__.rpartition(".")[0].rpartition(".")[0]
    return [
        module
        for module in list(sys.modules.values())
        if isinstance(module, ModuleType) and not module.__name__.startswith((ours, "numpy", "torch", "scipy"))
    ]


def _held(
    holder: Any, items: Sequence[tuple[Any, Any]], functions: Mapping[int, tuple[Callable[..., Any], str]]
) -> Iterator[_Place]:
    for key, value in items:
        known = functions.get(id(value))
        if known is not None:
            yield (holder, key, *known)


def _put(holder: Any, key: Any, value: Any) -> None:
    if isinstance(holder, dict):
        holder[key] = value
    else:
        setattr(holder, key, value)
