"""A convolution's bias that a BatchNorm takes up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from porting.checkpoint.tensor import Array, Shape
from porting.operations.base import Concat, Op


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
