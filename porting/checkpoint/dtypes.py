"""Dtypes by name, and how each file format spells them.

bfloat16 lives in `ml_dtypes`, which is imported when the first bfloat16 tensor is met.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from porting.checkpoint.tensor import LazyTensor
from porting.errors import CheckpointError

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


def dtype(name: str) -> np.dtype[Any]:
    """The native-endian dtype of one of `DTYPES`."""
    if name != "bfloat16":
        return np.dtype(name)
    import ml_dtypes

    bfloat16: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
    return bfloat16


def require(path: object, format_name: str, tensors: Mapping[str, LazyTensor], known: Mapping[str, object]) -> None:
    """Checks that a format has the dtypes of all tensors.

    Args:
        path: The target, for the error.
        format_name: What to call the format in the error.
        tensors: What is to be written.
        known: Has the names of the dtypes that the format holds as keys.

    Raises:
        CheckpointError: Some have another dtype; all are named.
    """
    refused = {name: tensor.dtype.name for name, tensor in tensors.items() if tensor.dtype.name not in known}
    if refused:
        name, found = next(iter(refused.items()))
        raise CheckpointError(
            str(path),
            f"{format_name} files hold no {found}, which {name} is"
            + (f" (and {len(refused) - 1} more tensors)" if len(refused) > 1 else "")
            + f"; cast it (--dtype) or choose another format; it holds {', '.join(known)}",
            [f"{key}: {value}" for key, value in refused.items()] if len(refused) > 1 else [],
        )
