"""NumPy's archives (`.npz`): a zip of `.npy` files, each a short text header and the array's bytes.

Source: `numpy.lib.format`, format versions 1.0 and 2.0. NumPy has no name for bfloat16: `numpy.savez` writes arrays
of `ml_dtypes.bfloat16` as two raw bytes an element (`V2`), which `numpy.load(...)[key].view(ml_dtypes.bfloat16)` reads
back. The same is done here, and `V2` is read as bfloat16; nothing else is stored so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from math import prod
from typing import Any, Literal, NamedTuple

import numpy as np

from porting.checkpoint import dtypes
from porting.checkpoint.containers.zips import Record, ZipWriter
from porting.checkpoint.file.source import Source
from porting.checkpoint.file.writer import Output
from porting.checkpoint.tensor import Array, LazyTensor, Malformed, Shape, checked_shape

SUFFIX = ".npy"
MAGIC = b"\x93NUMPY"
_HEADER = re.compile(
    rb"\s*\{\s*'descr':\s*'([<>|=])([A-Za-z]\d*)',\s*'fortran_order':\s*(True|False),\s*"
    rb"'shape':\s*\(((?:\d+L?(?:,\s*\d+L?)*,?)?)\),?\s*\}\s*"
)
MAX_HEADER = 10_000
"""Bytes of a header."""
_CODES = {**dtypes.NUMPY_CODES, "V2": "bfloat16"}


def read(source: Source, records: dict[str, Record]) -> dict[str, LazyTensor]:
    """Return the arrays by name; `records` are those of the archive."""
    return {name.removesuffix(SUFFIX): _tensor(source, record) for name, record in records.items()}


def _tensor(source: Source, record: Record) -> LazyTensor:
    try:
        header = read_header(record.head(MAX_HEADER))
        dtype = header.dtype()
        if record.size - header.start != prod(header.shape) * dtype.itemsize:
            raise Malformed(
                f"of shape {header.shape} and dtype {dtype.name} takes other than {record.size - header.start} bytes"
            )
    except Malformed as problem:
        raise source.error(f"the record {record.name} {problem}; fetch or save it again") from None
    return LazyTensor(header.shape, dtype.newbyteorder("="), _loader(record, header, dtype))


class Header(NamedTuple):
    """What a `.npy` file says about its array.

    Attributes:
        start: Where the data starts.
        code: NumPy's code of the dtype, such as `f4`.
        big_endian: Byte order of the elements.
        order: Order of the axes: C or Fortran.
        shape: The array's shape.
    """

    start: int
    code: str
    big_endian: bool
    order: Literal["C", "F"]
    shape: Shape

    def dtype(self) -> np.dtype[Any]:
        """Return the dtype, in its byte order; raise `Malformed` if no tensor has it."""
        if self.code == "O":
            raise Malformed("is an array of Python objects, which only pickle reads; save it as numbers")
        if self.code not in _CODES:
            raise Malformed(f"is an array of dtype {self.code!r:.40}, expected one of {', '.join(_CODES)}")
        dtype = dtypes.dtype(_CODES[self.code])
        return dtype.newbyteorder(">") if self.big_endian else dtype


def read_header(head: bytes) -> Header:
    """Read the header of a `.npy` file from its first `MAX_HEADER` bytes; raise `Malformed` if there is none.

    It is the magic, two bytes of version, its length in two (version 1.0) or four bytes (2.0), and a dict as text.
    """
    if head[:6] != MAGIC or head[6:8] not in (b"\x01\x00", b"\x02\x00"):
        raise Malformed("is no .npy file of version 1.0 or 2.0")
    width = 2 if head[6] == 1 else 4
    start = 8 + width + int.from_bytes(head[8 : 8 + width], "little")
    match = _HEADER.fullmatch(head[8 + width : start])
    if match is None or len(head) < start:
        raise Malformed("has a header of another form than {'descr': .., 'fortran_order': .., 'shape': ..}")
    order, code, fortran, sizes = (group.decode() for group in match.groups())
    shape = checked_shape(tuple(int(size[:18]) for size in re.findall(r"\d+", sizes)))
    return Header(start, code, order == ">", "F" if fortran == "True" else "C", shape)


def _loader(record: Record, header: Header, dtype: np.dtype[Any]) -> Callable[[], Array]:
    def load() -> Array:
        array: Array = np.ndarray(header.shape, dtype, record.array(), header.start, order=header.order)
        return array.astype(dtype.newbyteorder("="), copy=False)

    return load


WRITTEN: Mapping[str, str] = {name: code for code, name in _CODES.items()}
"""The dtypes that the format has, and NumPy's code for each."""
RESERVED: tuple[str, ...] = ()


def write(output: Output, tensors: Mapping[str, LazyTensor], metadata: Mapping[str, str]) -> None:
    """Write one uncompressed `.npy` a tensor."""
    archive = ZipWriter(output)
    for name, tensor in tensors.items():
        archive.add_tensor(f"{name}{SUFFIX}", name, tensor, _npy_head(tensor))
    archive.finish()


def _npy_head(tensor: LazyTensor) -> bytes:
    code = WRITTEN[tensor.dtype.name]
    order = "|" if tensor.dtype.itemsize == 1 or code == "V2" else "<"
    text = f"{{'descr': '{order}{code}', 'fortran_order': False, 'shape': {tensor.shape}, }}"
    padding = -(10 + len(text) + 1) % 64  # the data starts at a multiple of 64 bytes
    header = f"{text}{' ' * padding}\n".encode()
    return MAGIC + b"\x01\x00" + len(header).to_bytes(2, "little") + header
