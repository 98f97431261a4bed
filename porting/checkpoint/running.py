"""The checksum of a whole file, of what is read of it anyway."""

from __future__ import annotations

from porting.checkpoint.crc import Crc32
from porting.checkpoint.source import Bytes, Source

_STEP = 1 << 23
"""Bytes that are read at a time where nobody else reads them."""


class RunningChecksum:
    """The CRC-32 of the first bytes of a file.

    Args:
        source: The file.
        end: Where they end.
    """

    def __init__(self, source: Source, end: int) -> None:
        self._source, self._end = source, end
        self._crc, self._position = Crc32(), 0

    def passed(self, offset: int, data: Bytes) -> None:
        """Takes up a stretch that was read; what is before it and was not is read here."""
        if offset >= self._position:
            self._catch_up(offset)
            self._crc.update(data.data)
            self._position = offset + len(data)

    @property
    def value(self) -> int:
        """The CRC-32, once what is missing has been read."""
        self._catch_up(self._end)
        return self._crc.value

    def _catch_up(self, end: int) -> None:
        for start in range(self._position, end, _STEP):
            self._crc.update(self._source.array(start, min(_STEP, end - start)).data)
        self._position = max(self._position, end)
