"""NumPy arrays in pickles: what they are made of there, and the tensors they describe.

Sources: `ndarray.__reduce_ex__` and `ndarray.__setstate__` (NumPy manual), `numpy.dtype.__setstate__`.
"""

from __future__ import annotations

from codecs import getincrementaldecoder
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import numpy as np

from porting.checkpoint import dtypes
from porting.checkpoint.containers.pickle_machine import Buildable, Malformed, Span, Symbol, Text
from porting.checkpoint.file.source import Bytes, Source
from porting.checkpoint.tensor import Array, Described, LazyTensor, Shape

ARRAY_CODES = {
    "b1": "bool",
    "u1": "uint8",
    "i1": "int8",
    "i2": "int16",
    "u2": "uint16",
    "i4": "int32",
    "u4": "uint32",
    "i8": "int64",
    "u8": "uint64",
    "f2": "float16",
    "f4": "float32",
    "f8": "float64",
    "c8": "complex64",
    "c16": "complex128",
}
"""Dtypes by their code in NumPy's files."""
_OBJECTS = "O8"


@dataclass(frozen=True, slots=True)
class Latin:
    """Bytes that the file holds as text, one character a byte, as protocol 2 has to."""

    text: str | Text


@dataclass(slots=True)
class PickledDtype(Buildable):
    """A `numpy.dtype`: its code, such as `f4`, and its byte order."""

    code: str
    order: str = "<"

    def build(self, state: object) -> None:
        """Takes `(version, byte order, ...)`."""
        match state:
            case (int(), ("<" | ">" | "|" | "=") as order, *_):
                self.order = str(order)
            case _:
                raise Malformed("a numpy.dtype has a state of another form than (version, byte order, ...)")

    def resolve(self) -> np.dtype[Any]:
        """The dtype, in its byte order; raises `Malformed` when no tensor has it."""
        name = "bfloat16" if self.code == "bfloat16" else ARRAY_CODES.get(self.code)
        if name is None:
            raise Malformed(f"has the NumPy dtype {self.code!r:.40}, expected one of {', '.join(ARRAY_CODES.values())}")
        return dtypes.dtype(name).newbyteorder(">") if self.order == ">" else dtypes.dtype(name)


@dataclass(slots=True)
class PickledArray(Described, Buildable):
    """A `numpy.ndarray`, as its pickled state describes it."""

    source: Source
    shape: object = None
    dtype: object = None
    fortran: bool = False
    data: object = None

    def build(self, state: object) -> None:
        """Takes `(version, shape, dtype, is Fortran-ordered, data)`."""
        match state:
            case (int(), shape, dtype, (bool() | int()) as fortran, data) if self.dtype is None:
                self.shape, self.dtype, self.fortran, self.data = shape, dtype, bool(fortran), data
            case _:
                raise Malformed("a numpy.ndarray has a state of another form than (version, shape, dtype, order, data)")

    @property
    def objects(self) -> list[object] | None:
        """The items of an array of Python objects; None for an array of numbers."""
        of_objects = isinstance(self.dtype, PickledDtype) and self.dtype.code == _OBJECTS
        return self.data if of_objects and isinstance(self.data, list) else None

    def tensor(self, name: str) -> LazyTensor:
        """The tensor, once shape, dtype and the size of the data agree."""
        try:
            return self._checked(name)
        except Malformed as problem:
            raise self.source.error(f"{name} {problem}") from None

    def _checked(self, name: str) -> LazyTensor:
        if not isinstance(self.dtype, PickledDtype):
            raise Malformed("is an array without a dtype; the file is damaged, fetch or save it again")
        shape, stored = checked_shape(self.shape), self.dtype.resolve()
        expected = prod(shape) * stored.itemsize
        found = _length(self.data)
        if found is not None and found != expected:
            raise _wrong_size(shape, stored, expected, found)
        order: Literal["C", "F"] = "F" if self.fortran else "C"
        native = stored.newbyteorder("=")

        def load() -> Array:
            data = _data(self.source, self.data)
            if data.nbytes != expected:
                raise self.source.error(f"{name} {_wrong_size(shape, stored, expected, data.nbytes)}")
            array: Array = np.ndarray(shape, stored, data, order=order)
            return array.astype(native, copy=False)

        return LazyTensor(shape, native, load)


def _wrong_size(shape: Shape, dtype: np.dtype[Any], expected: int, found: int) -> Malformed:
    return Malformed(
        f"of shape {shape} and dtype {dtype.name} takes {expected} bytes, {found} are there; "
        "the file is damaged, fetch or save it again"
    )


