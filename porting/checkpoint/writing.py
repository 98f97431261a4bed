"""Checkpoints of any format, written tensor by tensor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from os import PathLike, fspath
from pathlib import Path
from typing import NamedTuple, Protocol

from porting.checkpoint.file.writer import Output, publishing
from porting.checkpoint.format_names import FORMATS, format_of
from porting.checkpoint.tensor import LazyTensor, is_name
from porting.errors import CheckpointError
from porting.names import unknown


class Written(NamedTuple):
    """A checkpoint that was written and found to be what was planned.

    Attributes:
        path: The file; the index of a set of shards.
        format: One of `FORMATS`.
        nbytes: Its size; that of all shards together.
        digest: CRC-32 of the whole file as it was read back, `crc32:` and eight hexadecimal digits; of a set of shards
            that of their bytes one after the other.
        shards: The shards in order; none for a single file.
        kept: Number of shards that an earlier run of the same conversion had completed.
    """

    path: Path
    format: str
    nbytes: int
    digest: str
    shards: tuple[Path, ...] = ()
    kept: int = 0


class Writer(Protocol):
    """What a format's module provides."""

    WRITTEN: Mapping[str, str]
    RESERVED: tuple[str, ...]

    def write(self, output: Output, tensors: Mapping[str, LazyTensor], metadata: Mapping[str, str]) -> None:
        """Write the whole file."""


def writer_of(name: str) -> Writer:
    """Import the writer of a format.

    Raises:
        UnknownNameError: There is no such format, or it is only read.
    """
    written = [known for known, format_ in FORMATS.items() if format_.suffixes]
    if name not in written:
        raise unknown("format", name, written)
    writer: Writer = import_module(f"porting.checkpoint.formats.{name.replace('-', '_')}")
    return writer


def write_checkpoint(
    path: str | PathLike[str],
    tensors: Mapping[str, LazyTensor],
    *,
    format: str | None = None,  # noqa: A002 - what it is called wherever there are formats
    overwrite: bool = False,
    metadata: Mapping[str, str] | None = None,
    check: Callable[[], None] | None = None,
    progress: Callable[[str, int], None] | None = None,
) -> Written:
    """Write tensors as a flat state dict.

    Each tensor is read, packed, written, read back and dropped, a few of them at a time, in threads. The file appears
    under its name only when all of it was read back and is what was planned; otherwise nothing is left, and an existing
    target is untouched.

    Args:
        path: The target; its folder has to exist.
        tensors: What to write, in this order; they are loaded in any order, from several threads.
        format: One of `FORMATS`; by default the one that the suffix stands for.
        overwrite: Replace an existing file.
        metadata: Texts to store beside the tensors; only safetensors files have a place for them.
        check: Called when all is written; what it raises keeps the file from appearing.
        progress: Called with the name and size in bytes of each tensor that was written, by one thread at a time.

    Raises:
        UnknownNameError: The suffix stands for no format, or the format is only read.
        TargetExistsError: The target exists and `overwrite` is false.
        CheckpointError: The format cannot hold the tensors, or the target cannot be written.
    """
    name = format_of(path) if format is None else format
    target, writer = Path(fspath(path)), writer_of(name)
    require_writable(target, name, tensors)
    room = sum(tensor.nbytes for tensor in tensors.values())
    with publishing(target, overwrite=overwrite, room=room, check=check, progress=progress) as output:
        writer.write(output, tensors, metadata or {})
    return Written(target, name, output.position, f"crc32:{output.crc:08x}")


def require_writable(target: Path, name: str, tensors: Mapping[str, LazyTensor]) -> None:
    """Check that a format can hold these tensors under these names.

    Args:
        target: The target, for errors.
        name: One of `FORMATS` that is written.
        tensors: The tensors.

    Raises:
        CheckpointError: It cannot; the first tensor that is concerned is named, and the details have all.
    """
    writer = writer_of(name)
    _require_names(target, name, tensors, writer.RESERVED)
    _require_dtypes(target, name, tensors, writer.WRITTEN)


def _require_names(path: Path, name: str, tensors: Mapping[str, LazyTensor], reserved: tuple[str, ...]) -> None:
    if not tensors:
        raise CheckpointError(path, "there are no tensors to write")
    for key in tensors:
        if key in reserved:
            raise CheckpointError(
                path, f"{key} is a name that {FORMATS[name].title} files keep for themselves; rename it"
            )
        if not is_name(key):
            raise CheckpointError(path, f"the name {key!a:.100} is too long or has characters that cannot be printed")


def _require_dtypes(path: Path, name: str, tensors: Mapping[str, LazyTensor], known: Mapping[str, str]) -> None:
    refused = {key: tensor.dtype.name for key, tensor in tensors.items() if tensor.dtype.name not in known}
    if refused:
        key, dtype = next(iter(refused.items()))
        more = f" (and {len(refused) - 1} more tensors)" if len(refused) > 1 else ""
        raise CheckpointError(
            path,
            f"{key}{more} is {dtype}, which {FORMATS[name].title} files do not hold; cast it (--dtype) or choose "
            f"another format; nothing was written. {FORMATS[name].title} files hold {', '.join(known)}",
            [f"{key}: {value}" for key, value in refused.items()] if len(refused) > 1 else (),
        )
