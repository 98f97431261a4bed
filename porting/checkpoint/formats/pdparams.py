"""Paddle's parameter files (`.pdparams`): pickles of NumPy arrays.

Source: `paddle/framework/io.py` and `io_utils.py` of Paddle 2.6 and 3.3. Read are all its shapes: a flat dict with a
table of parameter names, a flat dict alone, nested dicts whose tensors are `(name, array)`, and
`eval('data', {'data': array})`, of which nothing but this literal form is accepted. Paddle has no NumPy dtype for
bfloat16: it stores the bits as uint16, and reads every uint16 array as bfloat16.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import numpy as np

from porting.checkpoint import dtypes
from porting.checkpoint.containers.numpy_arrays import PickledArray
from porting.checkpoint.containers.pickle_machine import Symbol, Unsafe
from porting.checkpoint.containers.pickle_writer import PickleWriter
from porting.checkpoint.containers.pickles import MAX_DEPTH, load_all, plain_symbols
from porting.checkpoint.file.source import Source, brief
from porting.checkpoint.file.writer import Output
from porting.checkpoint.formats.sealed import require_intact, unsealed
from porting.checkpoint.tensor import Array, Described, LazyTensor, Malformed, Pieces, checked_shape, in_rows
from porting.frozen import Frozen

_NAME_TABLE = "StructuredToParameterName@@"
_SLICE_TABLE = "UnpackBigParamInfor@@"


def read(source: Source) -> object:
    """Return what was saved, its tensors as `Described`; a file of ours with a checksum has to agree with it."""
    intact = require_intact(source)
    symbols = plain_symbols(source) | {
        f"{module}.eval": Symbol(f"{module}.eval", _data_literal) for module in ("builtins", "__builtin__")
    }
    value = load_all(source, symbols)
    if not isinstance(value, dict):
        return _Tensors(source).of(value)
    value = unsealed(source, value, intact=intact)
    names = value.get(_NAME_TABLE)
    tensors = _Tensors(source).of(_joined(source, {key: item for key, item in value.items() if key != _NAME_TABLE}))
    return _named(tensors, names) if isinstance(tensors, dict) and isinstance(names, dict) else tensors


def _named(tensors: dict[object, object], names: Mapping[object, object]) -> dict[object, object]:
    """The tensors of a flat dict with Paddle's own names of them, which the file holds in a table."""
    return {
        key: PaddleTensor(item.array, name)
        if isinstance(item, PaddleTensor) and isinstance(name := names.get(key), str)
        else item
        for key, item in tensors.items()
    }


@dataclass(eq=False, repr=False)
class PaddleTensor(Frozen, Described):
    """An array that Paddle reads as a tensor: uint16 are the bits of bfloat16.

    Attributes:
        array: As the file describes it.
        parameter: Paddle's own name of the parameter, such as `linear_0.w_0`, where the file tells it.
    """

    array: Described
    parameter: str | None = None

    def tensor(self, name: str) -> LazyTensor:
        """Return the tensor, if its description is possible."""
        tensor = self.array.tensor(name)
        if tensor.dtype != np.uint16:
            return tensor
        bfloat16, pieces = dtypes.dtype("bfloat16"), tensor.pieces

        def in_pieces() -> Pieces:
            arrays, axis = pieces() if pieces else Pieces((tensor.load(),), 0)
            return Pieces(tuple(array.view(bfloat16) for array in arrays), axis)

        return LazyTensor(tensor.shape, bfloat16, lambda: tensor.load().view(bfloat16), in_pieces if pieces else None)


@dataclass(eq=False, repr=False)
class _Joined(Frozen, Described):
    """A tensor that protocols 2 and 3 have to store in slices, as flat arrays."""

    source: Source
    shape: object
    slices: tuple[PickledArray, ...]

    def tensor(self, name: str) -> LazyTensor:
        """Return the tensor, if the slices fill its shape."""
        slices = [part.tensor(f"{name} (slice {index})") for index, part in enumerate(self.slices)]
        try:
            shape = checked_shape(self.shape)
        except Malformed as problem:
            raise self.source.error(f"{name} {problem}") from None
        dtype, size = slices[0].dtype, sum(part.size for part in slices)
        if {part.dtype for part in slices} != {dtype} or size != prod(shape):
            raise self.source.error(f"{name} of shape {shape} has slices of {size} elements; fetch or save it again")

        def load() -> Array:
            return np.concatenate([part.load().reshape(-1) for part in slices]).reshape(shape)

        def pieces() -> Pieces:
            return in_rows([part.load().reshape(-1).view(np.uint8) for part in slices], shape, dtype) or Pieces(
                (load(),), 0
            )

        return LazyTensor(shape, dtype, load, pieces)


