"""What surgery does to position embeddings and tokens.

They are resized bicubically in NumPy, as torch's `interpolate(mode="bicubic")` computes it: the kernel is Keys' with
a = -0.75, pixels are squares (`align_corners=False`), samples beyond the edge repeat it, and nothing is blurred when
shrinking (`antialias=False`). DeiT's `main.py` resizes embeddings so for fine-tuning.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from porting.checkpoint.tensor import Array, Shape
from porting.operations.base import FrozenOp, ShapeMismatchError

if TYPE_CHECKING:
    import numpy.typing as npt

_A = -0.75


@dataclass(eq=False, repr=False)
class ResizeMap(FrozenOp):
    """A position embedding that is a feature map, (1, channels, rows, columns), at another size, bicubically."""

    size: tuple[int, int]

    def shapes(self, *shapes: Shape) -> tuple[Shape, ...]:
        """(1, channels, rows, columns) to (1, channels, *size)."""
        return ((*shapes[0][:-2], *self.size),)

    def apply(self, *arrays: Array) -> tuple[Array, ...]:
        """Return the resized map, computed in float64 and rounded to the dtype that it had."""
        return (bicubic(arrays[0], *self.size).astype(arrays[0].dtype),)

    def __str__(self) -> str:
        return f"resize to {self.size[0]}x{self.size[1]}, bicubic"


@dataclass(eq=False, repr=False)
class ResizeTokens(FrozenOp):
    """A position embedding of tokens, (1, tokens, channels), whose patches are resized bicubically.

    Attributes:
        extra: Class and distillation tokens in front, which stay.
        before: Rows and columns of patches.
        after: Rows and columns that they become.
    """

    extra: int
    before: tuple[int, int]
    after: tuple[int, int]

    def shapes(self, *shapes: Shape) -> tuple[Shape, ...]:
        """(1, tokens, channels) to (1, tokens of `after`, channels)."""
        (one, tokens, channels) = shapes[0]
        if tokens != self.extra + self.before[0] * self.before[1]:
            raise ShapeMismatchError(f"{tokens} tokens are not {self.extra} and {self.before[0]}x{self.before[1]}")
        return ((one, self.extra + self.after[0] * self.after[1], channels),)

    def apply(self, *arrays: Array) -> tuple[Array, ...]:
        """Return the resized embedding, computed in float64 and rounded to the dtype that it had."""
        embedding = arrays[0]
        channels = embedding.shape[2]
        grid = embedding[:, self.extra :].transpose(0, 2, 1).reshape(1, channels, *self.before)
        patches = bicubic(grid, *self.after).reshape(1, channels, -1).transpose(0, 2, 1)
        return (np.concatenate([embedding[:, : self.extra], patches.astype(embedding.dtype)], axis=1),)

    def __str__(self) -> str:
        return f"resize from {self.before[0]}x{self.before[1]} to {self.after[0]}x{self.after[1]} patches, bicubic"


@dataclass(eq=False, repr=False)
class DropToken(FrozenOp):
    """A tensor of tokens, (1, tokens, channels), without one of them."""

    index: int

    def shapes(self, *shapes: Shape) -> tuple[Shape, ...]:
        """(1, tokens, channels) to (1, tokens - 1, channels)."""
        (one, tokens, channels) = shapes[0]
        return ((one, tokens - 1, channels),)

    def apply(self, *arrays: Array) -> tuple[Array, ...]:
        """Return the tensor without the token."""
        return (np.delete(arrays[0], self.index, axis=1),)

    def __str__(self) -> str:
        return f"drop token {self.index}"


def bicubic(maps: npt.NDArray[Any], height: int, width: int) -> npt.NDArray[np.float64]:
    """Resize feature maps.

    Args:
        maps: (..., rows, columns), any floating dtype; computed in float64.
        height: Rows of the result.
        width: Columns of the result.

    Returns:
        (..., height, width), float64.
    """
    rows = _weights(maps.shape[-2], height)
    columns = _weights(maps.shape[-1], width)
    return np.asarray(rows @ maps.astype(np.float64) @ columns.T)


def _weights(before: int, after: int) -> npt.NDArray[np.float64]:
    """How much of each old sample goes into each new one: (after, before)."""
    positions = (np.arange(after) + 0.5) * (before / after) - 0.5
    nearest = np.floor(positions).astype(np.int64)
    matrix = np.zeros((after, before))
    for tap in range(-1, 3):
        samples = np.clip(nearest + tap, 0, before - 1)
        np.add.at(matrix, (np.arange(after), samples), _kernel(positions - (nearest + tap)))
    return matrix


def _kernel(distance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Keys' cubic convolution kernel at these distances, 2 at the most."""
    x = np.abs(distance)
    near = ((_A + 2) * x - (_A + 3)) * x * x + 1
    far = _A * (((x - 5) * x + 8) * x - 4)
    return np.where(x <= 1, near, far)
