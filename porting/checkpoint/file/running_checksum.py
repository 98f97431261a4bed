"""The checksum of a whole file, of what is read of it anyway."""

from __future__ import annotations

import threading

from porting.checkpoint.file.crc import Parts, crc32
from porting.checkpoint.file.source import Bytes, Source

_STEP = 1 << 23
"""Bytes that are read at a time where nobody else reads them."""
_LEAST = 1 << 16
"""Bytes from which on a stretch is remembered; shorter ones are read again, all together."""


class RunningChecksum:
    """The CRC-32 of the first bytes of a file, whose stretches pass in any order and in any thread.

    Args:
        source: The file.
        end: Where they end.
    """

    def __init__(self, source: Source, end: int) -> None:
        self._source, self._end = source, end
        self._parts = Parts()
        self._value: int | None = None
        self._lock = threading.Lock()

    def passed(self, offset: int, data: Bytes) -> None:
        """Takes up a stretch that was read; two that pass never overlap, unless they are the same."""
        if len(data) < _LEAST or self._value is not None or self._parts.has(offset):
            return
        crc = crc32(data.data)
        with self._lock:
            if self._value is None:
                self._parts.add(offset, len(data), crc)

    @property
    def value(self) -> int:
        """The CRC-32; what has not passed until it is first asked for is read then, and what passes later is not."""
        with self._lock:
            if self._value is None:
                for start, end in self._parts.gaps(self._end):
                    self._parts.add(start, end - start, self._read(start, end))
                self._value = self._parts.value(self._end)
            return self._value

    def _read(self, start: int, end: int) -> int:
        crc = 0
        for at in range(start, end, _STEP):
            crc = crc32(self._source.array(at, min(_STEP, end - at)).data, crc)
        return crc
