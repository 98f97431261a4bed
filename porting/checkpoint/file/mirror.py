"""Blocks of a file, written and each read back to compare it with what was to be written."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np

from porting.checkpoint.file.copying import BLOCK, equal_bytes
from porting.checkpoint.file.crc import Crc32
from porting.checkpoint.file.source import Bytes, cut_off
from porting.checkpoint.file.target import os_errors
from porting.errors import CheckpointError

_FEW = 1 << 10
"""Bytes below which NumPy takes longer to begin than to compare."""


class Mirror:
    """Writes blocks and reads each back; for one thread at a time.

    Args:
        path: The target, for errors.
        descriptor: Where they are written.
        reader: Where they are read back.

    Attributes:
        crc: The CRC-32 of what was read back since `crc.restart`.
    """

    def __init__(self, path: Path, descriptor: int, reader: int) -> None:
        self.crc = Crc32()
        self._path = path
        self._descriptor, self._reader = descriptor, reader
        self._read_back = np.empty(BLOCK, np.uint8)
        self._same = np.empty(BLOCK // 8, np.bool_)

    def put(self, name: str, offset: int, data: memoryview) -> None:
        """Write a block of up to `BLOCK` bytes and read it back; the name is for errors."""
        with os_errors(self._path):
            self._write(offset, data)
            read_back = self._read(offset, len(data)).data
        if not self._equal(read_back, data):
            raise CheckpointError(
                self._path,
                f"what was read back differs from what was written, in {name} (bytes {offset} to "
                f"{offset + len(data)}); nothing was left there. Disk or memory is faulty: write to another disk",
            )
        self.crc.update(read_back)

    def _write(self, offset: int, data: memoryview) -> None:
        try:
            while data:
                done = os.pwrite(self._descriptor, data, offset)
                data, offset = data[done:], offset + done
        except OSError as error:
            if error.errno == errno.EFAULT:  # a page of `data`, of a mapped source, could not be read
                raise cut_off() or OSError(errno.EIO, "what was to be written could not be read") from error
            raise

    def _read(self, offset: int, length: int) -> Bytes:
        """Read a stretch, as far as the file goes."""
        done = 0
        while done < length and (count := os.preadv(self._reader, [self._read_back[done:length].data], offset + done)):
            done += count
        return self._read_back[:done]

    def _equal(self, one: memoryview, other: memoryview) -> bool:
        if len(other) < _FEW:
            return bytes(one) == bytes(other)
        return equal_bytes(np.frombuffer(one, np.uint8), np.frombuffer(other, np.uint8), self._same)
