"""Operations for tensors that only one of two layouts has."""

from __future__ import annotations

import math
from dataclasses import dataclass

from porting.checkpoint.tensor import Array, Shape
from porting.operations.base import FrozenOp, require


@dataclass(eq=False, repr=False)
class Drop(FrozenOp):
    """A tensor that the other layout does not keep, such as a counter.

    Args:
        reason: Why it may be dropped, for the report.
        fill: The value it takes on the way back, in every element.
    """

    reason: str
    fill: float = 0
    outputs: int = 0

    def __post_init__(self) -> None:
        require(not math.isnan(self.fill), "a tensor cannot be filled with nan")

    def shapes(self, *shapes: Shape) -> tuple[Shape, ...]:
        """Return no shape, since nothing is left."""
        return ()

    def apply(self, *arrays: Array) -> tuple[Array, ...]:
        """Return no array, since nothing is left."""
        return ()


@dataclass(eq=False, repr=False)
class Fill(FrozenOp):
    """A tensor that the source does not have, of one value throughout; the plan knows its shape and kind."""

    reason: str
    value: float = 0
    inputs: int = 0

    def __post_init__(self) -> None:
        require(not math.isnan(self.value), "a tensor cannot be filled with nan")

    def shapes(self, *shapes: Shape) -> tuple[Shape, ...]:
        """Return no shape: the target has any."""
        return shapes

    def apply(self, *arrays: Array) -> tuple[Array, ...]:
        """Refuse: the plan makes the array, since only it knows the shape."""
        raise NotImplementedError


@dataclass(eq=False, repr=False)
class Keep(FrozenOp):
    """A constant of the source that the target does not take over, since it builds its own or needs none.

    On the way back it is a `Build`.

    Args:
        reason: What the constant is, for the report.
    """

    reason: str
    outputs: int = 0

    def shapes(self, *shapes: Shape) -> tuple[Shape, ...]:
        """Return no shape, since nothing is left."""
        return ()

    def apply(self, *arrays: Array) -> tuple[Array, ...]:
        """Return no array, since nothing is left."""
        return ()


@dataclass(eq=False, repr=False)
class Build(FrozenOp):
    """A constant that the target builds itself, whatever the source has: its value is known beforehand.

    The value comes from who makes the plan, such as a saved table of rules. On the way back it is a `Keep`.

    Args:
        reason: What the constant is, for the report.
    """

    reason: str
    inputs: int = 0

    def shapes(self, *shapes: Shape) -> tuple[Shape, ...]:
        """Return no shape: that of the known value counts."""
        return shapes

    def apply(self, *arrays: Array) -> tuple[Array, ...]:
        """Refuse: the plan has the value."""
        raise NotImplementedError


Drop.undone_by, Fill.undone_by = Fill, Drop
Keep.undone_by, Build.undone_by = Build, Keep
