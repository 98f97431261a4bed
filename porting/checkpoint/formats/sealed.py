"""A checksum in a pickle of ours: the CRC-32 of every byte before it, as the last entry of the outermost dict.

A pickle has no checksum of its own, so a flipped bit in a tensor would change a training run without a word. The first
entry says that there is a checksum, so that damage to the last one is found too. Files without both are read as before.
"""

from __future__ import annotations

import re
import struct
import zlib

from porting.checkpoint.file.source import Source
from porting.errors import CheckpointError

MARK, METHOD = "checksum", "CRC-32 of every byte before the last entry"
_LAST = "crc32"
_BLOCK = 1 << 22


def _seal(digits: bytes) -> bytes:
    """Return the opcodes of the last entry, of the end of the dict and of the end of the pickle."""
    texts = (_LAST.encode(), digits)
    return b"".join(b"X" + struct.pack("<I", len(text)) + text for text in texts) + b"u."


LENGTH = len(_seal(bytes(8)))
_PATTERN = re.compile(re.escape(_seal(b"@" * 8)).replace(b"@" * 8, b"([0-9a-f]{8})"), re.DOTALL)


def seal(crc: int) -> bytes:
    """Return the end of a pickle, `LENGTH` bytes, given the CRC-32 of all bytes before it."""
    return _seal(f"{crc:08x}".encode())


def require_intact(source: Source) -> bool:
    """Compare the checksum at the end of a file with its content.

    Returns:
        True if it is right, False if the file does not end with one.

    Raises:
        CheckpointError: The content is another than that of which the checksum was made.
    """
    end = source.size - LENGTH
    found = _PATTERN.fullmatch(source.read(end, LENGTH)) if end > 0 else None
    if found is None:
        return False
    crc = 0
    for start in range(0, end, _BLOCK):
        length = min(_BLOCK, end - start)
        crc = zlib.crc32(source.view(start, length), crc)
        source.release(start, length)
    if crc != int(found[1], 16):
        raise _damaged(source, f"its content has the CRC-32 {crc:08x}, and it says {found[1].decode()}")
    return True


def unsealed(source: Source, value: dict[object, object], *, intact: bool) -> dict[object, object]:
    """Return what was saved without the entries of the checksum.

    Args:
        source: The file.
        value: The outermost dict.
        intact: What `require_intact` returned.

    Raises:
        CheckpointError: The first entry says that there is a checksum, and there is none, or the other way round.
    """
    if not intact and value.get(MARK) != METHOD:
        return value
    if not (intact and value.get(MARK) == METHOD):
        raise _damaged(source, "it should end with its checksum, and does not")
    return {key: item for key, item in value.items() if key not in (MARK, _LAST)}


def _damaged(source: Source, problem: str) -> CheckpointError:
    """Return the error for a file whose checksum is wrong or missing."""
    return source.error(f"is damaged: {problem}; copy it again, or take an earlier checkpoint")
