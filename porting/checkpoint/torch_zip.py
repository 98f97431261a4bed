"""torch's zip files (`.pth`, `.pt`, `.bin`): what `torch.save` writes since 1.6.

An archive `NAME/` with `data.pkl`, a pickle whose tensors refer to storages, and each storage's bytes as `data/KEY`.
"""

from __future__ import annotations

from porting.checkpoint.machine import Malformed, PickleMachine
from porting.checkpoint.pickles import require_end
from porting.checkpoint.source import Source
from porting.checkpoint.torch_tensors import Storage, storage_of, torch_symbols
from porting.checkpoint.zips import Record, read_zip


def read(source: Source, records: dict[str, Record] | None = None) -> object:
    """What was saved, its tensors as `Described`."""
    records = read_zip(source) if records is None else records
    prefix = _prefix(source, records)
    if f"{prefix}constants.pkl" in records or any(name.startswith(f"{prefix}code/") for name in records):
        raise source.error("is a TorchScript archive; load it with torch.jit.load and save its state_dict()")
    storages = _Storages(records, prefix)
    # The pickle is read from a copy whose checksum was verified; only tensors need to stay in the file.
    pickle = Source(source.path, records[f"{prefix}data.pkl"].array().tobytes())
    value, end = PickleMachine(pickle, torch_symbols(pickle), storages.persistent).load()
    require_end(pickle, end)
    return value


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
        self._found: dict[str, Storage] = {}
        order = records.get(f"{prefix}byteorder")
        self._big_endian = order is not None and order.array().tobytes().strip() == b"big"

    def persistent(self, identity: object) -> Storage:
        """The storage of a persistent id, whose size has to be that of its record."""
        storage, _ = storage_of(identity)
        known = self._found.setdefault(storage.key, storage)
        if (known.dtype, known.numel) != (storage.dtype, storage.numel):
            raise Malformed(f"the storage {storage.key} is described in two ways")
        if known is storage:
            record = self._records.get(f"{self._prefix}data/{storage.key}")
            if record is None:
                raise Malformed(f"the storage {storage.key} has no record in the archive")
            if record.size != storage.nbytes:
                raise Malformed(f"the storage {storage.key} takes {storage.nbytes} bytes, its record has {record.size}")
            storage.big_endian = self._big_endian
            storage.read = record.array
        return known
