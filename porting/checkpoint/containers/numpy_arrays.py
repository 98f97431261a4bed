"""NumPy arrays in pickles: how they are described there, and the tensors that they describe.

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
from porting.checkpoint.containers.pickle_machine import Buildable, Symbol, Text
from porting.checkpoint.containers.stand_ins import Inert
from porting.checkpoint.dtypes import NUMPY_CODES
from porting.checkpoint.file.source import Bytes, Source, Span
from porting.checkpoint.tensor import Array, Described, LazyTensor, Malformed, Shape, checked_shape
from porting.frozen import Frozen

_OBJECTS = "O8"
"""The code of Python objects: pointers of eight bytes."""


@dataclass(eq=False, repr=False)
class Latin(Frozen):
    """Bytes that the file holds as text, one character a byte: protocol 2 has no opcode for bytes."""

    text: str | Text


@dataclass(slots=True, eq=False, repr=False)
class PickledDtype(Buildable):
    """A `numpy.dtype`: its code, such as `f4`, and its byte order."""

    code: str
    order: str = "<"

    def build(self, state: object) -> None:
        """Take `(version, byte order, ...)`."""
        match state:
            case (int(), ("<" | ">" | "|" | "=") as order, *_):
                self.order = str(order)
            case _:
                raise Malformed("a numpy.dtype has a state of another form than (version, byte order, ...)")

    def resolve(self) -> np.dtype[Any]:
        """Return the dtype, in its byte order; raise `Malformed` if no tensor has it."""
        name = self.code if self.code in dtypes.EXTENDED else NUMPY_CODES.get(self.code)
        if name is None:
            raise Malformed(f"has the NumPy dtype {self.code!r:.40}, expected one of {', '.join(NUMPY_CODES.values())}")
        return dtypes.dtype(name).newbyteorder(">") if self.order == ">" else dtypes.dtype(name)


@dataclass(slots=True, eq=False, repr=False)
class PickledArray(Described, Buildable):
    """A `numpy.ndarray`, as its pickled state describes it."""

    source: Source
    shape: object = None
    dtype: object = None
    fortran: bool = False
    data: object = None

    def build(self, state: object) -> None:
        """Take `(version, shape, dtype, is Fortran-ordered, data)`."""
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
        """Return the tensor, if shape, dtype and the size of the data agree."""
        try:
            return self._checked(name)
        except Malformed as problem:
            raise self.source.error(f"{name} {problem}") from None

    def _checked(self, name: str) -> LazyTensor:
        if not isinstance(self.dtype, PickledDtype):
            raise Malformed("is an array without a dtype; the file is damaged, fetch or save it again")
        shape, stored = checked_shape(self.shape), self.dtype.resolve()
        expected = prod(shape) * stored.itemsize
        length = _length(self.data)
        if length is not None and length != expected:
            raise _wrong_size(shape, stored, expected, length)
        order: Literal["C", "F"] = "F" if self.fortran else "C"
        native = stored.newbyteorder("=")

        def load() -> Array:
            data = _data(self.source, self.data)
            if data.nbytes != expected:
                raise self.source.error(f"{name} {_wrong_size(shape, stored, expected, data.nbytes)}")
            array: Array = np.ndarray(shape, stored, data, order=order)
            return array.astype(native, copy=False)

        return LazyTensor(shape, native, load)


def _wrong_size(shape: Shape, dtype: np.dtype[Any], expected: int, length: int) -> Malformed:
    return Malformed(
        f"of shape {shape} and dtype {dtype.name} takes {expected} bytes, {length} are there; "
        "the file is damaged, fetch or save it again"
    )


def _length(data: object) -> int | None:
    """Return the number of bytes; None if it is known only after decoding them."""
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
    """Return the bytes that a UTF-8 text of one character a byte stands for, decoded a part at a time."""
    decoder, data = getincrementaldecoder("utf-8")(), bytearray()
    try:
        for part in parts:
            data += decoder.decode(bytes(part)).encode("latin-1")
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise source.error("holds a tensor whose bytes are no UTF-8 text; the file is damaged") from None
    except UnicodeEncodeError:
        raise source.error("holds a tensor whose bytes are no Latin-1 text; the file is damaged") from None
    return np.frombuffer(data, np.uint8)


def array_symbols(source: Source) -> Mapping[str, Symbol]:
    """Return the globals that pickled arrays, scalars and dtypes ask for, of NumPy 1 and 2 alike."""

    def reconstruct(arguments: tuple[object, ...]) -> object:
        match arguments:
            case (Symbol("numpy.ndarray"), (0,), _):
                return PickledArray(source)
            case (Symbol(subclass), tuple(), _):
                return Inert(subclass)
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


@dataclass(slots=True, eq=False, repr=False)
class PickledScalar:
    """A NumPy scalar: a number beside the tensors, such as an accuracy."""

    array: PickledArray


def _dtype(arguments: tuple[object, ...]) -> object:
    match arguments:
        case (str() as code, *_):
            return PickledDtype(code)
        case (Symbol(name), *_):
            return PickledDtype(name.removeprefix("ml_dtypes."))
    raise Malformed("numpy.dtype has other arguments than a code such as 'f4'")


def _encode(arguments: tuple[object, ...]) -> object:
    match arguments:
        case (str() as text, ("latin1" | "latin-1")) if all(character <= "\xff" for character in text):
            return text.encode("latin-1")  # they may be the key of a dict
        case ((str() | Text()) as text, ("latin1" | "latin-1")):
            return Latin(text)
    raise Malformed("_codecs.encode has other arguments than (text, 'latin1')")
