"""torch's functions, methods of tensors and operators, watched by torch's own mode for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

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

_SAME = (
    *("gelu", "relu", "relu6", "silu", "hardswish", "hardsigmoid", "sigmoid", "tanh", "leaky_relu", "elu"),
    *("softplus", "mish", "softmax", "log_softmax", "interpolate", "normalize", "layer_norm", "dropout"),
    *("cross_entropy", "std", "var", "repeat_interleave", "tile", "expand", "triu", "tril", "matmul", "bmm"),
    *("einsum", "chunk", "split", "unbind", "reshape", "flatten", "stack", "mean", "arange", "roll", "detach"),
    *("unflatten", "batch_norm", "instance_norm", "group_norm", "linear", "conv2d", "embedding", "max_pool2d"),
    *("add", "exp", "expm1", "log", "log2", "log10", "log1p", "sqrt", "rsqrt", "square", "flip", "full", "norm"),
    *("sum", "amax", "amin", "adaptive_avg_pool2d", "adaptive_max_pool2d", "conv1d", "conv_transpose2d", "pad"),
    *("cumsum", "linspace", "where", "masked_fill", *SPECIAL, *ALONG, *BOUNDING),
)
_NAMES = {
    **{name: name for name in _SAME},
    "cat": "concat",
    "sub": "subtract",
    "mul": "multiply",
    "div": "divide",
    **dict.fromkeys(("clamp", "clip"), "clip"),
    **dict.fromkeys(("clamp_", "clip_"), "clip_"),
    **{f"{name}{place}": f"{name}{place}" for name in ("clamp_min", "clamp_max") for place in ("", "_")},
    "__getitem__": "getitem",
    **{f"__{prefix}{short}__": name for prefix in ("", "r") for short, name in ARITHMETIC.items()},
    "view": "reshape",
    "permute": "transpose",
    "repeat": "tile",
    "pow": "pow",
    "__pow__": "pow",
    "__rpow__": "rpow",
    "__matmul__": "matmul",
    "__ge__": "greater_equal",
    "__gt__": "greater_than",
    "__le__": "less_equal",
    "__lt__": "less_than",
    "ge": "greater_equal",
    "gt": "greater_than",
    "le": "less_equal",
    "lt": "less_than",
}
"""Name in torch to Paddle's."""


class TorchFunctions:
    """See `alignment.backends.functions.calls.Functions`.

    Args:
        array: The values of a tensor.
    """

    def __init__(self, array: Callable[[Any], Array]) -> None:
        self._tensors = Tensors("torch", lambda value: isinstance(value, Tensor), array, _like)

    @contextmanager
    def watch(self, visit: OnCall) -> Iterator[None]:
        """Show every call that the code of a model makes while the context is open, and answer as is said."""
        with _Mode(Watcher(self._tensors, visit)):
            yield


class _Mode(TorchFunctionMode):
    def __init__(self, watcher: Watcher) -> None:
        super().__init__()
        self._watcher = watcher

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        name = _FUNCTIONS.get(func)
        if name is None:
            return func(*args, **(kwargs or {}))
        return self._watcher.call(name, func, args, kwargs or {})


def _like(array: Array, other: Tensor) -> Tensor:
    return torch.tensor(array, dtype=other.dtype, device=other.device, requires_grad=other.requires_grad)


_FUNCTIONS: dict[Any, str] = {
    getattr(holder, own): name for holder in (F, torch, Tensor) for own, name in _NAMES.items() if hasattr(holder, own)
} | {getattr(torch.fft, name): name for name in FOURIER}
_FUNCTIONS |= {getattr(torch, name): name for name in PARTS}
_FUNCTIONS |= {getattr(Tensor, name).__get__: name for name in PARTS}
