"""One tensor of a model as a file of rules describes it, with the values of a constant as text."""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

import numpy as np

from porting.checkpoint.dtypes import DTYPES, dtype
from porting.checkpoint.tensor import Array

_HALVES = ("float16", "bfloat16")
_MOST = 2**27
"""Elements that the constants of one file may have together."""


@dataclass(frozen=True)
class TensorInfo:
    """One tensor of a state dict.

    Attributes:
        shape: As the framework stores it.
        dtype: NumPy's name of it.
        buffer: Whether no optimiser updates it.
        same_as: The first name of the same tensor, where this is another one; else empty.
        values: Of a constant, a buffer that is neither a running statistic nor a counter: its values, as `pack` makes
            them; empty for any other tensor.
    """

    shape: tuple[int, ...]
    dtype: str = "float32"
    buffer: bool = False
    same_as: str = ""
    values: str = ""

    @property
    def constant(self) -> Array | None:
        """The values of a constant, float16 and bfloat16 in float32, which holds each of them; None for no constant.

        Raises:
            ValueError: They are not what `pack` makes of an array of this shape and dtype.
        """
        array = self.stored
        return array.astype(np.float32) if array is not None and self.dtype in _HALVES else array

    @property
    def stored(self) -> Array | None:
        """The values of a constant in its own dtype; None for no constant.

        Raises:
            ValueError: As for `constant`.
        """
        return _unpacked(self.values, self.shape, self.dtype) if self.values else None


def pack(array: Array) -> str:
    """The very bits of an array as text: its bytes, little-endian, compressed, in base64."""
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return base64.b64encode(zlib.compress(little.tobytes(), 9)).decode()


def too_large(infos: Iterable[TensorInfo]) -> bool:
    """Return True if the constants among these would unfold to more than a file of rules needs."""
    return sum(prod(info.shape) for info in infos if info.values) > _MOST


def _unpacked(text: str, shape: tuple[int, ...], name: str) -> Array:
    if name not in DTYPES:
        raise ValueError(f"{name!r} is no dtype")
    kind = dtype(name)
    size = prod(shape) * kind.itemsize
    unpacking = zlib.decompressobj()
    try:
        data = unpacking.decompress(base64.b64decode(text, validate=True), size + 1)
    except (binascii.Error, zlib.error) as error:
        raise ValueError(f"values that cannot be read: {error}") from None
    if len(data) != size:
        length = f"{len(data)}" if len(data) < size else f"more than {size}"
        raise ValueError(f"{length} bytes of values, {shape} of {name} has {size}")
    return np.frombuffer(data, kind.newbyteorder("<")).reshape(shape).astype(kind)
