"""What can happen to tensors on the way: operations that know their inverse and their shape arithmetic."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from porting.checkpoint.tensor import Array, Shape


class ShapeMismatchError(ValueError):
    """An operation met a shape that it cannot take; the message says which and why."""


class ValueMismatchError(ValueError):
    """An operation met values that it cannot take without giving something up; the message says what."""


class Op(ABC):
    """An operation from some tensors to others; lossless but for `Drop`, which says what it gives up.

    Attributes:
        inputs: How many tensors it takes.
        outputs: How many tensors it gives.
    """

    inputs: int = 1
    outputs: int = 1

    @property
    @abstractmethod
    def inverse(self) -> Op | None:
        """The operation that takes this one back; None where nothing does."""

    @abstractmethod
    def shapes(self, *shapes: Shape) -> tuple[Shape, ...]:
        """The shapes it gives for these, without touching data.

        Raises:
            ShapeMismatchError: The operation does not apply to these shapes.
        """

    @abstractmethod
    def apply(self, *arrays: Array) -> tuple[Array, ...]:
        """The arrays it gives for these, as views where that is possible."""

    def remark(self, *arrays: Array) -> str | None:
        """What a user must be told of these very arrays; None for what is always so. Called where it is overridden."""
        return None


@dataclass(frozen=True)
class Transpose(Op):
    """A Linear weight between (out, in), torch and MindSpore, and (in, out), Paddle."""

    @property
    def inverse(self) -> Transpose:
        """Itself."""
        return self

    def shapes(self, *shapes: Shape) -> tuple[Shape, ...]:
        """(rows, columns) to (columns, rows)."""
        (shape,) = shapes
        if len(shape) != 2:
            raise ShapeMismatchError(f"a Linear weight has 2 axes, this tensor has shape {shape}")
        return (shape[::-1],)

    def apply(self, *arrays: Array) -> tuple[Array, ...]:
        """The transposed view."""
        return (arrays[0].T,)

    def __str__(self) -> str:
        return "transpose"


@dataclass(frozen=True)
class Split(Op):
    """One tensor cut into equal parts along an axis: a packed qkv into q, k and v."""

    outputs: int
    axis: int = 0

    @property
    def inverse(self) -> Concat:
        """The concatenation of the parts."""
        return Concat(self.outputs, self.axis)

    def shapes(self, *shapes: Shape) -> tuple[Shape, ...]:
        """(n * parts, ...) to `parts` times (n, ...)."""
        (shape,) = shapes
        if self.axis >= len(shape) or shape[self.axis] % self.outputs:
            raise ShapeMismatchError(f"shape {shape} cannot be split into {self.outputs} along axis {self.axis}")
        part = (*shape[: self.axis], shape[self.axis] // self.outputs, *shape[self.axis + 1 :])
        return (part,) * self.outputs

    def apply(self, *arrays: Array) -> tuple[Array, ...]:
        """The parts, as views."""
        return tuple(np.split(arrays[0], self.outputs, axis=self.axis))

    def __str__(self) -> str:
        return f"split in {self.outputs}"


@dataclass(frozen=True)
class Concat(Op):
    """Equal parts joined along an axis."""

    inputs: int
    axis: int = 0

    @property
    def inverse(self) -> Split:
        """The split into the parts."""
        return Split(self.inputs, self.axis)

    def shapes(self, *shapes: Shape) -> tuple[Shape, ...]:
        """`parts` times (n, ...) to (n * parts, ...)."""
        first = shapes[0]
        if len(set(shapes)) != 1 or self.axis >= len(first):
            raise ShapeMismatchError(f"the parts to join along axis {self.axis} differ: {', '.join(map(str, shapes))}")
        return ((*first[: self.axis], first[self.axis] * self.inputs, *first[self.axis + 1 :]),)

    def apply(self, *arrays: Array) -> tuple[Array, ...]:
        """The joined array."""
        return (np.concatenate(arrays, axis=self.axis),)

    def __str__(self) -> str:
        return f"join {self.inputs}"


@dataclass(frozen=True)
class Drop(Op):
    """A tensor that the other layout does not keep, such as a counter.

    Args:
        reason: Why it may be dropped, for the report.
        fill: The value it takes on the way back, in every element.
    """

    reason: str
    fill: int = 0
    outputs: int = 0

    @property
    def inverse(self) -> Fill:
        """The filling with `fill`."""
        return Fill(self.reason, self.fill)

    def shapes(self, *shapes: Shape) -> tuple[Shape, ...]:
        """Nothing is left."""
        return ()

    def apply(self, *arrays: Array) -> tuple[Array, ...]:
        """Nothing is left."""
        return ()

    def __str__(self) -> str:
        return f"drop: {self.reason}"


@dataclass(frozen=True)
class Fill(Op):
    """A tensor that the source does not have, of one value throughout; the plan knows its shape and kind."""

    reason: str
    value: int = 0
    inputs: int = 0

    @property
    def inverse(self) -> Drop:
        """The drop."""
        return Drop(self.reason, self.value)

    def shapes(self, *shapes: Shape) -> tuple[Shape, ...]:
        """Whatever the target has."""
        return shapes

    def apply(self, *arrays: Array) -> tuple[Array, ...]:
        """The plan makes the array, since only it knows the shape."""
        raise NotImplementedError

    def __str__(self) -> str:
        return f"fill with {self.value}: {self.reason}"
