"""The types of an array and of a batch, and the names of the floating-point dtypes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
Batch: TypeAlias = Array | Mapping[str, Array]
"""What a model is given: one array, or arrays by the names of its inputs. Either way axis 0 is the batch."""

FLOATS = ("float16", "bfloat16", "float32", "float64")
"""Floating-point dtypes that a recording can hold, by name."""


def first_rows(batch: Batch, count: int) -> Batch:
    """The first rows of a batch, of every array in it."""
    if isinstance(batch, np.ndarray):
        return batch[:count]
    return {name: array[:count] for name, array in batch.items()}
