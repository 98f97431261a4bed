"""What a rule can do to tensors: operations that know their inverse and the shapes that they give."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from porting.checkpoint.tensor import Array, Shape


class ShapeMismatchError(ValueError):
    """An operation met a shape that it cannot take; the message says which and why."""


class ValueMismatchError(ValueError):
    """An operation met values that it cannot take without giving something up; the message says what."""


class Op(ABC):
    """An operation from some tensors to others; lossless but for `Drop`, which says what it gives up.

    Attributes:
        inputs: Number of tensors that it takes.
        outputs: Number of tensors that it gives.
        undone_by: The class of its inverse, whose fields are the same in the same order; None where nothing undoes it.
    """

    inputs: int = 1
    outputs: int = 1
    undone_by: ClassVar[type[Op] | None] = None

    @property
    def inverse(self) -> Op | None:
        """The operation that takes this one back, an operation within it inverted too; None where nothing does."""
        if self.undone_by is None:
            return None
        return self.undone_by(*(value.inverse if isinstance(value, Op) else value for value in vars(self).values()))

    @abstractmethod
    def shapes(self, *shapes: Shape) -> tuple[Shape, ...]:
        """Return the shapes that it gives for these, without touching data.

        Raises:
            ShapeMismatchError: The operation does not apply to these shapes.
        """

    @abstractmethod
    def apply(self, *arrays: Array) -> tuple[Array, ...]:
        """Return the arrays that it gives for these, as views where that is possible.

        Raises:
            ValueMismatchError: The operation would lose something of these values.
        """

    def remark(self, *arrays: Array) -> str | None:
        """What a user must be told of these very arrays; None for what is always so. Called where it is overridden."""
        return None


@dataclass(frozen=True)
class Transpose(Op):
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

    def __str__(self) -> str:
        return "transpose"


@dataclass(frozen=True)
class Split(Op):
    """One tensor cut into equal parts along an axis: a packed qkv into q, k and v."""

    outputs: int
    axis: int = 0

    def shapes(self, *shapes: Shape) -> tuple[Shape, ...]:
        """(n * parts, ...) to `parts` times (n, ...)."""
        (shape,) = shapes
        if self.axis >= len(shape) or shape[self.axis] % self.outputs:
            raise ShapeMismatchError(f"shape {shape} cannot be split into {self.outputs} along axis {self.axis}")
        part = (*shape[: self.axis], shape[self.axis] // self.outputs, *shape[self.axis + 1 :])
        return (part,) * self.outputs

    def apply(self, *arrays: Array) -> tuple[Array, ...]:
        """Return the parts, as views."""
        return tuple(np.split(arrays[0], self.outputs, axis=self.axis))

    def __str__(self) -> str:
        return f"split in {self.outputs}"


@dataclass(frozen=True)
class Concat(Op):
    """Equal parts joined along an axis."""

    inputs: int
    axis: int = 0

    def shapes(self, *shapes: Shape) -> tuple[Shape, ...]:
        """`parts` times (n, ...) to (n * parts, ...)."""
        first = shapes[0]
        if len(set(shapes)) != 1 or self.axis >= len(first):
            raise ShapeMismatchError(f"the parts to join along axis {self.axis} differ: {', '.join(map(str, shapes))}")
        return ((*first[: self.axis], first[self.axis] * self.inputs, *first[self.axis + 1 :]),)

    def apply(self, *arrays: Array) -> tuple[Array, ...]:
        """Return the joined array."""
        return (np.concatenate(arrays, axis=self.axis),)

    def __str__(self) -> str:
        return f"join {self.inputs}"


@dataclass(frozen=True)
class Squeeze(Op):
    """A tensor without some axes of length one: a scale that is `(1,)` in Paddle and `()` in torch.

    Args:
        axes: The axes, numbered as in what goes in.
    """

    axes: tuple[int, ...]

    def shapes(self, *shapes: Shape) -> tuple[Shape, ...]:
        """(1, n) to (n,)."""
        (shape,) = shapes
        if any(axis >= len(shape) or shape[axis] != 1 for axis in self.axes):
            raise ShapeMismatchError(f"shape {shape} has no axes of length one at {', '.join(map(str, self.axes))}")
        return (tuple(length for axis, length in enumerate(shape) if axis not in self.axes),)

    def apply(self, *arrays: Array) -> tuple[Array, ...]:
        """Return a view without the axes."""
        return (np.squeeze(arrays[0], self.axes),)

    def __str__(self) -> str:
        return f"squeeze {' '.join(map(str, self.axes))}"


@dataclass(frozen=True)
class Unsqueeze(Op):
    """A tensor with further axes of length one.

    Args:
        axes: The axes, numbered as in what comes out.
    """

    axes: tuple[int, ...]

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

    def __str__(self) -> str:
        return f"unsqueeze {' '.join(map(str, self.axes))}"


@dataclass(frozen=True)
class Tie(Op):
    """One tensor under several names, as where a head shares the weight of an embedding.

    Args:
        outputs: Number of names.
        op: What happens to the tensor before; None passes it as it is.
    """

    outputs: int
    op: Op | None = None

    def shapes(self, *shapes: Shape) -> tuple[Shape, ...]:
        """Return the shape, as often as there are names."""
        return (self.op.shapes(*shapes) if self.op else shapes) * self.outputs

    def apply(self, *arrays: Array) -> tuple[Array, ...]:
        """Return the array, as often as there are names."""
        return (self.op.apply(*arrays) if self.op else arrays) * self.outputs

    def __str__(self) -> str:
        return f"{self.op} and tie {self.outputs}" if self.op else f"tie {self.outputs}"


@dataclass(frozen=True)
class Untie(Op):
    """Several names of one tensor.

    Args:
        inputs: Number of names.
        op: What happens to the tensor afterwards; None passes it as it is.
    """

    inputs: int
    op: Op | None = None

    def shapes(self, *shapes: Shape) -> tuple[Shape, ...]:
        """Return the one shape that all have."""
        if len(set(shapes)) != 1:
            raise ShapeMismatchError(f"tied tensors have one shape, these have {', '.join(map(str, shapes))}")
        return self.op.shapes(shapes[0]) if self.op else shapes[:1]

    def apply(self, *arrays: Array) -> tuple[Array, ...]:
        """Return the first.

        Raises:
            ValueMismatchError: Another one differs from it.
        """
        first = np.ascontiguousarray(arrays[0]).reshape(-1).view(np.uint8)
        for other in arrays[1:]:
            if not np.array_equal(first, np.ascontiguousarray(other).reshape(-1).view(np.uint8)):
                raise ValueMismatchError("is one tensor under several names, and these hold different values")
        return self.op.apply(arrays[0]) if self.op else arrays[:1]

    def __str__(self) -> str:
        return f"{self.op} and untie {self.inputs}" if self.op else f"untie {self.inputs}"


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

    def shapes(self, *shapes: Shape) -> tuple[Shape, ...]:
        """Return no shape."""
        return ()

    def apply(self, *arrays: Array) -> tuple[Array, ...]:
        """Return no array."""
        return ()

    def __str__(self) -> str:
        return f"drop: {self.reason}"


@dataclass(frozen=True)
class Fill(Op):
    """A tensor that the source does not have, of one value throughout; the plan knows its shape and kind."""

    reason: str
    value: int = 0
    inputs: int = 0

    def shapes(self, *shapes: Shape) -> tuple[Shape, ...]:
        """Return no shape: the target has any."""
        return shapes

    def apply(self, *arrays: Array) -> tuple[Array, ...]:
        """Refuse: the plan makes the array, since only it knows the shape."""
        raise NotImplementedError

    def __str__(self) -> str:
        return f"fill with {self.value}: {self.reason}"


@dataclass(frozen=True)
class FoldBias(Op):
    """A convolution's bias before a BatchNorm, and the norm's running mean, into the running mean of one without bias.

    `(x + bias - mean)` is `(x - (mean - bias))`: the function stays, in evaluation. A bias of zero changes no bit.
    """

    inputs: int = 2

    def shapes(self, *shapes: Shape) -> tuple[Shape, ...]:
        """(channels,) and (channels,) to (channels,)."""
        return Concat(2).shapes(*shapes) and shapes[1:]

    def apply(self, *arrays: Array) -> tuple[Array, ...]:
        """Return the running mean less the bias; the very running mean where the bias is zero."""
        bias, mean = arrays
        return ((mean - bias) if bias.any() else mean,)

    def remark(self, *arrays: Array) -> str | None:
        """What the report says of a bias that was folded."""
        largest = float(np.abs(arrays[0].astype(np.float64)).max(initial=0.0))
        return f"a bias of up to {largest:.3g} is folded into the running mean" if largest else None

    def __str__(self) -> str:
        return "fold the bias into the running mean"


@dataclass(frozen=True)
class ZeroBias(Op):
    """A running mean into a bias of zero, which one layout's convolution has without need, and the running mean."""

    outputs: int = 2

    def shapes(self, *shapes: Shape) -> tuple[Shape, ...]:
        """(channels,) to (channels,) and (channels,)."""
        return shapes * 2

    def apply(self, *arrays: Array) -> tuple[Array, ...]:
        """Return zeros, and the running mean itself."""
        return np.zeros_like(arrays[0]), arrays[0]

    def __str__(self) -> str:
        return "add a bias of zero"


Transpose.undone_by = Transpose
for one, other in ((Split, Concat), (Squeeze, Unsqueeze), (Tie, Untie), (Drop, Fill), (FoldBias, ZeroBias)):
    one.undone_by, other.undone_by = other, one


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
