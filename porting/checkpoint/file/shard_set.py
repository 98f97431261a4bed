"""A set of shards: written one after the other in a hidden folder, and given their names all together.

Shards that are complete stay in the folder when a run ends early. A journal there says what they were made of and what
their checksums are, so that a later run of the same conversion goes on with them, and any other starts afresh.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from porting.checkpoint.file.crc import crc32
from porting.checkpoint.file.target import flush_folder, os_errors
from porting.errors import CheckpointError
from porting.plain_files import shortened

_JOURNAL = "journal.jsonl"
_STEP = 1 << 22
"""Bytes of a finished shard that are read at a time."""


class Shard(NamedTuple):
    """A shard that is complete.

    Attributes:
        nbytes: Its size.
        crc: CRC-32 of all of it.
    """

    nbytes: int
    crc: int


class Unfinished:
    """The hidden folder of a set that is not complete yet; use it in a `with` statement.

    Args:
        target: The file that the set stands for, `model.safetensors`; the folder is beside it.
        made_from: What identifies the sources and everything that is done with them; None if nothing does, and the
            shards of an earlier run are never used.

    Attributes:
        path: The folder.
        kept: The complete shards of an earlier run by name, their checksums compared.

    Raises:
        CheckpointError: Another process is writing the same set, or the folder cannot be written.
    """

    def __init__(self, target: Path, made_from: str | None) -> None:
        self.path = target.with_name(f".{shortened(target.name)}.unfinished")
        self._target = target
        identity = os.urandom(32) if made_from is None else made_from.encode()
        self._key = hashlib.sha256(identity).hexdigest()
        self._resumable = made_from is not None
        self._complete = False
        self.kept: dict[str, Shard] = {}

    def __enter__(self) -> Unfinished:
        with os_errors(self._target):
            self._make_folder()
            self._journal = os.open(self.path / _JOURNAL, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
            try:
                self._lock()
                self._resume()
            except BaseException:
                os.close(self._journal)
                raise
        return self

    def __exit__(self, kind: object, error: BaseException | None, at: object) -> None:
        """Remove the folder, unless there are shards in it that a later run can use."""
        with contextlib.suppress(OSError):
            if self._complete or not (self.kept and self._resumable):
                shutil.rmtree(self.path, ignore_errors=True)
            elif isinstance(error, CheckpointError):
                error.details = (*error.details, self._advice())
            elif isinstance(error, KeyboardInterrupt):
                error.args = (self._advice(),)
        os.close(self._journal)

    def add(self, name: str, shard: Shard) -> None:
        """Note that a shard is complete."""
        self.kept[name] = shard
        with os_errors(self._target):
            self._append({"shard": name, "bytes": shard.nbytes, "crc32": shard.crc})

    @contextlib.contextmanager
    def discarded_on_error(self) -> Iterator[None]:
        """Forget all shards if something raises: their sources were damaged, or changed while they were read."""
        try:
            yield
        except Exception:
            self.kept.clear()
            raise

    def move(self, names: list[str]) -> None:
        """Give the shards their names beside the target; one that has it already stays."""
        with os_errors(self._target):
            for name in names:
                if (self.path / name).exists():
                    (self.path / name).replace(self._target.with_name(name))

    def flush(self) -> None:
        """Flush the shards to the disk, before a set that they replace is removed."""
        with os_errors(self._target):
            for path in self.path.iterdir():
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
            flush_folder(self.path)

    def done(self) -> None:
        """Note that the set is complete, and nothing here is needed any more."""
        self._complete = True

    def _advice(self) -> str:
        return (
            f"{len(self.kept)} complete shards are kept in {self.path}: the same command goes on with them; "
            "delete the folder if you do not want them"
        )

    def _make_folder(self) -> None:
        try:
            self.path.mkdir()
        except FileExistsError:
            ours = self.path.is_dir() and not self.path.is_symlink()
            if not ours or (any(self.path.iterdir()) and not (self.path / _JOURNAL).is_file()):
                raise CheckpointError(
                    self._target, f"{self.path} is where shards are written first, and is something else; move it away"
                ) from None

    def _lock(self) -> None:
        try:
            fcntl.flock(self._journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                return  # a file system without locks
            raise CheckpointError(
                self._target, "is being written by another process; wait for it, or choose another target"
            ) from None

    def _resume(self) -> None:
        """Take over the complete shards of the same conversion; remove everything else from the folder."""
        entries = _entries((self.path / _JOURNAL).read_bytes())
        noted = entries if entries and entries[0] == {"made_from": self._key} else []
        for entry in noted[1:]:
            match entry:
                case {"shard": str() as name, "bytes": int() as nbytes, "crc32": int() as crc}:
                    if any(_is(path, Shard(nbytes, crc)) for path in (self.path / name, self._target.with_name(name))):
                        self.kept[name] = Shard(nbytes, crc)
        for path in self.path.iterdir():
            if path.name not in self.kept and path.name != _JOURNAL:
                path.unlink()
        os.ftruncate(self._journal, 0)
        self._append({"made_from": self._key})
        for name, shard in self.kept.items():
            self._append({"shard": name, "bytes": shard.nbytes, "crc32": shard.crc})

    def _append(self, entry: dict[str, object]) -> None:
        os.write(self._journal, (json.dumps(entry) + "\n").encode())


def _entries(text: bytes) -> list[object]:
    """Return the entries of a journal, up to one that was not written to its end."""
    entries: list[object] = []
    for line in text.splitlines(keepends=True):
        try:
            entries.append(json.loads(line) if line.endswith(b"\n") else None)
        except ValueError:
            entries.append(None)
        if entries[-1] is None:
            return entries[:-1]
    return entries


def _is(path: Path, shard: Shard) -> bool:
    """Return True if a file is there and has this size and checksum."""
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size != shard.nbytes:
                return False
            crc, block = 0, bytearray(_STEP)
            while count := file.readinto(block):
                crc = crc32(memoryview(block)[:count], crc)
    except OSError:
        return False
    return crc == shard.crc
