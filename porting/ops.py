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
class Tie(Op):
    """One tensor under several names, as where a head shares the weight of an embedding.

    Args:
        outputs: How many names.
        op: What happens to the tensor before; None passes it as it is.
    """

    outputs: int
    op: Op | None = None

    @property
    def inverse(self) -> Untie:
        """The first of them."""
        return Untie(self.outputs, self.op.inverse if self.op else None)

    def shapes(self, *shapes: Shape) -> tuple[Shape, ...]:
        """The shape, as often as there are names."""
        return (self.op.shapes(*shapes) if self.op else shapes) * self.outputs

    def apply(self, *arrays: Array) -> tuple[Array, ...]:
        """The array, as often as there are names."""
        return (self.op.apply(*arrays) if self.op else arrays) * self.outputs

    def __str__(self) -> str:
        return f"{self.op} and tie {self.outputs}" if self.op else f"tie {self.outputs}"


@dataclass(frozen=True)
class Untie(Op):
    """Several names of one tensor.

    Args:
        inputs: How many names.
        op: What happens to the tensor afterwards; None passes it as it is.
    """

    inputs: int
    op: Op | None = None

    @property
    def inverse(self) -> Tie:
        """The tensor under all names."""
        return Tie(self.inputs, self.op.inverse if self.op else None)

    def shapes(self, *shapes: Shape) -> tuple[Shape, ...]:
        """The one shape that all have."""
        if len(set(shapes)) != 1:
            raise ShapeMismatchError(f"tied tensors have one shape, these have {', '.join(map(str, shapes))}")
        return self.op.shapes(shapes[0]) if self.op else shapes[:1]

    def apply(self, *arrays: Array) -> tuple[Array, ...]:
        """The first.

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


@dataclass(frozen=True)
class FoldBias(Op):
    """A convolution's bias before a BatchNorm, and the norm's running mean, into the running mean of one without bias.

    `(x + bias - mean)` is `(x - (mean - bias))`: the function stays, in evaluation. A bias of zero changes no bit.
    """

    inputs: int = 2

    @property
    def inverse(self) -> ZeroBias:
        """The bias of zero."""
        return ZeroBias()

    def shapes(self, *shapes: Shape) -> tuple[Shape, ...]:
        """(channels,) and (channels,) to (channels,)."""
        return Concat(2).shapes(*shapes) and shapes[1:]

    def apply(self, *arrays: Array) -> tuple[Array, ...]:
        """The running mean less the bias; the very running mean where the bias is zero."""
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

    @property
    def inverse(self) -> FoldBias:
        """The folding."""
        return FoldBias()

    def shapes(self, *shapes: Shape) -> tuple[Shape, ...]:
        """(channels,) to (channels,) and (channels,)."""
        return shapes * 2

    def apply(self, *arrays: Array) -> tuple[Array, ...]:
        """Zeros, and the running mean itself."""
        return np.zeros_like(arrays[0]), arrays[0]

    def __str__(self) -> str:
        return "add a bias of zero"
