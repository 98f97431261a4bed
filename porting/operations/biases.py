"""Operations on a convolution's bias before a BatchNorm, which one layout has without need."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from porting.checkpoint.tensor import Array, Shape
from porting.operations.base import FrozenOp
from porting.operations.parts import Concat


@dataclass(eq=False, repr=False)
class FoldBias(FrozenOp):
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


@dataclass(eq=False, repr=False)
class ZeroBias(FrozenOp):
    """A running mean into a bias of zero, which one layout's convolution has without need, and the running mean."""

    outputs: int = 2

    def shapes(self, *shapes: Shape) -> tuple[Shape, ...]:
        """(channels,) to (channels,) and (channels,)."""
        return shapes * 2

    def apply(self, *arrays: Array) -> tuple[Array, ...]:
        """Return zeros, and the running mean itself."""
        return np.zeros_like(arrays[0]), arrays[0]


FoldBias.undone_by, ZeroBias.undone_by = ZeroBias, FoldBias
