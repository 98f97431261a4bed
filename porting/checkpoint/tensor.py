"""A tensor that is described now and read later, so that a checkpoint of any size streams through."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
Shape: TypeAlias = tuple[int, ...]


class Pieces(NamedTuple):
    """The arrays that make up a tensor, joined along an axis."""

    arrays: tuple[Array, ...]
    axis: int


@dataclass(frozen=True, slots=True)
class LazyTensor:
    """Shape and dtype of one tensor, and how to read it.

    Attributes:
        shape: The tensor's shape; `()` for a scalar.
        dtype: A native-endian NumPy dtype; bfloat16 is `ml_dtypes.bfloat16`.
        load: Returns the data, of exactly this shape and dtype. The array may be read-only, strided, and a view of a
            mapped file: copy what you keep, and do not use it after the checkpoint is closed.
        pieces: Returns the same data in pieces, for who need not have it in one; None where it is in one anyway.
    """

    shape: Shape
    dtype: np.dtype[Any]
    load: Callable[[], Array]
    pieces: Callable[[], Pieces] | None = None

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Size of the data in bytes, packed."""
        return self.size * self.dtype.itemsize

    @classmethod
    def of(cls, array: Array) -> LazyTensor:
        """A tensor whose data is already in memory."""
        return cls(array.shape, array.dtype, lambda: array)


class Described(ABC):
    """A tensor as a file describes it, before its name is known and its description checked."""

    __slots__ = ()

    @abstractmethod
    def tensor(self, name: str) -> LazyTensor:
        """The tensor, once what the file says about it is found possible.

        Args:
            name: What to call it in errors.

        Raises:
            CheckpointError: What the file says about it cannot be true.
        """


TensorCallback: TypeAlias = Callable[[str, int], None]
"""Told the name and size in bytes of each tensor that is done."""
