"""Operations on tensors that have several names."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from porting.checkpoint.tensor import Array, Shape
from porting.operations.base import FrozenOp, Op, ShapeMismatchError, ValueMismatchError


@dataclass(eq=False, repr=False)
class Tie(FrozenOp):
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


@dataclass(eq=False, repr=False)
class Untie(FrozenOp):
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


Tie.undone_by, Untie.undone_by = Untie, Tie
