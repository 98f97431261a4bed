"""What a model consists of, as its own process found it: plain values that no framework is needed to read."""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import ml_dtypes
import numpy as np

from alignment.arrays import Array

TRACED_BATCH, FEWER = 3, 2
"""Inputs that a model is run on to be described, and how many it is run on once more, to see which axes follow them."""
_HALVES = ("float16", ml_dtypes.bfloat16.__name__)


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
        if not self.values:
            return None
        array = _unpacked(self.values, self.shape, self.dtype)
        return array.astype(np.float32) if self.dtype in _HALVES else array


@dataclass(frozen=True)
class ModuleInfo:
    """One module.

    Attributes:
        path: Its path in the model; empty for the model itself.
        kind: Name of its class.
        bases: Names of the framework's own classes that it is or derives from, nearest first.
        tensors: Names of the tensors that it holds itself.
        call: How many modules were first called before it; None where it is not called.
        given: Digest of the first input that it was called with; empty where it is not called.
        gave: Digest of the first output of that call.
        after: Paths of modules of the same form, of whose output its input is made; those before them are left out.
    """

    path: str
    kind: str
    bases: tuple[str, ...] = ()
    tensors: tuple[str, ...] = ()
    call: int | None = None
    given: str = ""
    gave: str = ""
    after: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelDescription:
    """One model.

    Attributes:
        framework: A name in `alignment.frameworks.FRAMEWORKS`.
        modules: In the order in which the framework lists them.
        tensors: Name in the state dict to tensor, in its order.
        output: Shape of what it gives for `TRACED_BATCH` inputs.
        fewer: Shape of what it gives for `FEWER` inputs; empty where that is not known.
        gives: NumPy's name of the dtype of what it gives, floating-point inputs being float32.
        zeros: Whether all that it gave was zero.
        function: Whether it is a plain function.
    """

    framework: str
    modules: tuple[ModuleInfo, ...]
    tensors: Mapping[str, TensorInfo]
    output: tuple[int, ...] = ()
    fewer: tuple[int, ...] = ()
    gives: str = "float32"
    zeros: bool = False
    function: bool = False


def pack(array: Array) -> str:
    """The very bits of an array as text: its bytes, little-endian, compressed, in base64."""
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return base64.b64encode(zlib.compress(little.tobytes(), 9)).decode()


def _unpacked(text: str, shape: tuple[int, ...], name: str) -> Array:
    try:
        dtype = np.dtype(name)
    except TypeError:
        raise ValueError(f"{name!r} is no dtype") from None
    size = prod(shape) * dtype.itemsize
    unpacking = zlib.decompressobj()
    try:
        data = unpacking.decompress(base64.b64decode(text, validate=True), size + 1)
    except (binascii.Error, zlib.error) as error:
        raise ValueError(f"values that cannot be read: {error}") from None
    if len(data) != size:
        length = f"{len(data)}" if len(data) < size else f"more than {size}"
        raise ValueError(f"{length} bytes of values, {shape} of {name} has {size}")
    return np.frombuffer(data, dtype.newbyteorder("<")).reshape(shape).astype(dtype)
