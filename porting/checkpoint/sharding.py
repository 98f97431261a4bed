"""Checkpoints written as several files of bounded size, with an index that says which of them holds which tensor."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from os import PathLike, fspath
from pathlib import Path

from porting.checkpoint.file.crc import combined
from porting.checkpoint.file.shard_set import Shard, Unfinished
from porting.checkpoint.file.target import check_target, os_errors
from porting.checkpoint.file.writer import publishing
from porting.checkpoint.format_names import FORMATS, INDEX, format_of
from porting.checkpoint.formats import sharded
from porting.checkpoint.sizes import nbytes_of
from porting.checkpoint.tensor import LazyTensor, Malformed, TensorCallback
from porting.checkpoint.writing import Written, require_writable, write_checkpoint
from porting.errors import CheckpointError

_USUAL = {"torch-zip": "pytorch_model.bin", "pdparams": "model_state.pdparams", "safetensors": "model.safetensors"}
"""Formats that have shards, and the file name that their loaders look for."""


def whole_target(path: str | PathLike[str]) -> Path:
    """Return the file that a set of shards stands for.

    Args:
        path: That file, `out/model.safetensors`, or the index of its shards, `out/model.safetensors.index.json`.

    Raises:
        UnknownNameError: The suffix stands for no format.
        CheckpointError: It is a folder, or nothing reads shards of this format.
    """
    target = Path(fspath(path))
    if target.is_dir():
        names = ", ".join(str(target / name) for name in _USUAL.values())
        raise CheckpointError(target, f"is a folder; name the file that the shards are parts of, such as {names}")
    target = target.with_name(target.name.removesuffix(INDEX))
    name = format_of(target)
    if name not in _USUAL:
        written = ", ".join(sorted({Path(usual).suffix for usual in _USUAL.values()}))
        raise CheckpointError(
            target, f"{FORMATS[name].title} has no index of shards; leave out --max-shard-size, or write {written}"
        )
    return target


def planned_shards(
    target: str | PathLike[str], tensors: Mapping[str, LazyTensor], max_shard_size: int | str
) -> dict[str, dict[str, LazyTensor]]:
    """Return the tensors of each file that `write_sharded` would write, by its name; one file if all fit into it.

    Raises:
        SizeError: `max_shard_size` is no size.
        CheckpointError: There would be too many shards, or the name is none that an index can hold.
    """
    limit, path = nbytes_of(max_shard_size), whole_target(target)
    shards = sharded.divided(path.name, tensors, limit)
    if len(shards) > sharded.MAX_SHARDS:
        raise CheckpointError(
            path, f"would have {len(shards)} shards, {sharded.MAX_SHARDS} at most; give a larger --max-shard-size"
        )
    if not all(map(sharded.is_plain, shards)):
        raise CheckpointError(path, "has a name that no index of shards may hold; choose a plainer one")
    return shards


def write_sharded(
    path: str | PathLike[str],
    tensors: Mapping[str, LazyTensor],
    max_shard_size: int | str,
    *,
    overwrite: bool = False,
    metadata: Mapping[str, str] | None = None,
    check: Callable[[], None] | None = None,
    progress: TensorCallback | None = None,
    made_from: str | None = None,
) -> Written:
    """Write tensors as several files, the shards, and an index of them, or as one file if that is large enough.

    The shards are written one after the other into a hidden folder beside the target, each as `write_checkpoint` writes
    a file. When all of them are complete they get their names, and the index is written last: until then nothing there
    looks like a checkpoint. A run that ends early leaves its complete shards in the hidden folder.

    Args:
        path: The file that the shards are parts of, `out/model.safetensors`; its suffix sets the format, its stem their
            names, `out/model-00001-of-00003.safetensors`. Its index may be given instead.
        tensors: What to write, in this order.
        max_shard_size: Bytes of the tensors of one file, or a text such as `5GB`. A larger tensor has its own file.
        overwrite: Replace the file, index and shards of this name, of any count, that are there.
        metadata: Texts to store in each file; only safetensors files have a place for them.
        check: Called when all is written; what it raises keeps the set from appearing.
        progress: Called with the name and size in bytes of each tensor that is done, by one thread at a time.
        made_from: What identifies the sources of the tensors and what was done with them. Complete shards that an
            earlier run with the same text left are kept, after their checksums are compared. By default none are.

    Raises:
        UnknownNameError: The suffix stands for no format.
        SizeError: `max_shard_size` is no size.
        TargetExistsError: A part of such a set exists and `overwrite` is false.
        CheckpointError: The format cannot hold the tensors or has no shards, or the target cannot be written.
    """
    target = whole_target(path)
    require_writable(target, format_of(target), tensors)
    shards = planned_shards(target, tensors, max_shard_size)
    index = _index(target, shards)
    texts = dict(metadata or {})
    check_target(target, overwrite=True)
    with Unfinished(target, _key(made_from, shards, texts)) as unfinished:
        old = _require_free(target, shards, unfinished.kept, overwrite=overwrite)
        _require_room(target, shards, unfinished.kept)
        kept = [name for name in shards if name in unfinished.kept]
        for name, part in shards.items():
            if name in kept:
                _report(part, progress)
                continue
            written = write_checkpoint(unfinished.path / name, part, metadata=texts, progress=progress)
            unfinished.add(name, Shard(written.nbytes, int(written.digest.removeprefix("crc32:"), 16)))
        with unfinished.discarded_on_error():
            if check is not None:
                check()
        _require_free(target, shards, unfinished.kept, overwrite=overwrite)
        _publish(target, unfinished, old, index, list(shards))
    return _written(target, shards, unfinished.kept, len(kept))


def _written(target: Path, shards: Iterable[str], done: Mapping[str, Shard], kept: int) -> Written:
    crc, paths = 0, tuple(map(target.with_name, shards))
    for path in paths:
        crc = combined(crc, done[path.name].crc, done[path.name].nbytes)
    nbytes = sum(done[path.name].nbytes for path in paths)
    several = len(paths) > 1
    where = target.with_name(sharded.index_name(target.name)) if several else target
    return Written(where, format_of(target), nbytes, f"crc32:{crc:08x}", paths if several else (), kept)


def _index(target: Path, shards: Mapping[str, Mapping[str, LazyTensor]]) -> bytes:
    """Return the index; nothing for a single file."""
    if len(shards) == 1:
        return b""
    total = sum(tensor.nbytes for part in shards.values() for tensor in part.values())
    try:
        return sharded.index_text(shards, total)
    except Malformed as problem:
        raise CheckpointError(target, f"its index {problem}; choose another format") from None


def _key(
    made_from: str | None, shards: Mapping[str, Mapping[str, LazyTensor]], metadata: Mapping[str, str]
) -> str | None:
    """Return a text that is the same only for shards of the same content."""
    if made_from is None:
        return None
    described = {
        shard: {name: (tensor.dtype.name, tensor.shape) for name, tensor in part.items()}
        for shard, part in shards.items()
    }
    return json.dumps([made_from, described, sorted(metadata.items())])


def _report(part: Mapping[str, LazyTensor], progress: TensorCallback | None) -> None:
    for name, tensor in part.items():
        if progress is not None:
            progress(name, tensor.nbytes)


def set_paths(target: Path) -> list[Path]:
    """Return what is there of a file and its shards, of any count: the index first, which makes them a checkpoint."""
    index = target.with_name(sharded.index_name(target.name))
    with os_errors(target):
        names = sorted(entry.name for entry in target.parent.iterdir()) if target.parent.is_dir() else []
    shards = [target.with_name(name) for name in names if sharded.whole_name(name) == target.name]
    return [*(path for path in (index, target) if path.is_symlink() or path.exists()), *shards]


def _require_free(
    target: Path, shards: Mapping[str, object], kept: Mapping[str, Shard], *, overwrite: bool
) -> list[Path]:
    """Return the files that the set replaces; those of an earlier run of the same conversion are parts of it."""
    ours = shards.keys() & kept.keys()
    old = [path for path in set_paths(target) if path.name not in ours]
    for path in old:
        check_target(path, overwrite=overwrite)
    return old


def _require_room(target: Path, shards: Mapping[str, Mapping[str, LazyTensor]], kept: Mapping[str, Shard]) -> None:
    needed = sum(tensor.nbytes for name, part in shards.items() if name not in kept for tensor in part.values())
    with os_errors(target):
        free = shutil.disk_usage(target.parent).free
    if needed > free:
        raise CheckpointError(
            target,
            f"takes {needed:,} bytes more, and {free:,} are free on the disk; free some space, or write elsewhere",
        )


def _publish(target: Path, unfinished: Unfinished, old: list[Path], index: bytes, names: list[str]) -> None:
    """Replace what was there by the shards; the old index goes first, and the new one comes last."""
    if old:
        unfinished.flush()
    with os_errors(target):
        for path in old:
            path.unlink(missing_ok=True)
    unfinished.move(names)
    if index:
        with publishing(target.with_name(sharded.index_name(target.name)), overwrite=False, durable=True) as output:
            output.write(index)
    unfinished.done()
