"""Axes of length one, taken out and put in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from porting.checkpoint.tensor import Array, Shape
from porting.operations.base import Op, ShapeMismatchError


@dataclass(frozen=True)
class Squeeze(Op):
    """A tensor without some axes of length one: a scale that is `(1,)` in Paddle and `()` in torch.

    Args:
        axes: Which, of what goes in.
    """

    axes: tuple[int, ...]

    @property
    def inverse(self) -> Unsqueeze:
        """The same axes put in."""
        return Unsqueeze(self.axes)

    def shapes(self, *shapes: Shape) -> tuple[Shape, ...]:
        """(1, n) to (n,)."""
        (shape,) = shapes
        if any(axis >= len(shape) or shape[axis] != 1 for axis in self.axes):
            raise ShapeMismatchError(f"shape {shape} has no axes of length one at {', '.join(map(str, self.axes))}")
        return (tuple(length for axis, length in enumerate(shape) if axis not in self.axes),)

    def apply(self, *arrays: Array) -> tuple[Array, ...]:
        """A view without the axes."""
        return (np.squeeze(arrays[0], self.axes),)

    def __str__(self) -> str:
        return f"squeeze {' '.join(map(str, self.axes))}"


@dataclass(frozen=True)
class Unsqueeze(Op):
    """A tensor with further axes of length one.

    Args:
        axes: Which, of what comes out.
    """

    axes: tuple[int, ...]

    @property
    def inverse(self) -> Squeeze:
        """The axes taken out."""
        return Squeeze(self.axes)

    def shapes(self, *shapes: Shape) -> tuple[Shape, ...]:
        """(n,) to (1, n)."""
        (shape,) = shapes
        length = len(shape) + len(self.axes)
        if any(axis >= length for axis in self.axes):
            raise ShapeMismatchError(f"shape {shape} cannot have axes of length one put in at {self.axes}")
        rest = iter(shape)
        return (tuple(1 if axis in self.axes else next(rest) for axis in range(length)),)

    def apply(self, *arrays: Array) -> tuple[Array, ...]:
        """A view with the axes."""
        return (np.expand_dims(arrays[0], self.axes),)

    def __str__(self) -> str:
        return f"unsqueeze {' '.join(map(str, self.axes))}"


def between(before: Shape, after: Shape) -> Squeeze | Unsqueeze | None:
    """What takes one shape to another by axes of length one, put in or taken out; None where nothing does."""
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
