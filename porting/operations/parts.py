"""Operations that cut one tensor into several and join several into one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from porting.checkpoint.tensor import Array, Shape
from porting.operations.base import FrozenOp, ShapeMismatchError, require


@dataclass(eq=False, repr=False, init=False)
class Split(FrozenOp):
    """One tensor cut into parts along an axis: a packed qkv into q, k and v.

    `Split(3)` cuts into three equal parts, `Split((16, 4, 4), axis=1)` into parts of these sizes.

    Args:
        outputs: Number of equal parts, or the size of each part.
        axis: The axis.
        sizes: The size of each part, where `outputs` is a number or left out.

    Raises:
        ValueError: There is no part, a size or the axis is negative, or `outputs` and `sizes` contradict each other.
    """

    outputs: int
    axis: int
    sizes: tuple[int, ...]

    def __init__(self, outputs: int | Sequence[int] = (), axis: int = 0, sizes: Sequence[int] = ()) -> None:
        count, lengths = _parts("split", outputs, axis, sizes)
        for name, value in (("outputs", count), ("axis", axis), ("sizes", lengths)):
            object.__setattr__(self, name, value)

    def shapes(self, *shapes: Shape) -> tuple[Shape, ...]:
        """(n * parts, ...) to `parts` times (n, ...), or (a + b, ...) to (a, ...) and (b, ...)."""
        (shape,) = shapes
        sizes = self._sizes(shape)
        if sizes is None:
            parts = f"sizes {' + '.join(map(str, self.sizes))}" if self.sizes else str(self.outputs)
            raise ShapeMismatchError(f"shape {shape} cannot be split into {parts} along axis {self.axis}")
        return tuple((*shape[: self.axis], size, *shape[self.axis + 1 :]) for size in sizes)

    def apply(self, *arrays: Array) -> tuple[Array, ...]:
        """Return the parts, as views."""
        sizes = self.sizes or (arrays[0].shape[self.axis] // self.outputs,) * self.outputs
        return tuple(np.split(arrays[0], list(accumulate(sizes))[:-1], axis=self.axis))

    def _sizes(self, shape: Shape) -> tuple[int, ...] | None:
        """The length of each part along the axis; None for a shape that does not fit."""
        if self.axis >= len(shape):
            return None
        length = shape[self.axis]
        if self.sizes:
            return self.sizes if sum(self.sizes) == length else None
        return None if length % self.outputs else (length // self.outputs,) * self.outputs


@dataclass(eq=False, repr=False, init=False)
class Concat(FrozenOp):
    """Parts joined along an axis; the arguments are those of `Split`, which takes it back."""

    inputs: int
    axis: int
    sizes: tuple[int, ...]

    def __init__(self, inputs: int | Sequence[int] = (), axis: int = 0, sizes: Sequence[int] = ()) -> None:
        count, lengths = _parts("join", inputs, axis, sizes)
        for name, value in (("inputs", count), ("axis", axis), ("sizes", lengths)):
            object.__setattr__(self, name, value)

    def shapes(self, *shapes: Shape) -> tuple[Shape, ...]:
        """`parts` times (n, ...) to (n * parts, ...), or (a, ...) and (b, ...) to (a + b, ...)."""
        first, axis = shapes[0], self.axis
        listed = ", ".join(map(str, shapes))
        if len({(len(shape), *shape[:axis], *shape[axis + 1 :]) for shape in shapes}) != 1 or axis >= len(first):
            raise ShapeMismatchError(f"the parts to join along axis {axis} differ: {listed}")
        lengths = tuple(shape[axis] for shape in shapes)
        if self.sizes and lengths != self.sizes:
            sizes = " + ".join(map(str, self.sizes))
            raise ShapeMismatchError(f"the parts to join along axis {axis} have other sizes than {sizes}: {listed}")
        if not self.sizes and len(set(lengths)) != 1:
            raise ShapeMismatchError(f"the parts to join along axis {axis} differ: {listed}")
        return ((*first[:axis], sum(lengths), *first[axis + 1 :]),)

    def apply(self, *arrays: Array) -> tuple[Array, ...]:
        """Return the joined array."""
        return (np.concatenate(arrays, axis=self.axis),)


@dataclass(eq=False, repr=False)
class Reorder(FrozenOp):
    """Several tensors in another order: the parts of a fused qkv that the other side keeps as k, q, v.

    Args:
        order: For each tensor that comes out, which one it is of those that go in, numbered from 0.

    Raises:
        ValueError: A tensor is missing, or there twice.
    """

    order: tuple[int, ...]

    def __post_init__(self) -> None:
        fits = sorted(self.order) == list(range(len(self.order))) and bool(self.order)
        require(fits, "reorder needs each tensor once, numbered from 0 on")
        for name in ("inputs", "outputs"):
            object.__setattr__(self, name, len(self.order))

    @property
    def inverse(self) -> Reorder:
        """The order that takes this one back."""
        return Reorder(tuple(self.order.index(place) for place in range(len(self.order))))

    def shapes(self, *shapes: Shape) -> tuple[Shape, ...]:
        """The shapes in the other order."""
        return tuple(shapes[place] for place in self.order)

    def apply(self, *arrays: Array) -> tuple[Array, ...]:
        """Return the arrays in the other order."""
        return tuple(arrays[place] for place in self.order)


@dataclass(eq=False, repr=False)
class Stack(FrozenOp):
    """Tensors of one shape put on each other along a new axis, as the weights of experts.

    Args:
        inputs: Number of tensors.
        axis: The new axis, numbered as in what comes out.

    Raises:
        ValueError: There is no tensor, or the axis is negative.
    """

    inputs: int
    axis: int = 0

    def __post_init__(self) -> None:
        _require_count("stack", self.inputs, self.axis)

    def shapes(self, *shapes: Shape) -> tuple[Shape, ...]:
        """`inputs` times (n, ...) to (inputs, n, ...)."""
        first = shapes[0]
        if len(set(shapes)) != 1 or self.axis > len(first):
            raise ShapeMismatchError(f"cannot stack along axis {self.axis}: {', '.join(map(str, shapes))}")
        return ((*first[: self.axis], self.inputs, *first[self.axis :]),)

    def apply(self, *arrays: Array) -> tuple[Array, ...]:
        """Return the stacked array."""
        return (np.stack(arrays, axis=self.axis),)


@dataclass(eq=False, repr=False)
class Unstack(FrozenOp):
    """One tensor taken apart along an axis, which goes away; the arguments are those of `Stack`."""

    outputs: int
    axis: int = 0

    def __post_init__(self) -> None:
        _require_count("unstack", self.outputs, self.axis)

    def shapes(self, *shapes: Shape) -> tuple[Shape, ...]:
        """(outputs, n, ...) to `outputs` times (n, ...)."""
        (shape,) = shapes
        if self.axis >= len(shape) or shape[self.axis] != self.outputs:
            raise ShapeMismatchError(f"shape {shape} has no axis {self.axis} of length {self.outputs}")
        return ((*shape[: self.axis], *shape[self.axis + 1 :]),) * self.outputs

    def apply(self, *arrays: Array) -> tuple[Array, ...]:
        """Return the tensors, as views."""
        moved = np.moveaxis(arrays[0], self.axis, 0)
        return tuple(moved[place, ...] for place in range(self.outputs))


def _require_count(what: str, count: int, axis: int) -> None:
    require(count >= 1 and axis >= 0, f"{what} needs a number from 1 on and an axis from 0 on, not {count} and {axis}")


def _parts(what: str, count: int | Sequence[int], axis: int, sizes: Sequence[int]) -> tuple[int, tuple[int, ...]]:
    """Number and sizes of the parts; no sizes where they are equal, whatever their length."""
    if not isinstance(count, int):
        require(not count or not sizes, f"{what} has its sizes twice: {tuple(count)} and {tuple(sizes)}")
        sizes, count = tuple(count) or tuple(sizes), len(tuple(count) or tuple(sizes))
    lengths = tuple(sizes)
    require(count >= 1 and axis >= 0, f"{what} needs at least one part and an axis from 0 on, not {count} and {axis}")
    require(not lengths or len(lengths) == count, f"{what} into {count} parts cannot have the sizes {lengths}")
    require(len(lengths) != 1 and all(size >= 0 for size in lengths), f"{what} cannot have the sizes {lengths}")
    return count, lengths


Split.undone_by, Concat.undone_by = Concat, Split
Stack.undone_by, Unstack.undone_by = Unstack, Stack
