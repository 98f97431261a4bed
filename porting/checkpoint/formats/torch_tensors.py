"""How torch files describe tensors: storages, and views of them.

Sources: `torch/serialization.py` (persistent ids) and `torch/_utils.py` (the `_rebuild_*` functions) of torch 2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from porting.checkpoint import dtypes
from porting.checkpoint.containers.pickle_machine import Symbol
from porting.checkpoint.containers.pickles import plain_symbols
from porting.checkpoint.containers.stand_ins import Inert
from porting.checkpoint.file.source import Bytes, Source
from porting.checkpoint.tensor import Array, Described, LazyTensor, Malformed, Shape, checked_shape

STORAGES: Mapping[str, str] = {
    "BoolStorage": "bool",
    "ByteStorage": "uint8",
    "CharStorage": "int8",
    "ShortStorage": "int16",
    "IntStorage": "int32",
    "LongStorage": "int64",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
}
"""Typed storages, by class name, and the dtype of their elements."""
QUANTISED = {
    "QInt8Storage": "int8",
    "QUInt8Storage": "uint8",
    "QInt32Storage": "int32",
    "QUInt4x2Storage": "uint8",
    "QUInt2x4Storage": "uint8",
}
"""Storages of quantised tensors, and the dtype of their bits."""
UNTYPED = "torch.storage.UntypedStorage"
_STORAGE_CLASSES = {f"torch.{name}": dtype for name, dtype in {**STORAGES, **QUANTISED}.items()}
_EXPANSION = 2**28
"""Bytes that a view may take beyond its storage, as `Tensor.expand` makes it; more would fill the disk."""


@dataclass(slots=True, eq=False, repr=False)
class Storage:
    """A stretch of raw elements that tensors are views of.

    Attributes:
        key: Its name in the file.
        dtype: Name of the elements' dtype; None for bytes, to which each view gives a dtype.
        numel: Number of elements; of bytes without a dtype.
        read: Returns its bytes; None until they are found in the file.
        big_endian: Byte order of the elements.
    """

    key: str
    dtype: str | None
    numel: int
    read: Callable[[], Bytes] | None = None
    big_endian: bool = False

    @property
    def nbytes(self) -> int:
        """Size of the elements in bytes."""
        return self.numel * (dtypes.dtype(self.dtype).itemsize if self.dtype else 1)

    def data(self) -> Bytes:
        """Return the bytes of the storage."""
        if self.read is None:
            raise LookupError(f"the storage {self.key} is read before it was found in the file")
        return self.read()


def module_of(identity: object) -> object:
    """Return the class that files of whole modules name with its source code; None for the ids of storages."""
    match identity:
        case ("module", Symbol() as module, *_):
            return module
    return None


def storage_of(identity: object, storages: dict[str, Storage]) -> tuple[Storage, object]:
    """Return the storage that a persistent id names, and the view metadata of legacy files (None without).

    Args:
        identity: The persistent id.
        storages: Those that earlier ids have named, by key; a new one is added.

    Raises:
        Malformed: The id has another form than `('storage', class, key, location, number of elements)`, or another
            dtype or size than an earlier one of the same key.
    """
    match identity:
        case ("storage", Symbol(name), str() as key, str(), int() as numel, *rest) if (
            name in _STORAGE_CLASSES or name == UNTYPED
        ) and 0 <= numel < 2**48:
            storage = storages.setdefault(key, Storage(key, _STORAGE_CLASSES.get(name), numel))
            if (storage.dtype, storage.numel) != (_STORAGE_CLASSES.get(name), numel):
                raise Malformed(f"the storage {key:.100} is described in two ways")
            return storage, rest[0] if rest else None
    raise Malformed("a persistent id has another form than ('storage', class, key, location, number of elements)")


@dataclass(slots=True, eq=False, repr=False)
class TorchView(Described):
    """A strided view of a storage; offset and strides count elements of the view's dtype.

    It hashes by its identity: a pickled optimizer has the model's parameters for keys.
    """

    source: Source
    storage: Storage
    dtype: str
    offset: object
    shape: object
    strides: object
    problem: str | None = None

    def tensor(self, name: str) -> LazyTensor:
        """Return the tensor, if the view lies within its storage."""
        try:
            if self.problem:
                raise Malformed(self.problem)
            shape, strides, start = self._within_storage()
        except Malformed as problem:
            raise self.source.error(f"{name} {problem}") from None
        stored = dtypes.dtype(self.dtype)

        def load() -> Array:
            if 0 in shape:
                return np.empty(shape, stored)
            array: Array = np.ndarray(shape, stored, self._data(stored), start, strides)
            return array

        return LazyTensor(shape, stored, load)

    def _data(self, stored: np.dtype[Any]) -> Bytes:
        """Return the storage in this machine's byte order: all of it, since a view may repeat its elements."""
        data = self.storage.data()
        if not self.storage.big_endian:
            return data
        whole = data[: data.size - data.size % stored.itemsize]
        swapped: Bytes = whole.view(stored.newbyteorder(">")).astype(stored).view(np.uint8)
        return swapped

    def _within_storage(self) -> tuple[Shape, Shape, int]:
        shape = checked_shape(self.shape)
        numbers = _counts(self.offset, self.strides)
        if len(numbers) != len(shape) + 1:
            raise Malformed("is a view whose offset and strides are not one number of 0 or more an axis")
        itemsize = dtypes.dtype(self.dtype).itemsize
        offset, *strides = (number * itemsize for number in numbers)
        nbytes = itemsize
        for size in shape:
            nbytes *= size
        end = offset + itemsize + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
        if nbytes and end > self.storage.nbytes:
            raise Malformed(
                f"is a view beyond its storage {self.storage.key:.100}: it ends at byte {end} of "
                f"{self.storage.nbytes}; the file is damaged, fetch or save it again"
            )
        if nbytes > self.storage.nbytes + _EXPANSION:
            raise Malformed(
                f"of shape {shape} repeats the {self.storage.nbytes} bytes of its storage to {nbytes}; "
                "save it without expanded axes"
            )
        return shape, tuple(strides), offset


