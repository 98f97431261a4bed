"""Dtypes by name, and by NumPy's code for each.

bfloat16 is in `ml_dtypes`, which is imported when the first bfloat16 tensor is met.
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
NUMPY_CODES = {np.dtype(name).str[1:]: name for name in DTYPES if name != "bfloat16"}
"""Dtypes by their code in NumPy's files, such as `f4`; NumPy has none for bfloat16."""


def is_float(dtype: np.dtype[Any]) -> bool:
    """Return True if a dtype is one of `FLOATS`; NumPy itself does not count bfloat16 as a float."""
    return dtype.name in FLOATS


def dtype(name: str) -> np.dtype[Any]:
    """Return the native-endian dtype of one of `DTYPES`."""
    if name != "bfloat16":
        return np.dtype(name)
    import ml_dtypes

    bfloat16: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
    return bfloat16
