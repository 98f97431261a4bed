"""The type of an array, and the names of the floating-point dtypes."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]

FLOATS = ("float16", "bfloat16", "float32", "float64")
"""Floating-point dtypes that a recording can hold, by name."""
