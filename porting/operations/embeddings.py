"""What surgery does to position embeddings and tokens."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from porting.checkpoint.tensor import Array, Shape
from porting.operations.base import Op, ShapeMismatchError
from porting.operations.resize import bicubic


@dataclass(frozen=True)
class ResizeMap(Op):
    """A position embedding that is a feature map, (1, channels, rows, columns), at another size, bicubically."""

    size: tuple[int, int]
    inverse: None = None

    def shapes(self, *shapes: Shape) -> tuple[Shape, ...]:
        """Rows and columns become `size`."""
        return ((*shapes[0][:-2], *self.size),)

    def apply(self, *arrays: Array) -> tuple[Array, ...]:
        """The resized map, computed in float64 and rounded to the dtype that it had."""
        return (bicubic(arrays[0], *self.size).astype(arrays[0].dtype),)

    def __str__(self) -> str:
        return f"resize to {self.size[0]}x{self.size[1]}, bicubic"


@dataclass(frozen=True)
class ResizeTokens(Op):
    """A position embedding of tokens, (1, tokens, channels), whose patches are resized bicubically.

    Attributes:
        extra: Class and distillation tokens in front, which stay.
        before: Rows and columns of patches.
        after: Rows and columns that they become.
    """

    extra: int
    before: tuple[int, int]
    after: tuple[int, int]
    inverse: None = None

    def shapes(self, *shapes: Shape) -> tuple[Shape, ...]:
        """The number of tokens becomes that of `after`."""
        (one, tokens, channels) = shapes[0]
        if tokens != self.extra + self.before[0] * self.before[1]:
            raise ShapeMismatchError(f"{tokens} tokens are not {self.extra} and {self.before[0]}x{self.before[1]}")
        return ((one, self.extra + self.after[0] * self.after[1], channels),)

    def apply(self, *arrays: Array) -> tuple[Array, ...]:
        """The resized embedding, computed in float64 and rounded to the dtype that it had."""
        embedding = arrays[0]
        channels = embedding.shape[2]
        grid = embedding[:, self.extra :].transpose(0, 2, 1).reshape(1, channels, *self.before)
        patches = bicubic(grid, *self.after).reshape(1, channels, -1).transpose(0, 2, 1)
        return (np.concatenate([embedding[:, : self.extra], patches.astype(embedding.dtype)], axis=1),)

    def __str__(self) -> str:
        return f"resize from {self.before[0]}x{self.before[1]} to {self.after[0]}x{self.after[1]} patches, bicubic"


@dataclass(frozen=True)
class DropToken(Op):
    """A tensor of tokens, (1, tokens, channels), without one of them."""

    index: int
    inverse: None = None

    def shapes(self, *shapes: Shape) -> tuple[Shape, ...]:
        """One token less."""
        (one, tokens, channels) = shapes[0]
        return ((one, tokens - 1, channels),)

    def apply(self, *arrays: Array) -> tuple[Array, ...]:
        """The tensor without the token."""
        return (np.delete(arrays[0], self.index, axis=1),)

    def __str__(self) -> str:
        return f"drop token {self.index}"