def _data_literal(arguments: tuple[object, ...]) -> object:
    match arguments:
        case ("data", {"data": PickledArray() as data, **others}) if not others:
            return data
    raise Unsafe("asks for eval of something other than Paddle's ('data', {'data': array}); nothing was executed")


def _joined(source: Source, value: Mapping[object, object]) -> dict[object, object]:
    """Return the dict with its slices joined."""
    items = dict(value)
    table = items.pop(_SLICE_TABLE, {})
    for key, entry in table.items() if isinstance(table, dict) else ():
        match entry:
            case {"OriginShape": shape, "slices": [_, *_] as names}:
                parts = [items.pop(name, None) for name in names if isinstance(name, str)]
                arrays = tuple(part for part in parts if isinstance(part, PickledArray))
                if len(arrays) == len(names) and key not in items:
                    items[key] = _Joined(source, shape, arrays)
                    continue
        raise source.error(f"{brief(key)} is stored in slices, and they are not all there; fetch or save it again")
    return items


class _Tensors:
    """Replaces each array, and each pair of a name and an array, in nested containers by a `PaddleTensor`.

    A container that the pickle refers to many times is made once.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._done: dict[int, object] = {}

    def of(self, value: object, depth: int = MAX_DEPTH) -> object:
        """Return the value with its tensors; raise `CheckpointError` if it is nested too deep, or within itself."""
        if depth < 0:
            raise self._source.error(f"is nested more than {MAX_DEPTH} deep; save model.state_dict()")
        match value:
            case Described():
                return PaddleTensor(value)
            case (str() as parameter, Described() as array):
                return PaddleTensor(array, parameter)
            case dict() | list():
                if id(value) not in self._done:
                    self._done[id(value)] = self._container(value, depth - 1)
                return self._done[id(value)]
        return value

    def _container(self, value: dict[object, object] | list[object], depth: int) -> object:
        if isinstance(value, dict):
            return {key: self.of(item, depth) for key, item in value.items()}
        return [self.of(item, depth) for item in value]


WRITTEN: Mapping[str, str] = {
    **{name: code for code, name in dtypes.NUMPY_CODES.items() if name not in ("uint16", "uint32", "uint64")},
    "bfloat16": "u2",
}
"""The dtypes that Paddle's tensors have, and the code of each in NumPy's files."""
RESERVED: tuple[str, ...] = (_NAME_TABLE, _SLICE_TABLE)
_PROTOCOL = 4


def write(output: Output, tensors: Mapping[str, LazyTensor], metadata: Mapping[str, str]) -> None:
    """Write a flat dict of arrays, without a table of parameter names, which only a model has.

    The globals are those of NumPy 1, which NumPy 2 knows too, so that Paddle 2.6 loads the file as well as Paddle 3.
    """
    pickle = PickleWriter(_PROTOCOL)
    pickle.opcode(b"}(")  # EMPTY_DICT, MARK
    for name, tensor in tensors.items():
        pickle.text(name)
        write_array(pickle, output, name, tensor)
    pickle.opcode(b"u.")  # SETITEMS, STOP
    output.write(pickle.take())


def write_array(pickle: PickleWriter, output: Output, name: str, tensor: LazyTensor) -> None:
    """Push `_reconstruct(ndarray, (0,), b"b")` and its state, `(1, shape, dtype, is Fortran-ordered, data)`.

    What the pickle holds so far is written to the output, and the tensor's bytes after it.
    """
    pickle.global_name("numpy.core.multiarray", "_reconstruct")
    pickle.global_name("numpy", "ndarray")
    pickle.integers((0,))
    pickle.opcode(b"C\x01b\x87R(")  # SHORT_BINBYTES b"b", TUPLE3, REDUCE, MARK
    pickle.integer(1)
    pickle.integers(tensor.shape)
    _write_dtype(pickle, WRITTEN[tensor.dtype.name])
    pickle.opcode(b"\x89")  # NEWFALSE
    pickle.bytes_header(tensor.nbytes)
    output.write(pickle.take())
    output.write_tensor(name, tensor)
    pickle.opcode(b"tb")  # TUPLE, BUILD


def _write_dtype(pickle: PickleWriter, code: str) -> None:
    """Push `dtype(code, False, True)` with the state `(3, byte order, None, None, None, -1, -1, 0)`."""
    if not pickle.once(f"dtype {code}"):
        return
    pickle.global_name("numpy", "dtype")
    pickle.text(code)
    pickle.opcode(b"\x89\x88\x87R")  # NEWFALSE, NEWTRUE, TUPLE3, REDUCE
    pickle.remember(f"dtype {code}")
    pickle.opcode(b"(")
    pickle.integer(3)
    pickle.text("|" if code.endswith("1") else "<")
    pickle.opcode(b"NNN")
    for value in (-1, -1, 0):
        pickle.integer(value)
    pickle.opcode(b"tb")
