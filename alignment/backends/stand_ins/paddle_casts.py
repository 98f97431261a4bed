"""Lifts casts to float32 in a model's own Paddle code: `x.astype("float32")`, `paddle.cast`, `dtype="float32"`.

Paddle makes float32 of integers, too, whatever the default precision is: `paddle.arange(8) + 0.5`, `paddle.sin(ids)`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import Tensor

from alignment.backends.stand_ins.casts import caller, count
from alignment.backends.stand_ins.using import replaced
from alignment.recordings.kernels import Kernel

_CAST = Tensor.astype
_PACKAGE = str(Path(paddle.__file__).parent)
_METHODS = ("astype", "cast", "to")
_OPERATORS = tuple(f"__{way}{name}__" for way in ("", "r") for name in ("add", "sub", "mul", "truediv", "pow"))
_OF_NUMBERS = ("sqrt", "rsqrt", "exp", "log", "sin", "cos", "tanh", "sigmoid")
"""Functions that give floating-point numbers of integers, which are methods of tensors as well."""
_WIDE = {"float32": "float64", "complex64": "complex128"}


@contextmanager
def lifted(used: MutableMapping[str, Kernel]) -> Iterator[None]:
    """Compute in float64 what models cast to float32, wherever float64 is the default.

    Args:
        used: Filled with the place of each cast, and how often it was lifted.
    """
    functions = {value for room in (paddle, F) for value in vars(room).values() if _takes_dtype(value)}
    of_numbers = [getattr(paddle, name) for name in _OF_NUMBERS if hasattr(paddle, name)]
    lifting = [(own, _lifting(own, used)) for own in functions]
    with replaced([*lifting, *((own, _widening(own, used)) for own in of_numbers if own not in functions)]):
        own = {name: getattr(Tensor, name) for name in (*_METHODS, *_OPERATORS, *_OF_NUMBERS) if hasattr(Tensor, name)}
        try:
            for name, method in own.items():
                setattr(Tensor, name, _lifting(method, used) if name in _METHODS else _widening(method, used))
            yield
        finally:
            for name, method in own.items():
                setattr(Tensor, name, method)


def _takes_dtype(value: Any) -> bool:
    if not inspect.isfunction(value) or value.__name__ in ("set_default_dtype", "finfo", "iinfo"):
        return False
    try:
        return "dtype" in inspect.signature(value).parameters
    except (TypeError, ValueError):
        return False


def _lifting(own: Callable[..., Any], used: MutableMapping[str, Kernel]) -> Callable[..., Any]:
    @functools.wraps(own)
    def call(*args: Any, **kwargs: Any) -> Any:
        if paddle.get_default_dtype() == "float64" and any(map(_narrow, (*args, *kwargs.values()))):
            frame = caller(_PACKAGE)
            if frame is not None:
                if not (args and isinstance(args[0], Tensor) and args[0].dtype == paddle.bool):  # float32 is exact
                    count(used, frame)
                args = tuple(map(_wide, args))
                kwargs = {name: _wide(value) for name, value in kwargs.items()}
        return own(*args, **kwargs)

    return call


def _widening(own: Callable[..., Any], used: MutableMapping[str, Kernel]) -> Callable[..., Any]:
    """An operation that makes float64 of integers where Paddle's makes float32."""
    divides, computes = "truediv" in own.__name__, not own.__name__.startswith("__")

    @functools.wraps(own)
    def call(*args: Any, **kwargs: Any) -> Any:
        whole = [isinstance(one, Tensor) and "int" in str(one.dtype) for one in args[:2]]
        if any(whole) and paddle.get_default_dtype() == "float64":
            floats = any(isinstance(one, float) for one in (*args, *kwargs.values()))
            alone = not any(isinstance(one, Tensor) and one.is_floating_point() for one in args[:2])
            frame = caller(_PACKAGE) if alone and (floats or divides or computes) else None
            if frame is not None:
                count(used, frame)
                args = tuple(
                    _CAST(one, "float64") if place < 2 and whole[place] else one for place, one in enumerate(args)
                )
        return own(*args, **kwargs)

    return call


def _name(value: Any) -> str:
    """The name of a dtype in any of Paddle's forms; empty for anything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, paddle.dtype | np.dtype):
        return str(value).rpartition(".")[2]
    return value.__name__ if isinstance(value, type) and issubclass(value, np.generic) else ""


def _narrow(value: Any) -> bool:
    return _name(value) in _WIDE


def _wide(value: Any) -> Any:
    return _WIDE.get(_name(value), value)
