"""A tensor times a power of two, which loses no bit."""

from __future__ import annotations

from dataclasses import dataclass
from math import frexp, isfinite

import numpy as np

from porting.checkpoint.tensor import Array, Shape
from porting.operations.base import FrozenOp, ValueMismatchError, require


@dataclass(eq=False, repr=False)
class Scale(FrozenOp):
    """A floating tensor times a power of two.

    Paddle's `Dropout(p=0.5, mode="downscale_in_infer")` halves what passes in evaluation, where torch's leaves it: the
    weight of the layer after it is twice torch's, and both models compute the same, in training too.

    Args:
        factor: 2, 0.5, 4 and so on.

    Raises:
        ValueError: The factor is no power of two.
    """

    factor: float

    def __post_init__(self) -> None:
        fits = isfinite(self.factor) and self.factor > 0 and frexp(self.factor)[0] == 0.5
        require(fits, f"multiply needs a power of two, which loses no bit, not {self.factor}")

    @property
    def inverse(self) -> Scale:
        """The same with 1 / factor."""
        back = 1 / self.factor
        return Scale(int(back) if back >= 1 else back)

    def shapes(self, *shapes: Shape) -> tuple[Shape, ...]:
        """Any shape to itself."""
        return shapes

    def apply(self, *arrays: Array) -> tuple[Array, ...]:
        """Return the product, in the dtype of the tensor.

        Raises:
            ValueMismatchError: The tensor holds integers, or a product is too large or too small for its dtype.
        """
        (array,) = arrays
        if array.dtype.kind in "biu":
            raise ValueMismatchError(f"a tensor of {array.dtype} is not multiplied; only floating ones are")
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            product = (array * array.dtype.type(self.factor)).astype(array.dtype, copy=False)
            back = product * array.dtype.type(1 / self.factor)
        lost = (back != array) & (array == array)
        if lost.any():
            worst = array[lost].flat[0]
            raise ValueMismatchError(f"{worst!s} times {self.factor:g} does not fit into {array.dtype}")
        return (product,)
