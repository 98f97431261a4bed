"""Dtypes by name, and by NumPy's code for each.

bfloat16 and the floats of eight bits are in `ml_dtypes`, which is imported when the first such tensor is met.
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
FLOAT8 = ("float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu")
"""Floats of eight bits, by their names in torch and `ml_dtypes`. They pass as they are: without the scales that often
belong to them they are no numbers to compute with."""
EXTENDED = ("bfloat16", *FLOAT8)
"""The dtypes that NumPy itself does not have."""
FLOATS = ("float64", "float32", "float16", "bfloat16")
"""Those among them that weights have."""
NUMPY_CODES = {np.dtype(name).str[1:]: name for name in DTYPES if name != "bfloat16"}
"""Dtypes by their code in NumPy's files, such as `f4`; NumPy has none for bfloat16."""


def is_float(dtype: np.dtype[Any]) -> bool:
    """Return True if a dtype is one of `FLOATS`; NumPy itself does not count bfloat16 as a float."""
    return dtype.name in FLOATS


def holds_floats(dtype: np.dtype[Any]) -> bool:
    """Return True if a dtype is one of `FLOATS` or `FLOAT8`."""
    return dtype.name in FLOATS or dtype.name in FLOAT8


def dtype(name: str) -> np.dtype[Any]:
    """Return the native-endian dtype of one of `DTYPES` or `FLOAT8`."""
    if name not in EXTENDED:
        return np.dtype(name)
    import ml_dtypes

    extended: np.dtype[Any] = np.dtype(getattr(ml_dtypes, name))
    return extended
