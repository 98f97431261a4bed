"""torch's files before 1.6, and of `torch.save(..., _use_new_zipfile_serialization=False)`.

Five pickles (a magic number, the protocol, the machine it was written on, what was saved, the storages' keys), then
for each key the storage's number of elements as int64 and its bytes, in the byte order of that machine.
Source: `_legacy_save` and `_legacy_load` in `torch/serialization.py`.
"""

from __future__ import annotations

from functools import partial
from typing import Literal

from porting.checkpoint.containers.pickle_machine import PickleMachine
from porting.checkpoint.containers.stand_ins import stand_in
from porting.checkpoint.file.source import Bytes, Source
from porting.checkpoint.formats.torch_tensors import Storage, module_of, storage_of, torch_symbols
from porting.checkpoint.tensor import Malformed

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_MAGIC_PICKLE = b"\x8a\x0a" + MAGIC_NUMBER.to_bytes(10, "little") + b"."
"""LONG1 of ten bytes, STOP: the first pickle without its head, which is PROTO, and from protocol 4 on FRAME."""
_PROTOCOL = 1001


def is_legacy(head: bytes) -> bool:
    """Return True if a file that starts so has the magic number of these files."""
    return head[:1] == b"\x80" and _MAGIC_PICKLE in head[:24]


def read(source: Source) -> object:
    """Return what was saved, its tensors as `Described`."""
    storages: dict[str, Storage] = {}
    parts: list[Storage] = []

    def persistent(identity: object) -> object:
        if (module := module_of(identity)) is not None:
            return module
        storage, view = storage_of(identity, storages)
        if view is None:
            return storage
        parts.append(_part(storage, view))
        return parts[-1]

    pickles, at, values = PickleMachine(source, torch_symbols(source), persistent, stand_in), 0, []
    for _ in range(5):
        value, at = pickles.load(at)
        values.append(value)
    magic, protocol, machine, saved, keys = values
    if magic != MAGIC_NUMBER or protocol != _PROTOCOL or not isinstance(machine, dict):
        raise source.error(f"is no torch file of protocol {_PROTOCOL}, though it starts like one; save it again")
    if not isinstance(keys, list) or any(not isinstance(key, str) for key in keys) or sorted(keys) != sorted(storages):
        raise source.error("lists other storages than its tensors refer to; fetch or save it again")
    big_endian = machine.get("little_endian") is False
    _locate(source, [storages[key] for key in keys], at, "big" if big_endian else "little")
    for storage in (*storages.values(), *parts):
        storage.big_endian = big_endian
    return saved


def _locate(source: Source, storages: list[Storage], at: int, order: Literal["big", "little"]) -> None:
    """Find each storage's bytes in the file, from the byte after the pickles on."""
    for storage in storages:
        numel = int.from_bytes(source.view(at, 8), order, signed=True)
        if numel != storage.numel:
            raise source.error(
                f"the storage {storage.key:.100} has {numel} elements, {storage.numel} are expected; damaged"
            )
        source.view(at + 8, storage.nbytes)
        storage.read = partial(source.array, at + 8, storage.nbytes)
        at += 8 + storage.nbytes
    if at != source.size:
        raise source.error(f"has {source.size - at} bytes after its last storage; fetch or save it again")


def _part(whole: Storage, view: object) -> Storage:
    """Return a part of a storage, as torch wrote before 0.4: `(key, first element, number of elements)`."""
    match view:
        case (str() as key, int() as first, int() as numel) if 0 <= first <= first + numel <= whole.numel:
            part = Storage(key, whole.dtype, numel)
            start = whole.nbytes // max(whole.numel, 1) * first

            def read() -> Bytes:
                return whole.data()[start : start + part.nbytes]

            part.read = read
            return part
    raise Malformed(f"a part of the storage {whole.key:.100} lies outside of it")
