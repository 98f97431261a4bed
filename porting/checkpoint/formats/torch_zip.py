"""torch's zip files (`.pth`, `.pt`, `.bin`): what `torch.save` writes since 1.6.

An archive `NAME/` with `data.pkl`, a pickle whose tensors refer to storages, and each storage's bytes as `data/KEY`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from porting.checkpoint.containers.pickle_writer import PickleWriter
from porting.checkpoint.containers.pickles import load_all
from porting.checkpoint.containers.zips import ALIGNMENT, Record, ZipWriter
from porting.checkpoint.dtypes import FLOAT8
from porting.checkpoint.file.source import Source
from porting.checkpoint.file.writer import Output
from porting.checkpoint.formats.torch_tensors import STORAGES, UNTYPED, Storage, module_of, storage_of, torch_symbols
from porting.checkpoint.tensor import LazyTensor, Malformed, Shape

_MAX_PICKLE = 2**28


def read(source: Source, records: dict[str, Record]) -> object:
    """Return what was saved, its tensors as `Described`; `records` are those of the archive."""
    prefix = _prefix(source, records)
    if f"{prefix}constants.pkl" in records or any(name.startswith(f"{prefix}code/") for name in records):
        raise source.error(
            "is a TorchScript archive; if you trust its origin, load it with torch.jit.load and save its state_dict()"
        )
    record = records[f"{prefix}data.pkl"]
    if record.size > _MAX_PICKLE:
        raise source.error(f"describes its tensors in {record.size} bytes, more than any checkpoint needs")
    # A copy, after its checksum was verified: only tensors have to stay in the file.
    pickle = Source(source.path, record.array().tobytes())
    return load_all(pickle, torch_symbols(pickle), _Storages(records, prefix).persistent)


def _prefix(source: Source, records: dict[str, Record]) -> str:
    prefixes = [
        name.removesuffix("data.pkl") for name in records if name.endswith("/data.pkl") and name.count("/") == 1
    ]
    if len(prefixes) != 1:
        raise source.error(
            f"is a zip archive with {len(prefixes)} records NAME/data.pkl, expected a torch file with one"
        )
    return prefixes[0]


class _Storages:
    """The storages that the pickle refers to, each once."""

    def __init__(self, records: dict[str, Record], prefix: str) -> None:
        self._records = records
        self._prefix = prefix
        self._storages: dict[str, Storage] = {}
        order = records.get(f"{prefix}byteorder")
        self._big_endian = order is not None and order.array().tobytes().strip() == b"big"

    def persistent(self, identity: object) -> object:
        """Return the storage of a persistent id, whose size has to be that of its record."""
        if (module := module_of(identity)) is not None:
            return module
        storage, _ = storage_of(identity, self._storages)
        if storage.read is None:
            record = self._records.get(f"{self._prefix}data/{storage.key}")
            if record is None:
                raise Malformed(f"the storage {storage.key:.100} has no record in the archive")
            if record.size != storage.nbytes:
                raise Malformed(
                    f"the storage {storage.key:.100} takes {storage.nbytes} bytes, its record has {record.size}"
                )
            storage.big_endian = self._big_endian
            storage.read = record.array
        return storage


WRITTEN: Mapping[str, str] = {
    **{dtype: name for name, dtype in STORAGES.items()},
    **dict.fromkeys(("uint16", "uint32", "uint64", *FLOAT8), UNTYPED),
}
"""The dtypes of torch's tensors, and the storage class of each; unsigned integers and floats of eight bits have none
of their own."""
RESERVED: tuple[str, ...] = ()
_ARCHIVE = "archive"


def write(output: Output, tensors: Mapping[str, LazyTensor], metadata: Mapping[str, str]) -> None:
    """Write the records in the order of `torch.save`, each tensor in a storage of its own."""
    write_tree(output, tensors)


def write_tree(output: Output, tree: Mapping[str, object]) -> None:
    """Write dicts and lists around tensors, numbers, texts, booleans and None, as `torch.save` does.

    A dict of nothing but tensors by name is an OrderedDict, as `state_dict()` returns it.

    Args:
        output: Where to write.
        tree: The content; keys of dicts are texts or integers of 0 or more.
    """
    archive, tensors = ZipWriter(output), list(_tensors("", tree))
    pickle = PickleWriter(2)
    _write_value(pickle, tree, iter(range(len(tensors))))
    pickle.opcode(b".")  # STOP
    archive.add(f"{_ARCHIVE}/data.pkl", pickle.take())
    archive.add(f"{_ARCHIVE}/.format_version", b"1")
    archive.add(f"{_ARCHIVE}/.storage_alignment", str(ALIGNMENT).encode())
    archive.add(f"{_ARCHIVE}/byteorder", b"little")
    for index, (name, tensor) in enumerate(tensors):
        archive.add_tensor(f"{_ARCHIVE}/data/{index}", name, tensor)
    archive.add(f"{_ARCHIVE}/version", b"3\n")
    archive.add_identity(f"{_ARCHIVE}/.data/serialization_id")
    archive.finish()


def _tensors(name: str, value: object) -> Iterator[tuple[str, LazyTensor]]:
    """Yield the tensors of a tree with their places, in the order in which it is written."""
    if isinstance(value, LazyTensor):
        yield name, value
    elif isinstance(value, Mapping | list):
        for key, item in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from _tensors(f"{name}.{key}" if name else str(key), item)


def _write_value(pickle: PickleWriter, value: object, numbers: Iterator[int]) -> None:
    """Push a value, in protocol 2; `numbers` are those of the tensors' storages, in order."""
    match value:
        case LazyTensor():
            _write_tensor(pickle, str(next(numbers)), value)
        case Mapping():
            if value and all(isinstance(item, LazyTensor) for item in value.values()):
                _write_ordered_dict(pickle)
            else:
                pickle.opcode(b"}")  # EMPTY_DICT
            pickle.opcode(b"(")
            for key, item in value.items():
                _write_value(pickle, key, numbers)
                _write_value(pickle, item, numbers)
            pickle.opcode(b"u")  # SETITEMS
        case list():
            pickle.opcode(b"](")  # EMPTY_LIST, MARK
            for item in value:
                _write_value(pickle, item, numbers)
            pickle.opcode(b"e")  # APPENDS
        case _:
            pickle.plain(value)


