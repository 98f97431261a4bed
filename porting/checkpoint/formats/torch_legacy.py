"""torch's files before 1.6, and of `torch.save(..., _use_new_zipfile_serialization=False)`.

Five pickles (a magic number, the protocol, the machine it was written on, what was saved, the storages' keys), then
for each key the storage's number of elements as int64 and its bytes.
"""

from __future__ import annotations

from collections.abc import Callable

from porting.checkpoint.containers.pickle_machine import Malformed, PickleMachine
from porting.checkpoint.file.source import Bytes, Source
from porting.checkpoint.formats.torch_tensors import Storage, storage_of, torch_symbols

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
SIGNATURE = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
_PROTOCOL = 1001


def read(source: Source) -> object:
    """What was saved, its tensors as `Described`."""
    storages: dict[str, Storage] = {}

    def persistent(identity: object) -> Storage:
        storage, view = storage_of(identity)
        known = storages.setdefault(storage.key, storage)
        if (known.dtype, known.numel) != (storage.dtype, storage.numel):
            raise Malformed(f"the storage {storage.key} is described in two ways")
        return known if view is None else _part(known, view)

    pickles, at, values = PickleMachine(source, torch_symbols(source), persistent), 0, []
    for _ in range(5):
        value, at = pickles.load(at)
        values.append(value)
    magic, protocol, machine, saved, keys = values
    if magic != MAGIC_NUMBER or protocol != _PROTOCOL or not isinstance(machine, dict):
        raise source.error(f"is no torch file of protocol {_PROTOCOL}, though it starts like one; save it again")
    if not isinstance(keys, list) or len(keys) != len(storages) or not all(key in storages for key in keys):
        raise source.error("lists other storages than its tensors refer to; fetch or save it again")
    _locate(source, [storages[key] for key in keys], at, big_endian=machine.get("little_endian") is False)
    return saved


def _locate(source: Source, storages: list[Storage], at: int, *, big_endian: bool) -> None:
    for storage in storages:
        numel = int.from_bytes(source.view(at, 8), "big" if big_endian else "little", signed=True)
        if numel != storage.numel:
            raise source.error(
                f"the storage {storage.key:.100} has {numel} elements, {storage.numel} are expected; damaged"
            )
        source.view(at + 8, storage.nbytes)
        storage.big_endian = big_endian
        storage.read = _reader(source, at + 8, storage.nbytes)
        at += 8 + storage.nbytes
    if at != source.size:
        raise source.error(f"has {source.size - at} bytes after its last storage; fetch or save it again")


def _part(whole: Storage, view: object) -> Storage:
    """A storage that is a part of another, as torch wrote before 0.4: `(key, first element, number of elements)`."""
    match view:
        case (str() as key, int() as first, int() as numel) if 0 <= first <= first + numel <= whole.numel:
            part = Storage(key, whole.dtype, numel)
            start = whole.nbytes // max(whole.numel, 1) * first

            def read() -> Bytes:
                return whole.data()[start : start + part.nbytes]

            part.read = read
            return part
    raise Malformed(f"a part of the storage {whole.key:.100} lies outside of it")


def _reader(source: Source, offset: int, nbytes: int) -> Callable[[], Bytes]:
    return lambda: source.array(offset, nbytes)
