"""Checkpoints of any format, opened; the format is recognised by the content, whatever the suffix.

A format's module is imported only when a file has that format, which saves every command some time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path, PurePath
from types import MappingProxyType, TracebackType
from typing import NamedTuple

from porting.checkpoint.bfloat16 import with_bfloat16
from porting.checkpoint.containers import zips
from porting.checkpoint.envelope import Kind, unwrap
from porting.checkpoint.file.source import Source, allow_open_files
from porting.checkpoint.formats import sharded, torch_legacy
from porting.checkpoint.locating import Place, locate, sets_beside
from porting.checkpoint.other_files import by_ending, named, other_file, other_zip
from porting.checkpoint.prefixes import shared_prefix, without_modules
from porting.checkpoint.selection import Selection
from porting.checkpoint.tensor import Described, LazyTensor
from porting.errors import CheckpointError
from porting.frozen import Frozen

_MAX_PREFIXES = 6
"""Parts of names that are taken off one after the other."""


@dataclass(eq=False, repr=False)
class Checkpoint(Frozen):
    """An open checkpoint; close it, or use it in a `with` statement.

    Attributes:
        path: The file, or the address that it was fetched from.
        format: One of `FORMATS`.
        tensors: By name, in the order of the file; their data is read when they are loaded.
        envelope: What was unwrapped, outermost first: the file that was chosen in a folder, the index of shards, keys
            such as `state_dict`, prefixes such as `module.`.
        notes: What was left out, and why.
        metadata: Texts that a safetensors file carries beside its tensors.
        weights: `"model"` or `"ema"`; None if the file is one state dict and does not say whose it is.
        absent: What was asked for and is not in the file: lines, empty where it was required.
    """

    path: Path | str
    format: str
    tensors: Mapping[str, LazyTensor]
    envelope: tuple[str, ...]
    notes: tuple[str, ...]
    metadata: Mapping[str, str]
    weights: Kind | None
    absent: tuple[str, ...] = ()
    _sources: tuple[Source, ...] = field(default=(), repr=False)
    _checks: tuple[Callable[[], None], ...] = field(default=(), repr=False)

    def check(self) -> None:
        """Check that the files have not been written to, and that the checksum of a whole file (MindSpore's) is right.

        That checksum was compared at opening already, unless with `check=False`. What was read since then is not read
        again.

        Raises:
            CheckpointError: A file has changed while it was read, or is damaged.
        """
        for check in self._checks:
            check()
        for source in self._sources:
            source.require_unchanged()

    def identity(self) -> str:
        """Return a text that is another one when the files were replaced or written to, or other weights were chosen.

        It holds path, size, inode and times of every file; none of them is read.
        """
        return "\n".join((*(source.identity() for source in self._sources), *self.envelope, str(self.weights)))

    def readings(self) -> Iterator[Checkpoint]:
        """Yield this checkpoint, and it without what wrappers may have put before or within its names.

        A wrapper puts its own name before every tensor's (`backbone.`, `timm_model.`), or `module.` into those of a
        part (`features.module.0.weight`), but a model may have such names as well: the caller knows which of the
        readings fits. All are of the same open files.
        """
        yield from self._without_shared()
        tensors = without_modules(self.tensors)
        if tensors is not None:
            yield from replace(self, tensors=tensors, envelope=(*self.envelope, "module."))._without_shared()

    def _without_shared(self) -> Iterator[Checkpoint]:
        """Yield this checkpoint, and it without the first part of its names, and the next, as long as all share one."""
        reading, prefix = self, shared_prefix(self.tensors)
        for part in prefix.split(".")[:-1][:_MAX_PREFIXES]:
            yield reading
            tensors = {name.removeprefix(f"{part}."): tensor for name, tensor in reading.tensors.items()}
            reading = replace(reading, tensors=tensors, envelope=(*reading.envelope, f"{part}."))
        yield reading

    def require_other(self, target: Path) -> None:
        """Check that a file to be written is none of those that are read, under whatever name.

        Raises:
            CheckpointError: It is one of them.
        """
        for source in self._sources:
            if source.is_same(target):
                raise CheckpointError(
                    target, f"is the source itself, {source.path}, which would be lost; choose another target"
                )

    def close(self) -> None:
        """Close the files; the tensors cannot be loaded any more."""
        for source in self._sources:
            source.close()

    def __enter__(self) -> Checkpoint:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def open_checkpoint(
    path: str | PathLike[str],
    *,
    weights: Kind | None = None,
    key: str | None = None,
    prefix: str | None = None,
    ignore: Sequence[str] = (),
    required: bool = True,
    check: bool = True,
) -> Checkpoint:
    """Open a file and list its tensors; nothing in it is executed, and next to nothing of the tensors is read yet.

    Args:
        path: A file, the index of a sharded checkpoint, a folder with one of them, or `hf://owner/name[/file]`.
        weights: `"model"` or `"ema"`, where a training checkpoint holds both; by default the average, as timm does.
        key: Keys that lead to the state dict in the file, joined by dots, such as `state_dict.generator`.
        prefix: Only tensors whose names begin so, and without it, such as `Student.`.
        ignore: Patterns of tensors to leave out: names, or whole parts of names, in which `*` stands for any text.
        required: Raise an error if what is asked for is not in the file; otherwise read what is.
        check: Check a checksum of the whole file (MindSpore's) first, which reads all of it. Without this, call
            `Checkpoint.check` after the last tensor. A tensor's own checksum is checked as it is read.

    Raises:
        CheckpointError: The file cannot be read, is no checkpoint, is damaged, or holds no state dict, or not the one
            that was asked for.
        UnsafePickleError: It names what only an attack or a mistake would.
        HubError: The address is malformed, or cannot be fetched.
    """
    place = locate(path)
    selection = Selection(weights, key, prefix, tuple(ignore))
    sources: list[Source] = []
    try:
        return _opened(place, sources, selection, required=required, check=check)
    except BaseException:  # Ctrl-C too: the file is closed, and it is raised again
        for source in sources:
            source.close()
        raise


def _opened(place: Place, sources: list[Source], selection: Selection, *, required: bool, check: bool) -> Checkpoint:
    source = _source(place.path, place.name, sources)
    content = _sharded(place, sources) or read_content(source, check=check)
    beside = sets_beside(place.path) if content.format == "pdparams" else {}
    unwrapped = unwrap(content.saved, source.error, selection, required=required, beside=beside)
    leaves = unwrapped.tensors.items()
    stored = {key: leaf.tensor(key) if isinstance(leaf, Described) else leaf for key, leaf in leaves}
    _require_plausible(source, sources, stored)
    tensors, told = with_bfloat16(stored, stored_so=content.format == "pdparams")
    return Checkpoint(
        path=source.path,
        format=content.format,
        tensors=tensors,
        envelope=(*filter(None, (place.chosen,)), *content.envelope, *unwrapped.envelope),
        notes=(*unwrapped.notes, *content.notes, *told),
        metadata=content.metadata,
        weights=unwrapped.weights,
        absent=unwrapped.absent,
        _sources=tuple(sources),
        _checks=content.checks,
    )


def _source(path: Path, name: Path | str, sources: list[Source]) -> Source:
    source = Source.open(path, name)
    sources.append(source)
    return source


_MAX_EXPANSION = 2**30


def _require_plausible(source: Source, sources: list[Source], tensors: Mapping[str, LazyTensor]) -> None:
    """Check that the tensors do not add up to far more than the files: views can repeat what is stored."""
    total, stored = sum(tensor.nbytes for tensor in tensors.values()), sum(opened.size for opened in sources)
    if total > 100 * stored + _MAX_EXPANSION:
        raise source.error(f"holds {stored} bytes that its tensors repeat to {total}; save it without expanded views")


class Content(NamedTuple):
    """What is in a file, before its envelope is taken off."""

    format: str
    saved: object
    metadata: Mapping[str, str] = MappingProxyType({})
    notes: tuple[str, ...] = ()
    envelope: tuple[str, ...] = ()
    checks: tuple[Callable[[], None], ...] = ()


def _sharded(place: Place, sources: list[Source]) -> Content | None:
    """Return what is in the shards of an index; None for a file that is no index."""
    index = sources[0]
    weight_map = sharded.read_index(index) if sharded.is_json(index.read(0, min(index.size, 512))) else None
    if weight_map is None:
        return None
    contents: dict[str, Content] = {}
    allow_open_files(2 * len(set(weight_map.values())))
    for shard in dict.fromkeys(weight_map.values()):
        path = place.path.with_name(shard)
        if not path.exists():
            raise index.error(f"its shard {shard} is missing; fetch it too, into the same folder")
        contents[shard] = read_content(_source(path, f"{index.path} ({shard})", sources))
    formats = {content.format for content in contents.values()}
    if len(formats) > 1:
        raise index.error(f"has shards of different formats: {', '.join(sorted(formats))}")
    saved = sharded.joined(index, weight_map, {shard: content.saved for shard, content in contents.items()})
    notes = tuple(dict.fromkeys(note for content in contents.values() for note in content.notes))
    return Content(formats.pop(), saved, notes=notes, envelope=(f"{len(contents)} shards",))


def read_content(source: Source, *, check: bool = True) -> Content:
    """Return what is in an open file, with the names and containers that it has; the content decides the format."""
    head = source.read(0, min(source.size, 512))
    if (kind := named(PurePath(source.path))) is not None:
        raise source.error(f"is {kind}")
    if head[3:9] == b"\0\0\0\0\0{":  # safetensors, before the others: its header's length may start like a pickle
        return _read_safetensors(source)
    if head.startswith(zips.SIGNATURES):
        return _read_zip(source)
    if torch_legacy.is_legacy(head):
        return Content("torch-legacy", torch_legacy.read(source))
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):  # PROTO 2 to 5
        from porting.checkpoint.formats import pdparams

        return Content("pdparams", pdparams.read(source))
    from porting.checkpoint.formats import mindspore

    if mindspore.SIGNATURE.match(head) and by_ending(PurePath(source.path)) is None:
        content = mindspore.read(source, check=check)
        return Content("mindspore", content.saved, notes=content.notes, checks=(content.check,))
    if head[8:9] == b"{":  # a header of 16 MiB or more, or damaged, which the reader says
        return _read_safetensors(source)
    raise _no_checkpoint(source, head)


def _read_safetensors(source: Source) -> Content:
    from porting.checkpoint.formats import safetensors

    tensors, metadata = safetensors.read(source)
    return Content("safetensors", tensors, metadata)


def _read_zip(source: Source) -> Content:
    records = zips.read_zip(source)
    unchecked = any(record.verified and record.size for record in records.values())
    notes = ("the file was written without checksums, so that damage to it would not be noticed",) if unchecked else ()
    if any(name.endswith("/data.pkl") for name in records):
        from porting.checkpoint.formats import torch_zip

        return Content("torch-zip", torch_zip.read(source, records), notes=notes)
    from porting.checkpoint.formats import npz

    if records and all(name.endswith(npz.SUFFIX) for name in records):
        return Content("npz", npz.read(source, records), notes=notes)
    raise source.error(other_zip(records))


def _no_checkpoint(source: Source, head: bytes) -> CheckpointError:
    from porting.checkpoint.formats import mindspore

    if head[:4] in mindspore.ENCRYPTED:
        mode = mindspore.ENCRYPTED[head[:4]]
        return source.error(f"is encrypted by MindSpore ({mode}); load it there with its dec_key and save it without")
    kind = other_file(PurePath(source.path), head)
    if kind is not None:
        return source.error(f"is {kind}")
    return source.error(
        f"is not a checkpoint: it starts with {head[:8]!r}; "
        "expected a file of torch, Paddle (.pdparams), MindSpore (.ckpt), safetensors or NumPy (.npz)"
    )
