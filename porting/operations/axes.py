"""Operations on the axes of one tensor: nothing but the order and the grouping of its values changes."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from porting.checkpoint.tensor import Array, Shape
from porting.operations.base import FrozenOp, ShapeMismatchError, require


@dataclass(eq=False, repr=False)
class Transpose(FrozenOp):
    """A Linear weight between (out, in), torch and MindSpore, and (in, out), Paddle. It is its own inverse."""

    def shapes(self, *shapes: Shape) -> tuple[Shape, ...]:
        """(rows, columns) to (columns, rows)."""
        (shape,) = shapes
        if len(shape) != 2:
            raise ShapeMismatchError(f"a Linear weight has 2 axes, this tensor has shape {shape}")
        return (shape[::-1],)

    def apply(self, *arrays: Array) -> tuple[Array, ...]:
        """Return the transposed view."""
        return (arrays[0].T,)


@dataclass(eq=False, repr=False)
class Permute(FrozenOp):
    """A tensor with its axes in another order, as of a convolution between (out, in, rows, columns) and channels last.

    Args:
        axes: For each axis of what comes out, the axis of what goes in: `(0, 2, 3, 1)`.

    Raises:
        ValueError: The axes are not 0 to n - 1, each once.
    """

    axes: tuple[int, ...]

    def __post_init__(self) -> None:
        fits = bool(self.axes) and sorted(self.axes) == list(range(len(self.axes)))
        require(fits, f"permute needs the axes from 0 on, each once, not {self.axes}")

    @property
    def inverse(self) -> Permute:
        """The permutation that takes this one back."""
        return Permute(tuple(self.axes.index(axis) for axis in range(len(self.axes))))

    def shapes(self, *shapes: Shape) -> tuple[Shape, ...]:
        """For the axes 1, 2, 0: (a, b, c) to (b, c, a)."""
        (shape,) = shapes
        if len(shape) != len(self.axes):
            raise ShapeMismatchError(f"shape {shape} has {len(shape)} axes, not {len(self.axes)}")
        return (tuple(shape[axis] for axis in self.axes),)

    def apply(self, *arrays: Array) -> tuple[Array, ...]:
        """Return the permuted view."""
        return (arrays[0].transpose(self.axes),)


@dataclass(eq=False, repr=False)
class Reshape(FrozenOp):
    """A tensor with its values in the same order and another shape; it names both, so that it can be taken back.

    Args:
        before: Shape of what goes in.
        after: Shape of what comes out.

    Raises:
        ValueError: The shapes have different numbers of elements.
    """

    before: Shape
    after: Shape

    def __post_init__(self) -> None:
        fits = all(length >= 0 for length in (*self.before, *self.after)) and prod(self.before) == prod(self.after)
        require(fits, f"reshape cannot make {self.after} of {self.before}: other numbers of elements")

    @property
    def inverse(self) -> Reshape:
        """The reshape that leads back."""
        return Reshape(self.after, self.before)

    def shapes(self, *shapes: Shape) -> tuple[Shape, ...]:
        """The shape `before` becomes the shape `after`."""
        if shapes[0] != self.before:
            raise ShapeMismatchError(f"shape {shapes[0]} is not {self.before}, which is reshaped to {self.after}")
        return (self.after,)

    def apply(self, *arrays: Array) -> tuple[Array, ...]:
        """Return the reshaped array, a view where the strides allow that."""
        return (arrays[0].reshape(self.after),)


@dataclass(eq=False, repr=False)
class Squeeze(FrozenOp):
    """A tensor without some axes of length one: a scale that is `(1,)` in Paddle and `()` in torch.

    Args:
        axes: The axes, numbered as in what goes in.

    Raises:
        ValueError: An axis is negative or named twice, or there is none.
    """

    axes: tuple[int, ...]

    def __post_init__(self) -> None:
        _require_axes("squeeze", self.axes)

    def shapes(self, *shapes: Shape) -> tuple[Shape, ...]:
        """(1, n) to (n,)."""
        (shape,) = shapes
        if any(axis >= len(shape) or shape[axis] != 1 for axis in self.axes):
            raise ShapeMismatchError(f"shape {shape} has no axes of length one at {', '.join(map(str, self.axes))}")
        return (tuple(length for axis, length in enumerate(shape) if axis not in self.axes),)

    def apply(self, *arrays: Array) -> tuple[Array, ...]:
        """Return a view without the axes."""
        return (np.squeeze(arrays[0], self.axes),)


@dataclass(eq=False, repr=False)
class Unsqueeze(FrozenOp):
    """A tensor with further axes of length one.

    Args:
        axes: The axes, numbered as in what comes out.

    Raises:
        ValueError: An axis is negative or named twice, or there is none.
    """

    axes: tuple[int, ...]

    def __post_init__(self) -> None:
        _require_axes("unsqueeze", self.axes)

    def shapes(self, *shapes: Shape) -> tuple[Shape, ...]:
        """(n,) to (1, n)."""
        (shape,) = shapes
        length = len(shape) + len(self.axes)
        if any(axis >= length for axis in self.axes):
            raise ShapeMismatchError(f"shape {shape} cannot have axes of length one put in at {self.axes}")
        rest = iter(shape)
        return (tuple(1 if axis in self.axes else next(rest) for axis in range(length)),)

    def apply(self, *arrays: Array) -> tuple[Array, ...]:
        """Return a view with the axes."""
        return (np.expand_dims(arrays[0], self.axes),)


@dataclass(eq=False, repr=False)
class Interleave(FrozenOp):
    """Parts that lie one after the other along an axis, and the same group by group.

    The axis is seen as (outer, parts, groups, inner) and becomes (outer, groups, parts, inner); the length of `inner`
    follows from that of the axis. Parts and groups swapped take it back.

    - A fused qkv, stored part by part (q of all heads, then k, then v), becomes head by head: `Interleave(3, heads)`.
    - Rotary halves of each head, (first half, second half), become pairs: `Interleave(2, dim // 2, outer=heads)`.

    Args:
        parts: Number of parts that lie one after the other before.
        groups: Number of groups in each part.
        outer: How often that repeats along the axis.
        axis: The axis.

    Raises:
        ValueError: A number is less than one, or the axis is negative.
    """

    parts: int
    groups: int
    outer: int = 1
    axis: int = 0

    def __post_init__(self) -> None:
        fits = min(self.parts, self.groups, self.outer) >= 1 and self.axis >= 0
        require(fits, "interleave needs numbers of parts, groups and repeats from 1 on, and an axis from 0 on")

    @property
    def inverse(self) -> Interleave:
        """The same with parts and groups swapped."""
        return Interleave(self.groups, self.parts, self.outer, self.axis)

    def shapes(self, *shapes: Shape) -> tuple[Shape, ...]:
        """The shape stays as it is."""
        (shape,) = shapes
        count = self.outer * self.parts * self.groups
        if self.axis >= len(shape) or shape[self.axis] % count:
            numbers = f"{self.outer} x " * (self.outer > 1) + f"{self.parts} x {self.groups}"
            raise ShapeMismatchError(f"axis {self.axis} of shape {shape} cannot be divided into {numbers}")
        return (shape,)

    def apply(self, *arrays: Array) -> tuple[Array, ...]:
        """Return the array with the axis in the other order."""
        (array,) = arrays
        return (self.view(array).reshape(array.shape),)

    def view(self, array: Array) -> Array:
        """The result as a view of the array, whose axis has become four: outer, groups, parts, inner."""
        count = self.outer * self.parts * self.groups
        before, after = array.shape[: self.axis], array.shape[self.axis + 1 :]
        inner = array.shape[self.axis] // count
        parts = array.reshape(*before, self.outer, self.parts, self.groups, inner, *after)
        swapped: Array = np.swapaxes(parts, len(before) + 1, len(before) + 2)
        return swapped


def between(before: Shape, after: Shape) -> Squeeze | Unsqueeze | None:
    """Return what takes one shape to another by axes of length one, put in or taken out; None where nothing does."""
    if len(before) > len(after):
        back = between(after, before)
        return Squeeze(back.axes) if back else None
    left, axes = list(before), []
    for axis, length in enumerate(after):
        if left and length == left[0]:
            left.pop(0)
        else:
            axes.append(axis)
    fits = not left and axes and all(after[axis] == 1 for axis in axes)
    return Unsqueeze(tuple(axes)) if fits else None


def _require_axes(what: str, axes: tuple[int, ...]) -> None:
    fits = bool(axes) and min(axes) >= 0 and len(set(axes)) == len(axes)
    require(fits, f"{what} needs axes from 0 on, each once, not {axes}")


Transpose.undone_by = Transpose
Squeeze.undone_by, Unsqueeze.undone_by = Unsqueeze, Squeeze
