"""safetensors files: a JSON header and the tensors' bytes.

Source: the format's description in the README of huggingface/safetensors. The package is not used: its reader copies
or keeps the mapped pages, and its writer wants all tensors in memory at once, while here they stream. What it refuses
is refused here too, which the tests check against it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from math import prod
from typing import Any, TypeAlias

import numpy as np

from porting.checkpoint import dtypes
from porting.checkpoint.containers import json_text
from porting.checkpoint.file.source import Source
from porting.checkpoint.file.writer import Output
from porting.checkpoint.tensor import Array, LazyTensor, Malformed, Shape, checked_shape
from porting.errors import CheckpointError

_DTYPES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "I16": "int16",
    "U16": "uint16",
    "F16": "float16",
    "BF16": "bfloat16",
    "I32": "int32",
    "U32": "uint32",
    "F32": "float32",
    "F64": "float64",
    "I64": "int64",
    "U64": "uint64",
    "C64": "complex64",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
    "F8_E8M0": "float8_e8m0fnu",
}
_Entry: TypeAlias = tuple[int, int, str, str, Shape]
"""Start, end, name, dtype and shape of a tensor."""
_METADATA = "__metadata__"


def read(source: Source) -> tuple[dict[str, LazyTensor], Mapping[str, str]]:
    """Return the tensors, in the order of their data, and the metadata."""
    length = int.from_bytes(source.view(0, 8), "little")
    if length > json_text.MAX_BYTES:
        raise source.error(f"has a header of {length} bytes, expected {json_text.MAX_BYTES} at most; it is damaged")
    data = source.read(8, length)
    try:
        header = json_text.parse(data)
    except Malformed as problem:
        raise source.error(f"is no safetensors file: its header {problem}; fetch or save it again") from None
    try:
        metadata, entries = _entries(header)
        return _tensors(source, 8 + length, entries), metadata
    except _UnknownDtype as problem:
        raise source.error(f"{problem}; cast it with its own framework first") from None
    except Malformed as problem:
        raise source.error(f"{problem}; fetch or save it again") from None


class _UnknownDtype(Malformed):
    """A dtype that the format has and that is not read: several values in a byte."""


def _entries(header: object) -> tuple[Mapping[str, str], list[_Entry]]:
    """Return the metadata, and the tensors' entries in the order of their data."""
    if not isinstance(header, dict):
        raise Malformed("has a header that is no JSON object")
    metadata = header.pop(_METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise Malformed("has metadata other than texts")
    return metadata, sorted(_entry(name, entry) for name, entry in header.items())


def _entry(name: str, entry: object) -> _Entry:
    match entry:
        case {"dtype": str() as dtype, "shape": [*sizes], "data_offsets": [int() as start, int() as end]} if not (
            isinstance(start, bool) or isinstance(end, bool)
        ):
            if dtype not in _DTYPES:
                raise _UnknownDtype(f"holds {name:.100} in the dtype {dtype:.40}, expected one of {', '.join(_DTYPES)}")
            try:
                return start, end, name, dtype, checked_shape(tuple(sizes))
            except Malformed as problem:
                raise Malformed(f"describes {name:.100}, which {problem}") from None
    raise Malformed(f"describes {name:.100} otherwise than by dtype, shape and data_offsets")


def _tensors(source: Source, base: int, entries: list[_Entry]) -> dict[str, LazyTensor]:
    tensors, at = {}, 0
    for start, end, name, code, shape in entries:
        dtype = dtypes.dtype(_DTYPES[code])
        if start != at or end - start != prod(shape) * dtype.itemsize:
            raise Malformed(
                f"places {name:.100} of shape {shape} and dtype {dtype.name} at bytes {start} to {end}, "
                f"expected {at} to {at + prod(shape) * dtype.itemsize}"
            )
        source.view(base + start, end - start)
        tensors[name] = LazyTensor(shape, dtype, _loader(source, base + start, end - start, shape, dtype))
        at = end
    if base + at != source.size:
        raise Malformed(f"has {source.size - base - at} bytes after its last tensor")
    return tensors


def _loader(source: Source, offset: int, nbytes: int, shape: Shape, dtype: np.dtype[Any]) -> Callable[[], Array]:
    return lambda: np.ndarray(shape, dtype, source.array(offset, nbytes))


WRITTEN: Mapping[str, str] = {name: code for code, name in _DTYPES.items()}
"""The dtypes that the format has, and its code for each."""
RESERVED: tuple[str, ...] = (_METADATA,)


def write(output: Output, tensors: Mapping[str, LazyTensor], metadata: Mapping[str, str]) -> None:
    """Write the tensors, those of wider dtypes first, which aligns each, as the format's own writer does."""
    ordered = sorted(tensors.items(), key=lambda item: -item[1].dtype.itemsize)
    header: dict[str, object] = {_METADATA: {"format": "pt", **metadata}}
    at = 0
    for name, tensor in ordered:
        offsets = [at, at + tensor.nbytes]
        header[name] = {"dtype": WRITTEN[tensor.dtype.name], "shape": tensor.shape, "data_offsets": offsets}
        at = offsets[1]
    encoded = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)  # the data starts at a multiple of eight bytes
    try:
        json_text.require_modest(encoded)
    except Malformed as problem:
        raise CheckpointError(
            output.path, f"the header for {len(tensors)} tensors {problem}; choose another format"
        ) from None
    output.write(len(encoded).to_bytes(8, "little") + encoded)
    for name, tensor in ordered:
        output.write_tensor(name, tensor)
