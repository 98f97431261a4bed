"""Dtypes by name, and how each file format spells them.

bfloat16 lives in `ml_dtypes`, which is imported when the first bfloat16 tensor is met.
"""

from __future__ import annotations

from typing import Any

import numpy as np

DTYPES = (
    "bool",
    "uint8",
    "int8",
    "int16",
    "uint16",
    "int32",
    "uint32",
    "int64",
    "uint64",
    "float16",
    "bfloat16",
    "float32",
    "float64",
    "complex64",
    "complex128",
)
"""Names of the dtypes that tensors have here."""
FLOATS = ("float64", "float32", "float16", "bfloat16")
"""Those among them that weights have."""


def is_float(dtype: np.dtype[Any]) -> bool:
    """Whether a dtype is one of `FLOATS`; NumPy itself does not count bfloat16 among its own."""
    return dtype.name in FLOATS


def dtype(name: str) -> np.dtype[Any]:
    """The native-endian dtype of one of `DTYPES`."""
    if name != "bfloat16":
        return np.dtype(name)
    import ml_dtypes

    bfloat16: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
    return bfloat16