def _counts(offset: object, strides: object) -> list[int]:
    """Return offset and strides, as far as they are numbers that a storage can have."""
    numbers = (offset, *strides) if isinstance(strides, tuple) else ()
    return [number for number in numbers if isinstance(number, int) and 0 <= number < 2**56]


def torch_symbols(source: Source) -> dict[str, Symbol]:
    """Return the globals that torch's files ask for, with those of plain containers and NumPy arrays."""

    def rebuild(arguments: tuple[object, ...]) -> object:
        match arguments:
            case (Storage(dtype=str() as dtype) as storage, offset, shape, strides, *rest):
                return TorchView(source, storage, dtype, offset, shape, strides, _math_bits(rest[2:]))
        raise Malformed("_rebuild_tensor has other arguments than (storage, offset, size, stride, ...)")

    def rebuild_untyped(arguments: tuple[object, ...]) -> object:
        match arguments:
            case (Storage() as storage, offset, shape, strides, _, _, Symbol(name), *rest):
                dtype = name.removeprefix("torch.")
                known = dtype in dtypes.DTYPES or dtype in dtypes.FLOAT8
                remedy = "cast it, or leave it out with --ignore"
                problem = None if known else f"has the dtype {name}, which is not supported; {remedy}"
                return TorchView(source, storage, dtype, offset, shape, strides, problem or _math_bits(rest))
        raise Malformed("_rebuild_tensor_v3 has other arguments than (storage, offset, size, stride, .., dtype)")

    calls: dict[str, Callable[[tuple[object, ...]], object] | None] = {
        "torch._utils._rebuild_tensor": rebuild,
        "torch._utils._rebuild_tensor_v2": rebuild,
        "torch._utils._rebuild_tensor_v3": rebuild_untyped,
        "torch._tensor._rebuild_from_type_v2": partial(_from_type, source),
        "torch._utils._rebuild_parameter": _parameter,
        "torch._utils._rebuild_parameter_with_state": _parameter,
        "torch.Size": _size,
        "torch.device": lambda arguments: Inert("torch.device"),
        "torch.serialization._get_layout": lambda arguments: Inert("torch.layout"),
    }
    calls |= {name: partial(_unportable, source, *words) for name, words in _UNPORTABLE.items()}
    calls |= dict.fromkeys((*_STORAGE_CLASSES, UNTYPED, *_TORCH_DTYPES, *_TENSOR_CLASSES))
    return plain_symbols(source) | {name: Symbol(name, call) for name, call in calls.items()}


