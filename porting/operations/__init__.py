"""What a rule can do to tensors; `porting.ops` is this package under its earlier name."""

from porting.operations.base import (
    Concat,
    Drop,
    Fill,
    FoldBias,
    Op,
    ShapeMismatchError,
    Split,
    Squeeze,
    Tie,
    Transpose,
    Unsqueeze,
    Untie,
    ValueMismatchError,
    ZeroBias,
    between,
)

__all__ = [
    "Concat",
    "Drop",
    "Fill",
    "FoldBias",
    "Op",
    "ShapeMismatchError",
    "Split",
    "Squeeze",
    "Tie",
    "Transpose",
    "Unsqueeze",
    "Untie",
    "ValueMismatchError",
    "ZeroBias",
    "between",
]
