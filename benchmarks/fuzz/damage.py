"""Ways to damage a file: at random, and in what its format makes sensitive."""

from __future__ import annotations

import io
import re
import struct
import zipfile
from collections.abc import Callable, Mapping
from random import Random
from typing import TypeAlias

from benchmarks.fuzz import corpus

_LARGEST = 200_000

Damage: TypeAlias = Callable[[Random, bytearray, list[bytes]], bytearray]

_NUMBERS = (0, 1, 2, 63, 64, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**48,
            2**53, 2**62, 2**63 - 1, 2**63, 2**64 - 1)  # fmt: skip
_OPCODES = b"\x80\x95N\x88\x89KMJ\x8aGCB\x8e\x96\x8cX\x8dUT]})\x8f(012t\x85\x86\x87aesu\x90\x91\x94qrhjc\x93R\x81bQ.Pio"
_NAMES = (b"os\nsystem\n", b"builtins\neval\n", b"builtins\nset\n", b"collections\nOrderedDict\n", b"numpy\ndtype\n",
          b"torch._utils\n_rebuild_tensor_v2\n", b"torch\nFloatStorage\n", b"argparse\nNamespace\n",
          b"numpy\nndarray\n", b"numpy.core.multiarray\n_reconstruct\n", b"numpy.core.multiarray\nscalar\n",
          b"_codecs\nencode\n", b"yacs.config\nCfgNode\n", b"collections\ndeque\n")  # fmt: skip
_PATHS = (
    "../evil",
    "/etc/passwd",
    "archive/data.pkl",
    "a\\b",
    "x/data.pkl",
    "a\x00b",
    "",
    "\x1b[1m",
    "a.npy",
    "archive/data/0",
)


def flip(random: Random, data: bytearray, others: list[bytes]) -> bytearray:
    """Flip one bit."""
    if data:
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    return data


def overwrite(random: Random, data: bytearray, others: list[bytes]) -> bytearray:
    """Replace some bytes by others."""
    at = random.randrange(len(data) + 1)
    data[at : at + random.randrange(1, 9)] = random.randbytes(random.randrange(9))
    return data


def lie(random: Random, data: bytearray, others: list[bytes]) -> bytearray:
    """Replace a number, maybe a length, by one that is near, at a limit, or the size of the file."""
    width = random.choice((1, 2, 4, 8))
    at = random.randrange(max(1, len(data) - width + 1))
    now = int.from_bytes(data[at : at + width], "little")
    value = random.choice((*_NUMBERS, now + 1, now - 1, now * 2, len(data), len(data) - at, -1))
    order = random.choice(("little", "little", "little", "big"))
    data[at : at + width] = (value % 2 ** (8 * width)).to_bytes(width, order)
    return data


def reword(random: Random, data: bytearray, others: list[bytes]) -> bytearray:
    """Replace a number written in digits by another one."""
    numbers = list(re.finditer(rb"\d+", data))
    if numbers:
        at = random.choice(numbers)
        data[at.start() : at.end()] = str(random.choice((*_NUMBERS, -1, 10**30))).encode()
    return data


def splice(random: Random, data: bytearray, others: list[bytes]) -> bytearray:
    """Put a stretch of another file, or of this one, over or between the bytes."""
    other = random.choice((*others, bytes(data)))
    start = random.randrange(len(other) + 1)
    piece = other[start : start + random.randrange(1, 65)]
    at = random.randrange(len(data) + 1)
    data[at : at + random.choice((0, len(piece)))] = piece
    return data


def remove(random: Random, data: bytearray, others: list[bytes]) -> bytearray:
    """Remove a stretch."""
    at = random.randrange(len(data) + 1)
    del data[at : at + random.randrange(1, 65)]
    return data


def repeat(random: Random, data: bytearray, others: list[bytes]) -> bytearray:
    """Repeat a stretch, or a single byte, many times."""
    at = random.randrange(len(data) + 1)
    piece = data[at : at + random.choice((1, 1, 2, 8, 40))]
    data[at:at] = bytes(piece) * random.choice((1, 2, 10, 300, 5000))
    return data


def opcodes(random: Random, data: bytearray, others: list[bytes]) -> bytearray:
    """Put some opcodes of pickles, and globals, among the bytes."""
    at = random.randrange(len(data) + 1)
    piece = bytearray()
    for _ in range(random.randrange(1, 6)):
        piece.append(random.choice(_OPCODES))
        if random.random() < 0.5:
            piece.append(random.randrange(16))
        if random.random() < 0.1:
            piece += b"c" + random.choice(_NAMES)
    data[at : at + random.choice((0, len(piece)))] = piece
    return data


def cut(random: Random, data: bytearray, others: list[bytes]) -> bytearray:
    """Cut off the end."""
    return data[: random.randrange(len(data) + 1)]


def reseal(random: Random, data: bytearray, others: list[bytes]) -> bytearray:
    """Damage or rename a record of an archive, and write the archive again with correct checksums."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            records = {name: archive.read(name) for name in archive.namelist()}
    except Exception:  # not an archive any more
        records = {}
    if not records or sum(map(len, records.values())) > _LARGEST:
        return flip(random, data, others)
    name = random.choice(sorted(records))
    if random.random() < 0.2:
        records[random.choice(_PATHS)] = records.pop(name)
    else:
        inner = random.choice((flip, overwrite, lie, reword, splice, remove, repeat, opcodes, opcodes, cut))
        records[name] = bytes(inner(random, bytearray(records[name]), others))
    return bytearray(corpus.zipped(records, random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))))


def unknown_size(random: Random, data: bytearray, others: list[bytes]) -> bytearray:
    """Make the header's length of a safetensors file fit again, or nearly so."""
    if len(data) >= 8:
        end = data.rfind(b"}") + 1
        data[:8] = struct.pack("<Q", max(0, end - 8 + random.choice((0, 0, 0, -1, 1, 8))))
    return data


ANYWHERE: tuple[Damage, ...] = (flip, overwrite, lie, lie, reword, splice, remove, repeat, cut)
BY_READER: Mapping[str, tuple[Damage, ...]] = {
    "torch-zip": (reseal,) * 12,
    "npz": (reseal,) * 8,
    "torch-legacy": (opcodes,) * 5,
    "pdparams": (opcodes,) * 5,
    "reprod_log": (opcodes,) * 5,
    "safetensors": (unknown_size, reword, reword),
    "index": (reword, splice),
    "mindspore": (lie, lie),
}
"""What more is done to the files of a reader, beyond `ANYWHERE`."""


def damaged(random: Random, reader: str, data: bytes, others: list[bytes]) -> bytes:
    """Return the file damaged in one to four places."""
    ways = (*ANYWHERE, *BY_READER[reader])
    result = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 2, 3, 4))):
        result = random.choice(ways)(random, result, others)
    if reader == "safetensors" and random.random() < 0.5:
        result = unknown_size(random, result, others)
    return bytes(result)