def checked_shape(shape: object) -> Shape:
    """A shape: a tuple of up to 32 sizes that a machine can address; raises `Malformed` otherwise."""
    if not isinstance(shape, tuple) or len(shape) > 32:
        raise Malformed("has a shape that is no tuple of up to 32 sizes")
    if not all(type(size) is int and 0 <= size < 2**48 for size in shape):
        raise Malformed("has a shape with other than sizes of 0 or more")
    if prod(filter(None, shape)) >= 2**56:
        raise Malformed(f"has the impossible shape {shape}")
    return shape


def _length(data: object) -> int | None:
    """Number of bytes, or None when only reading them will tell."""
    match data:
        case bytes():
            return len(data)
        case Span():
            return data.length
        case Latin():
            return None
    raise Malformed("is an array of Python objects, expected numbers")


def _data(source: Source, data: object) -> Bytes:
    match data:
        case bytes():
            return np.frombuffer(data, np.uint8)
        case Span(offset, length):
            return source.array(offset, length)
        case Latin(str() as text):
            return _latin(source, [text.encode()])
        case Latin(Text(offset, length)):
            return _latin(
                source,
                (source.view(at, min(_STEP, offset + length - at)) for at in range(offset, offset + length, _STEP)),
            )
    raise AssertionError(data)


_STEP = 1 << 20
"""Bytes of a text that are decoded together."""


def _latin(source: Source, parts: Iterable[bytes | memoryview]) -> Bytes:
    """The bytes that a UTF-8 text of one character a byte stands for, decoded a part at a time."""
    decoder, found = getincrementaldecoder("utf-8")(), bytearray()
    try:
        for part in parts:
            found += decoder.decode(bytes(part)).encode("latin-1")
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise source.error("holds a tensor whose bytes are no UTF-8 text; the file is damaged") from None
    except UnicodeEncodeError:
        raise source.error("holds a tensor whose bytes are no Latin-1 text; the file is damaged") from None
    return np.frombuffer(found, np.uint8)


def array_symbols(source: Source) -> Mapping[str, Symbol]:
    """The globals that pickled arrays, scalars and dtypes ask for, of NumPy 1 and 2 alike."""

    def reconstruct(arguments: tuple[object, ...]) -> object:
        match arguments:
            case (Symbol("numpy.ndarray"), (0,), _):
                return PickledArray(source)
        raise Malformed("numpy _reconstruct has other arguments than (ndarray, (0,), b'b')")

    def from_buffer(arguments: tuple[object, ...]) -> object:
        match arguments:
            case (data, PickledDtype() as dtype, shape, ("C" | "F") as order):
                return PickledArray(source, shape, dtype, order == "F", data)
        raise Malformed("numpy _frombuffer has other arguments than (data, dtype, shape, order)")

    def scalar(arguments: tuple[object, ...]) -> object:
        match arguments:
            case (PickledDtype() as dtype, (bytes() | Latin()) as data):
                return PickledScalar(PickledArray(source, (), dtype, data=data))
        raise Malformed("a NumPy scalar has other arguments than (dtype, bytes)")

    called = {"multiarray._reconstruct": reconstruct, "multiarray.scalar": scalar, "numeric._frombuffer": from_buffer}
    names = {f"numpy.{core}.{name}": call for name, call in called.items() for core in ("core", "_core")}
    names |= {"numpy.dtype": _dtype, "_codecs.encode": _encode}
    symbols = {name: Symbol(name, call) for name, call in names.items()}
    return symbols | {name: Symbol(name) for name in ("numpy.ndarray", "ml_dtypes.bfloat16")}


@dataclass(frozen=True, slots=True)
class PickledScalar:
    """A NumPy scalar: a number beside the tensors, such as an accuracy."""

    array: PickledArray


def _dtype(arguments: tuple[object, ...]) -> object:
    match arguments:
        case (str() as code, *_):
            return PickledDtype(code)
        case (Symbol("ml_dtypes.bfloat16"), *_):
            return PickledDtype("bfloat16")
    raise Malformed("numpy.dtype has other arguments than a code such as 'f4'")


def _encode(arguments: tuple[object, ...]) -> object:
    match arguments:
        case ((str() | Text()) as text, ("latin1" | "latin-1")):
            return Latin(text)
    raise Malformed("_codecs.encode has other arguments than (text, 'latin1')")
