"""The types of an array and of a batch, and the floating-point dtypes: their names and their rounding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import ml_dtypes
import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
Batch: TypeAlias = Array | Mapping[str, Array]
"""What a model is given: one array, or arrays by the names of its inputs. Either way axis 0 is the batch."""

FLOATS = ("float16", "bfloat16", "float32", "float64")
"""Floating-point dtypes that a recording can hold, by name."""
HALVES = ("bfloat16", "float16")
"""Those of half precision."""
EPSILONS: Mapping[str, float] = {name: float(ml_dtypes.finfo(name).eps) for name in FLOATS}
"""Rounding of each: the distance from 1 to the next larger number."""


def is_floating(array: Array) -> bool:
    """Whether an array holds floating-point numbers; NumPy does not count bfloat16 among them."""
    return array.dtype.name in FLOATS


def first_rows(batch: Batch, count: int) -> Batch:
    """The first rows of a batch, of every array in it."""
    if isinstance(batch, np.ndarray):
        return batch[:count]
    return {name: array[:count] for name, array in batch.items()}