def _write_ordered_dict(pickle: PickleWriter) -> None:
    pickle.global_name("collections", "OrderedDict")
    pickle.opcode(b")R")  # EMPTY_TUPLE, REDUCE: called without arguments


def _write_tensor(pickle: PickleWriter, key: str, tensor: LazyTensor) -> None:
    """Push `_rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks)`; v3 has the dtype as well.

    The storage is a persistent id, `("storage", class, key, "cpu", number of elements)`.
    """
    storage = WRITTEN[tensor.dtype.name]
    untyped = storage == UNTYPED
    pickle.global_name("torch._utils", "_rebuild_tensor_v3" if untyped else "_rebuild_tensor_v2")
    pickle.opcode(b"((")
    pickle.text("storage")
    pickle.global_name(*(UNTYPED.rsplit(".", 1) if untyped else ("torch", storage)))
    pickle.text(key)
    pickle.text("cpu")
    pickle.integer(tensor.nbytes if untyped else tensor.size)
    pickle.opcode(b"tQ")  # TUPLE, BINPERSID
    pickle.integer(0)
    pickle.integers(tensor.shape)
    pickle.integers(_packed_strides(tensor.shape))
    pickle.opcode(b"\x89")  # NEWFALSE: requires_grad
    _write_ordered_dict(pickle)
    if untyped:
        pickle.global_name("torch", tensor.dtype.name)
    pickle.opcode(b"tR")  # TUPLE, REDUCE


def _packed_strides(shape: Shape) -> Shape:
    """Return the strides of a packed tensor in elements; an axis of size 0 counts as 1, as in torch."""
    strides: list[int] = []
    step = 1
    for size in reversed(shape):
        strides.insert(0, step)
        step *= max(size, 1)
    return tuple(strides)
