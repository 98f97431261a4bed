"""Tensors in another floating dtype; a finite value that would become infinite is an error."""

from __future__ import annotations

from typing import Any

import numpy as np

from porting.checkpoint import dtypes
from porting.checkpoint.dtypes import FLOATS, is_float
from porting.checkpoint.tensor import Array, Elementwise, LazyTensor
from porting.errors import PlanError
from porting.names import unknown


def float_dtype(name: str) -> np.dtype[Any]:
    """Return the NumPy dtype of one of `FLOATS`.

    Raises:
        UnknownNameError: The name is none of `FLOATS`.
    """
    if name not in FLOATS:
        raise unknown("dtype", name, FLOATS)
    return dtypes.dtype(name)


def cast(name: str, tensor: LazyTensor, dtype: str) -> LazyTensor:
    """Return the tensor in another floating dtype; integers and bools stay as they are.

    Values are rounded to the nearest; from float64 to bfloat16 they go through float32, as in torch. What is too small
    for the dtype becomes zero, as in the frameworks.

    Args:
        name: The tensor's name, for the error.
        tensor: The tensor.
        dtype: One of `FLOATS`.

    Raises:
        UnknownNameError: The dtype is not known.
        PlanError: On loading, when a finite value becomes infinite in the narrower dtype.
    """
    wanted = float_dtype(dtype)
    if not is_float(tensor.dtype) or tensor.dtype == wanted:
        return tensor

    def change(values: Array) -> Array:
        with np.errstate(over="ignore", invalid="ignore"):
            rounded = values.astype(wanted)
        lost = np.isinf(rounded) & np.isfinite(values)
        if lost.any():
            worst = values[lost].flat[0]
            raise PlanError(f"{name}: {worst!s} does not fit into {dtype}; give a wider --dtype")
        return rounded

    return LazyTensor(tensor.shape, wanted, lambda: change(tensor.load()), elementwise=Elementwise(tensor, change))
