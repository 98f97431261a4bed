"""A tensor that is described now and read later, so that a checkpoint of any size can be streamed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from porting.frozen import Frozen

if TYPE_CHECKING:
    import numpy.typing as npt

Array: TypeAlias = "npt.NDArray[Any]"
Shape: TypeAlias = tuple[int, ...]


class Pieces(NamedTuple):
    """The arrays that make up a tensor, joined along an axis."""

    arrays: tuple[Array, ...]
    axis: int

    @property
    def shape(self) -> Shape | None:
        """Shape of the joined array; None if the arrays do not fit together."""
        first, axis = self.arrays[0].shape, self.axis
        if not first:
            return first if len(self.arrays) == 1 else None
        joined = (*first[:axis], sum(array.shape[axis] for array in self.arrays), *first[axis + 1 :])
        fits = all(array.shape == (*first[:axis], array.shape[axis], *first[axis + 1 :]) for array in self.arrays)
        return joined if fits else None

    def rows(self, start: int, stop: int) -> Pieces:
        """Return the pieces of the rows from `start` to `stop` of the first axis, as views."""
        if self.axis:
            return Pieces(tuple(array[start:stop] for array in self.arrays), self.axis)
        parts, at = [], 0
        for array in self.arrays:
            part = array[max(start - at, 0) : max(stop - at, 0)]
            parts += [part] if len(part) else []
            at += len(array)
        return Pieces(tuple(parts), 0)


class Elementwise(NamedTuple):
    """A tensor before a change to each of its elements, and that change.

    Attributes:
        tensor: The tensor before it, of the same shape.
        change: Returns any part of the tensor, a flat array, after it.
    """

    tensor: LazyTensor
    change: Callable[[Array], Array]


@dataclass(eq=False, repr=False)
class LazyTensor(Frozen):
    """Shape and dtype of one tensor, and how to read it.

    Attributes:
        shape: The tensor's shape; `()` for a scalar.
        dtype: A native-endian NumPy dtype; bfloat16 is `ml_dtypes.bfloat16`.
        load: Returns the data, of exactly this shape and dtype. The array may be read-only, strided, and a view of a
            mapped file: copy what you keep, and do not use it after the checkpoint is closed.
        pieces: Returns the same data in pieces, for callers that need not join them; None if it is in one piece.
        elementwise: What the data is made of, for callers that need not have all of it changed at a time; None if it
            is no other tensor with its elements changed.
    """

    shape: Shape
    dtype: np.dtype[Any]
    load: Callable[[], Array]
    pieces: Callable[[], Pieces] | None = None
    elementwise: Elementwise | None = None

    @property
    def size(self) -> int:
        """Number of elements, over all axes."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Size of the data in bytes, packed."""
        return self.size * self.dtype.itemsize

    @classmethod
    def of(cls, array: Array) -> LazyTensor:
        """Return a tensor whose data is already in memory."""
        return cls(array.shape, array.dtype, lambda: array)


def in_rows(stretches: Sequence[npt.NDArray[np.uint8]], shape: Shape, dtype: np.dtype[Any]) -> Pieces | None:
    """Return a tensor whose bytes are in several stretches in pieces of whole rows, views but for the rows between.

    Args:
        stretches: The bytes, in order.
        shape: The tensor's shape.
        dtype: Its dtype.

    Returns:
        The pieces along axis 0; None where a row is longer than a stretch.
    """
    row = prod(shape[1:]) * dtype.itemsize
    if not shape or not row or any(len(stretch) < row for stretch in stretches):
        return None
    pieces: list[npt.NDArray[np.uint8]] = []
    rest = np.empty(0, np.uint8)
    for stretch in stretches:
        begun = row - len(rest) if len(rest) else 0
        if begun:
            pieces.append(np.concatenate([rest, stretch[:begun]]))
        end = begun + (len(stretch) - begun) // row * row
        pieces.append(stretch[begun:end])
        rest = stretch[end:]
    return Pieces(tuple(part.view(dtype).reshape(-1, *shape[1:]) for part in pieces if len(part)), 0)


def is_name(text: str) -> bool:
    """Return True if a tensor may have this name: up to 1,000 characters, all of them printable."""
    return text.isprintable() and len(text) <= 1000


class Malformed(Exception):  # noqa: N818 - an adjective reads better where it is raised
    """A part of a file that cannot be what it says; the message says why, and who catches it adds file and place."""


def checked_shape(shape: object) -> Shape:
    """Return a shape, a tuple of up to 32 sizes that a machine can address; raise `Malformed` for anything else."""
    if not isinstance(shape, tuple) or len(shape) > 32:
        raise Malformed("has a shape that is no tuple of up to 32 sizes")
    if not all(type(size) is int and 0 <= size < 2**48 for size in shape):
        raise Malformed("has a shape with other than sizes of 0 or more")
    if prod(filter(None, shape)) >= 2**56:
        raise Malformed(f"has the impossible shape {shape}")
    return shape


class Described(ABC):
    """A tensor as a file describes it, before its name is known and its description checked."""

    __slots__ = ()

    @abstractmethod
    def tensor(self, name: str) -> LazyTensor:
        """Check the description and return the tensor; the name is for errors.

        Raises:
            CheckpointError: What the file says about it cannot be true.
        """


TensorCallback: TypeAlias = Callable[[str, int], None]
"""Called with the name and size in bytes of each tensor that is done."""
