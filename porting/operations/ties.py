"""One tensor under several names."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from porting.checkpoint.tensor import Array, Shape
from porting.operations.base import Op, ShapeMismatchError, ValueMismatchError


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
