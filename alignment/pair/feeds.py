"""The inputs of a model: ids, masks and numbers, how each is drawn so that it tells, and what a file may hold."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import ClassVar, cast

import numpy as np

from alignment.arrays import Array
from alignment.errors import AlignmentError

_INTEGERS = ("int64", "int32")
_MASKS = ("int64", "int32", "bool", "float32")
_SHARE = 8
"""One id in so many is a telling one."""


class Feed:
    """Base class of the inputs of a model; `Tokens`, `Mask` and `Floats` are those that there are.

    Attributes:
        shape: Shape of one input, without the batch.
        continuous: Whether the input is one of numbers that rounding moves and that have a gradient.
    """

    shape: tuple[int, ...]
    continuous: ClassVar[bool] = False

    def draw(self, generator: np.random.Generator, batch_size: int) -> Array:
        """A batch of it, `(batch, *shape)`."""
        raise NotImplementedError

    def problem(self, array: Array) -> str:
        """What is wrong with the dtype or the values of an array of the right shape; empty for nothing."""
        raise NotImplementedError

    def convert(self, array: Array) -> Array:
        """An array without a problem, in the dtype that the models are given."""
        raise NotImplementedError


@dataclass(frozen=True)
class Tokens(Feed):
    """Integers from 0 to `count - 1`: ids of a vocabulary, positions, segments, time steps.

    What is drawn holds each special id, 0 and the largest id, and ids that are repeated, wherever there is room.

    Attributes:
        count: Number of ids.
        shape: Shape of one input, without the batch: `(128,)`; `()` for one id a row.
        special: Ids that models treat apart, such as those of padding, begin and end.
        dtype: `int64` or `int32`.

    Raises:
        AlignmentError: The attributes do not fit each other.
    """

    count: int
    shape: tuple[int, ...]
    special: tuple[int, ...] = ()
    dtype: str = "int64"

    def __post_init__(self) -> None:
        _check(self, _INTEGERS)
        object.__setattr__(self, "special", tuple(self.special))
        if self.count < 1:
            raise AlignmentError(f"Tokens of {self.count} ids: expected a count of at least 1")
        beyond = [number for number in self.special if not 0 <= number < self.count]
        if beyond:
            raise AlignmentError(f"Tokens: the special id {beyond[0]} is not from 0 to {self.count - 1}")

    def draw(self, generator: np.random.Generator, batch_size: int) -> Array:
        """Ids of shape `(batch, *shape)`."""
        ids = generator.integers(0, self.count, (batch_size, *self.shape)).astype(self.dtype)
        if self.shape and self.shape[-1] > 1:
            rows = ids.reshape(-1, self.shape[-1])
            places = generator.integers(1, self.shape[-1], len(rows))
            rows[np.arange(len(rows)), places] = rows[np.arange(len(rows)), places - 1]
        telling = list(dict.fromkeys((*self.special, self.count - 1, 0)))
        room = min(max(len(telling), ids.size // _SHARE), ids.size // 2)
        places = generator.permutation(ids.size)[:room]
        ids.reshape(-1)[places] = np.resize(telling, room)
        return ids

    def problem(self, array: Array) -> str:
        """What is wrong with given ids."""
        if not np.issubdtype(array.dtype, np.integer):
            return f"is {array.dtype}, expected integers from 0 to {self.count - 1}"
        if array.min() < 0 or array.max() >= self.count:
            return f"goes from {array.min()} to {array.max()}, expected integers from 0 to {self.count - 1}"
        return ""

    def convert(self, array: Array) -> Array:
        """Ids in the dtype of the input."""
        return np.ascontiguousarray(array, self.dtype)


@dataclass(frozen=True)
class Mask(Feed):
    """Ones, and zeros where something is left out: padding behind a sentence that is shorter than others.

    What is drawn has at least one padded row, and no row of zeros only; of several rows one is whole. Where the last
    two axes have one length, from query to key, every second row is causal too, unless padding comes first.

    Attributes:
        shape: Shape of one input, without the batch: `(128,)`. Zeros run along the last axis.
        dtype: `int64`, `int32`, `bool` or `float32`.
        left: Whether the zeros come first, as padding does in front of a text that goes on.

    Raises:
        AlignmentError: The attributes do not fit each other.
    """

    shape: tuple[int, ...]
    dtype: str = "int64"
    left: bool = False

    def __post_init__(self) -> None:
        _check(self, _MASKS)
        if not self.shape:
            raise AlignmentError("Mask of shape (): expected an axis along which something is left out")

    def draw(self, generator: np.random.Generator, batch_size: int) -> Array:
        """Zeros and ones of shape `(batch, *shape)`."""
        length = self.shape[-1]
        kept = generator.integers(1, max(length, 2), (batch_size, *(1 for _ in self.shape)))
        if batch_size > 1:
            kept[0] = length
        places = np.arange(length)
        mask = np.broadcast_to((places[::-1] if self.left else places) < kept, (batch_size, *self.shape))
        if len(self.shape) > 1 and self.shape[-2] == length and not self.left:
            causal = np.broadcast_to(places <= places[:, None], self.shape)
            mask = np.concatenate([row[None] & causal if number % 2 else row[None] for number, row in enumerate(mask)])
        return mask.astype(self.dtype)

    def problem(self, array: Array) -> str:
        """What is wrong with a given mask."""
        if not np.isin(array, (0, 1)).all():
            return f"is {array.dtype} with values other than 0 and 1, expected a mask"
        return ""

    def convert(self, array: Array) -> Array:
        """The mask in the dtype of the input."""
        return np.ascontiguousarray(array, self.dtype)


@dataclass(frozen=True)
class Floats(Feed):
    """Floating-point numbers: images, audio features, embeddings. They are given in the precision of the run.

    Attributes:
        shape: Shape of one input, without the batch: `(3, 224, 224)`; `()` for one number a row.
        low: Least number; without bounds they are drawn from a normal distribution, shifted a little by channel.
        high: Bound above; numbers are drawn evenly between both.

    Raises:
        AlignmentError: The attributes do not fit each other.
    """

    shape: tuple[int, ...]
    low: float | None = None
    high: float | None = None
    continuous: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _check(self)
        if (self.low is None) != (self.high is None) or (self._bounds and self._bounds[0] >= self._bounds[1]):
            raise AlignmentError(f"Floats from {self.low} to {self.high}: give both bounds, the lower one first")

    @property
    def _bounds(self) -> tuple[float, float] | None:
        return None if self.low is None or self.high is None else (self.low, self.high)

    def draw(self, generator: np.random.Generator, batch_size: int) -> Array:
        """float32 of shape `(batch, *shape)`."""
        if self._bounds:
            return generator.uniform(*self._bounds, (batch_size, *self.shape)).astype(np.float32)
        return shifted_normal(generator, self.shape, batch_size)

    def problem(self, array: Array) -> str:
        """What is wrong with given numbers."""
        if not np.issubdtype(array.dtype, np.floating):
            return f"is {array.dtype}, expected normalised floating-point values"
        if not np.isfinite(array).all():
            return "holds values that are not finite"
        if self._bounds and not (array.min() >= self._bounds[0] and array.max() <= self._bounds[1]):
            return f"goes from {array.min():.6g} to {array.max():.6g}, expected {self.low} to {self.high}"
        return ""

    def convert(self, array: Array) -> Array:
        """The numbers in float32."""
        return np.ascontiguousarray(array, np.float32)


def shifted_normal(generator: np.random.Generator, shape: tuple[int, ...], batch_size: int) -> Array:
    """Normal float32 `(batch, *shape)`, its mean higher in each channel, so that an exchange of channels shows."""
    values = generator.standard_normal((batch_size, *shape), dtype=np.float32)
    if shape:
        values += np.float32(0.1) * np.arange(1, shape[0] + 1, dtype=np.float32).reshape(-1, *(1 for _ in shape[1:]))
    return values


def _check(feed: Feed, dtypes: tuple[str, ...] = ()) -> None:
    """Make the shape a tuple, and refuse a shape or dtype that no input has."""
    kind, axes = type(feed).__name__, cast(object, feed.shape)  # a number is what a user writes for one axis
    shape = (axes,) if isinstance(axes, Integral) else tuple(feed.shape)
    shape = tuple(int(size) if isinstance(size, Integral) else size for size in shape)  # NumPy's integers are no ints
    object.__setattr__(feed, "shape", shape)
    if not all(isinstance(size, int) and size > 0 for size in shape):
        raise AlignmentError(f"{kind} of shape {shape}: expected positive integers, without the batch")
    dtype = getattr(feed, "dtype", "")
    if dtypes and dtype not in dtypes:
        raise AlignmentError(f"{kind} in {dtype!r}: expected one of {', '.join(dtypes)}")