_TORCH_DTYPES = tuple(f"torch.{name}" for name in (*dtypes.DTYPES, *dtypes.FLOAT8, "float4_e2m1fn_x2"))


@dataclass(slots=True, eq=False, repr=False)
class Unportable(Described):
    """A tensor of a kind that no other framework has: sparse, quantised, without data.

    Attributes:
        source: The file.
        kind: What it is, as the predicate of a sentence.
        remedy: What to do about it.
    """

    source: Source
    kind: str
    remedy: str

    def tensor(self, name: str) -> LazyTensor:
        """Raise the error that says what it is."""
        raise self.source.error(f"{name} {self.kind}, which other frameworks do not have; {self.remedy}")


def _unportable(source: Source, kind: str, remedy: str, arguments: tuple[object, ...]) -> object:
    return Unportable(source, kind, remedy)


_DEQUANTIZE = "save the model before it was quantised, or call .dequantize() on its tensors"
_UNPORTABLE: Mapping[str, tuple[str, str]] = {
    "torch._utils._rebuild_sparse_tensor": ("is a sparse tensor", "save it with .to_dense()"),
    "torch._utils._rebuild_sparse_csr_tensor": ("is a sparse tensor", "save it with .to_dense()"),
    "torch._utils._rebuild_nested_tensor": ("is a nested tensor", "save it padded, with .to_padded_tensor(0)"),
    "torch._utils._rebuild_qtensor": ("is a quantised tensor", _DEQUANTIZE),
    "torch._utils._rebuild_meta_tensor_no_storage": (
        "is a tensor on the device meta, without data",
        "load the weights into the model first, then save it",
    ),
    "torch._utils._rebuild_wrapper_subclass": ("is a tensor of a class that wraps others", "save its plain tensor"),
    "torch._utils._rebuild_device_tensor_from_numpy": (
        "is a tensor of a device that torch keeps apart (XLA, MPS, MAIA)",
        "save it after .cpu()",
    ),
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": (
        "is a tensor of a device that torch keeps apart (XLA, MPS, MAIA)",
        "save it after .cpu()",
    ),
}
"""Functions that rebuild tensors of other kinds, what these are, and what to do."""
_REBUILT = tuple(
    f"torch._utils.{name}"
    for name in ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3", "_rebuild_parameter")
)


_TENSOR_CLASSES = ("torch._tensor.Tensor", "torch.Tensor", "torch.nn.parameter.Parameter", "torch.nn.parameter.Buffer")


def _math_bits(rest: list[object]) -> str | None:
    """Return why a tensor with lazily applied conjugation or negation is refused; None for the others."""
    if any(isinstance(item, dict) and item for item in rest):
        return "is stored conjugated or negated; save it with .resolve_conj().resolve_neg()"
    return None


def _parameter(arguments: tuple[object, ...]) -> object:
    match arguments:
        case (Described() as data, *_):
            return data
    raise Malformed("_rebuild_parameter has other arguments than (tensor, requires_grad, hooks)")


def _from_type(source: Source, arguments: tuple[object, ...]) -> object:
    """Return a tensor that has attributes of its own, which are left out, as is what a class of its own adds."""
    match arguments:
        case (Symbol(name, rebuild), Symbol(), tuple() as inner, _) if name in _UNPORTABLE or (
            name.startswith("torch._utils._rebuild_") and name in _REBUILT
        ):
            return rebuild(inner) if rebuild else None
        case (Symbol(), Symbol(kind), tuple(), _):
            return Unportable(
                source,
                f"is a tensor of the class {kind}",
                "save its plain tensor (.to_local(), .dequantize() or .data)",
            )
    raise Malformed("_rebuild_from_type has other arguments than (function, class, arguments, state)")


def _size(arguments: tuple[object, ...]) -> object:
    match arguments:
        case ((list() | tuple()) as sizes,):
            return tuple(sizes)
    raise Malformed("torch.Size has other arguments than its sizes")
