"""Tensors on their way into a file: loaded, checked, and cut into strips that several threads write."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from porting.checkpoint.file.copying import HUGE, STRIP, Packer
from porting.checkpoint.file.crc import Parts
from porting.checkpoint.tensor import Array, LazyTensor, Pieces, Shape
from porting.errors import CheckpointError


class Checksum:
    """The CRC-32 of a tensor's bytes.

    Attributes:
        value: The CRC-32. It is set at once for a small tensor, after all of it has been read back for others.
    """

    value: int

    @property
    def known(self) -> bool:
        """True once `value` is set."""
        return hasattr(self, "value")


class Loaded(NamedTuple):
    """The data of a tensor, or of some rows of one.

    Attributes:
        pieces: The arrays, before the changes.
        changes: Changes of each element, in order, each with the dtype before it.
    """

    pieces: Pieces
    changes: tuple[tuple[np.dtype[Any], Callable[[Array], Array]], ...] = ()

    def rows(self, start: int, stop: int) -> Loaded:
        """Return some rows of the first axis."""
        return Loaded(self.pieces.rows(start, stop), self.changes)

    def blocks(self, packer: Packer) -> Iterator[memoryview]:
        """Yield the bytes, as `Packer.blocks` does."""
        blocks = packer.joined(self.pieces)
        for dtype, change in self.changes:
            blocks = packer.changed(blocks, dtype, change)
        return blocks


def loaded(path: Path, name: str, tensor: LazyTensor) -> Loaded:
    """Load a tensor, in pieces where it has such.

    Args:
        path: The target, for errors.
        name: The tensor's name, for errors.
        tensor: The tensor.

    Raises:
        CheckpointError: The data has another shape or dtype than announced.
    """
    if tensor.elementwise is not None:
        before, change = tensor.elementwise
        pieces, changes = loaded(path, name, before)
        return Loaded(pieces, (*changes, (before.dtype, change)))
    pieces = tensor.pieces() if tensor.pieces is not None else Pieces((tensor.load(),), 0)
    for array in pieces.arrays:
        require_announced(path, name, tensor, pieces.shape or array.shape, array.dtype)
    if pieces.shape is None:
        require_announced(path, name, tensor, (), tensor.dtype)
    return Loaded(pieces)


def require_announced(path: Path, name: str, tensor: LazyTensor, shape: Shape, dtype: np.dtype[Any]) -> None:
    """Refuse data of another shape or dtype than announced."""
    if (shape, dtype) != (tensor.shape, tensor.dtype):
        raise CheckpointError(
            path,
            f"{name} was announced as {tensor.dtype.name} {tensor.shape} and came as {dtype.name} {shape}; "
            "nothing was written",
        )


class Job:
    """A tensor that is written in one strip or in several, by several threads; it is loaded once.

    Args:
        path: The target, for errors.
        name: The tensor's name, for errors and progress.
        tensor: The tensor, not loaded yet.
        checksum: Receives its CRC-32; None if nobody needs it.

    Attributes:
        strips: The number of strips that are not written yet.
        begun: True once the first strip is being written. Guarded by the writer's lock.
    """

    def __init__(self, path: Path, name: str, tensor: LazyTensor, checksum: Checksum | None) -> None:
        self.name, self.tensor = name, tensor
        self.strips = 0
        self.begun = False
        self._path, self._checksum = path, checksum
        self._loaded: Loaded | None = None
        self._parts = Parts()
        self._end = 0
        self._lock = threading.Lock()
        """Guards `strips`, `_loaded`, `_parts` and `_end`."""

    def cut(self, offset: int, between: Mapping[int, bytes] = MappingProxyType({})) -> Iterator[Strip]:
        """Yield the strips of the tensor: rows of its first axis, or all of it.

        Args:
            offset: Where the tensor starts in the file.
            between: Bytes to insert between its own, by the number of its bytes before them.
        """
        shape, row = self.tensor.shape, prod(self.tensor.shape[1:]) * self.tensor.dtype.itemsize
        if self.tensor.nbytes < HUGE:
            self.strips = 1
            yield Strip(self, offset, self.tensor.nbytes, between, None)
            return
        count = max(STRIP // row, 1)
        self.strips = -(-shape[0] // count)
        for start in range(0, shape[0], count):
            stop = min(start + count, shape[0])
            inside = {at - start * row: data for at, data in between.items() if start * row <= at < stop * row}
            strip = Strip(self, offset, (stop - start) * row, inside, (start, stop))
            yield strip
            offset += strip.length

    def blocks(self, rows: tuple[int, int] | None, packer: Packer) -> Iterator[memoryview]:
        """Return the blocks of a strip's bytes; pieces are never joined in memory."""
        with self._lock:
            if self._loaded is None:
                self._loaded = loaded(self._path, self.name, self.tensor)
            content = self._loaded
        return (content if rows is None else content.rows(*rows)).blocks(packer)

    def done(self, strip: Strip, crc: int) -> bool:
        """Note that a strip was written, with its CRC-32; return True if it was the last one."""
        with self._lock:
            self._parts.add(strip.offset, strip.length, crc)
            self._end = max(self._end, strip.offset + strip.length)
            self.strips -= 1
            if self.strips:
                return False
            self._loaded = None
            if self._checksum is not None:
                self._checksum.value = self._parts.value(self._end)
            return True


class Strip(NamedTuple):
    """A part of a tensor to be written.

    Attributes:
        job: The tensor.
        offset: Where the strip starts in the file.
        nbytes: Bytes of the tensor in it.
        between: Bytes to insert between its own, by the number of its bytes before them.
        rows: The rows of the tensor; None for all of it.
    """

    job: Job
    offset: int
    nbytes: int
    between: Mapping[int, bytes]
    rows: tuple[int, int] | None

    @property
    def length(self) -> int:
        """Bytes in the file."""
        return self.nbytes + sum(map(len, self.between.values()))
