"""Hostile files: they try to run code, fill the memory, take forever, or name other files. Each runs once a round."""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from collections.abc import Iterator
from itertools import zip_longest

import numpy as np

from benchmarks.fuzz import corpus

CANARY = "canary"
"""A file that exists only when something in an input was executed."""
_RUN = f"open({CANARY!r}, 'w')"


def text(value: str | bytes) -> bytes:
    """Return the opcode that pushes a text."""
    data = value.encode() if isinstance(value, str) else value
    return b"X" + struct.pack("<I", len(data)) + data


def call(module: str, name: str, *arguments: bytes) -> bytes:
    """Return the opcodes that call a global."""
    return b"c" + f"{module}\n{name}\n".encode() + b"(" + b"".join(arguments) + b"tR"


def code_runners() -> Iterator[bytes]:
    """Yield values of pickles that would run code if anything of them were called."""
    for module in ("os", "posix", "nt"):
        yield call(module, "system", text(f"touch {CANARY}"))
    yield call("subprocess", "check_call", b"]" + text("touch") + b"a" + text(CANARY) + b"a")
    for module in ("builtins", "__builtin__"):
        for name in ("eval", "exec", "compile", "__import__", "getattr", "open", "input", "breakpoint"):
            yield call(module, name, text(_RUN))
    yield call("builtins", "eval", text("data"), b"}" + text("data") + text(_RUN) + b"s")
    yield call("builtins", "eval", text(_RUN), b"}")
    yield text("builtins") + text("eval") + b"\x93(" + text(_RUN) + b"tR"
    yield text("builtins") + text("object.__class__") + b"\x93(tR"
    for module, name in (
        ("numpy", "load"), ("numpy.core.multiarray", "fromfile"), ("torch", "load"), ("torch.hub", "load"),
        ("importlib", "import_module"), ("runpy", "run_path"), ("pickle", "loads"), ("functools", "partial"),
        ("operator", "attrgetter"), ("types", "FunctionType"), ("argparse", "FileType"), ("pathlib", "Path.write_text"),
        ("numpy.testing._private.utils", "runstring"), ("timeit", "main"), ("pty", "spawn"), ("code", "interact"),
        ("numpy", "dtype.__class__"), ("collections", "OrderedDict.fromkeys"), ("webbrowser", "open"),
    ):  # fmt: skip
        yield call(module, name, text(_RUN))
    yield b"carg\nparse\n0" + b"cargparse\nNamespace\n)\x81}" + text("__class__") + text(_RUN) + b"sb"


def bombs() -> Iterator[bytes]:
    """Yield values of pickles that are small to write and large, deep or slow to build."""
    doubled = b"".join(b"h%ch%c\x86q%c" % (level, level, level + 1) for level in range(60))
    nested = b"K\x01\x85q\x00" + doubled
    yield nested
    yield b"}" + nested + b"N" + b"s" + nested + b"Ns"
    yield call("collections", "OrderedDict", nested)
    yield call("numpy", "dtype", nested)
    yield call("torch", "Size", nested)
    rebuild = b"ctorch._utils\n_rebuild_tensor_v2\n("
    yield rebuild + b"(" + text("storage") + b"ctorch\nFloatStorage\n" + nested + text("cpu") + b"K\x06tQK\x00" + nested
    yield nested + b"Q"
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85C\x01btR(K\x01"
    yield array + nested + b"cnumpy\ndtype\n(" + text("f4") + b"\x89\x88tR\x89C\x00tb"
    yield (
        array
        + b"("
        + b"\x8a\x06\xff\xff\xff\xff\xff\x7f" * 40
        + b"t"
        + b"cnumpy\ndtype\n("
        + text("f4")
        + b"tR\x89C\x00tb"
    )
    lists = b"]q\x00" + b"".join(b"]h%ch%ch%c\x87aq%c" % (n, n, n, n + 1) for n in range(60))
    yield lists
    yield b"}q\x00" + text("w") + b"h\x00s"
    yield b"]q\x00h\x00a"
    yield b"}q\x00" + b"".join(text(key) + b"h\x00s" for key in ("model", "state_dict", "model_ema", "trunk", "heads"))
    yield b"(" * 200_000
    yield b"]" * 200_000 + b"a" * 199_999
    yield b"\x85" * 1000
    for one in (b"\x8f", b"]", b"}", b"(", b"N", b"\x94", b"2", b"\x8c\x02ab", b"M\xff\x7f", b"G" + b"\x01" * 8):
        yield b"]" + one * (2_000_000 // len(one))
    numbers = b"(" + b"".join(b"M" + struct.pack("<H", n) for n in range(50_000)) + b"tq\x00"
    yield numbers + b"0]" + b"cbuiltins\nset\n(h\x00tR" * 300
    alike = b"".join(b"\x8a\x0c" + (n * (2**61 - 1)).to_bytes(12, "little") + b"N" for n in range(50_000))
    yield b"}(" + alike + b"u"
    yield b"\x8a\xff" + b"\xff" * 255
    yield b"\x8e" + struct.pack("<Q", 2**62)
    yield b"\x96" + struct.pack("<Q", 2**40)
    yield b"B" + struct.pack("<I", 2**31)
    yield b"\x95" + struct.pack("<Q", 2**63)
    yield b"}(" + b"".join(text(f"k{n}") + b"Ns"[:1] for n in range(30_000)) + b"u"
    long = b"(" + b"".join(text("x" * 4000) for _ in range(10)) + b"tq\x00"
    yield b"0".join([long]) + b"0}(" + b"h\x00Nh\x00N" + b"u"
    yield (
        b"}(" + (text("0." * 490 + "w") + b"N") + b"".join(text("0." * 480 + f"{n}") + b"N" for n in range(300)) + b"u"
    )


def pickles(protocols: tuple[int, ...] = (2, 4)) -> Iterator[bytes]:
    """Yield whole pickles of either kind, alone and as a value among tensors."""
    for value in (*code_runners(), *bombs()):
        for protocol in protocols:
            yield b"\x80" + bytes([protocol]) + value + b"."
        yield b"\x80\x02}" + text("w") + value + b"s."
        yield b"\x80\x02}" + text("model") + b"}" + text("w") + value + b"ss."


def zips(names: tuple[str, ...], content: bytes) -> Iterator[bytes]:
    """Yield archives with compression bombs, hostile names, overlapping records and wrong sizes."""
    zeros = bytes(2**24)
    for bombed in names:
        records = dict.fromkeys(names, content)
        yield corpus.zipped({**records, bombed: zeros}, zipfile.ZIP_DEFLATED)
        yield _lying(corpus.zipped({**records, bombed: zeros}, zipfile.ZIP_DEFLATED), 100)
    for trick in (
        "../../evil",
        "/etc/passwd",
        "a\\..\\b",
        "a/\x00b",
        "a/" * 30_000,
        "\x1b[2J",
        "",
        "con",
        "a\nb/data.pkl",
    ):
        yield corpus.zipped({trick: content, **dict.fromkeys(names, content)})
        yield corpus.zipped({trick: content})
    yield corpus.zipped({f"archive/data/{n}": b"" for n in range(20_000)})
    whole = corpus.zipped(dict.fromkeys(names, content))
    directory = whole.index(b"PK\x01\x02")
    entry = whole[directory : whole.index(b"PK", directory + 4)]
    yield whole[:directory] + entry * 5 + _end(5, len(entry) * 5, directory)
    yield whole[:directory] + entry * 50_000 + _end(50_000, len(entry) * 50_000, directory)
    yield whole[:directory] + _end(0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)
    yield whole[:directory] + _end64(2**60, 2**62, directory) + _end(0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)
    yield whole[:directory] + _end64(2**40, 0, directory) + _end(0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)


def _lying(archive: bytes, factor: int) -> bytes:
    """Return the archive with every size in its directory, and the local headers, larger by a factor."""
    data = bytearray(archive)
    for signature, offset in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        at = data.find(signature)
        while at >= 0:
            size = int.from_bytes(data[at + offset : at + offset + 4], "little")
            data[at + offset : at + offset + 4] = min(size * factor, 2**32 - 2).to_bytes(4, "little")
            at = data.find(signature, at + 4)
    return bytes(data)


def _end(count: int, size: int, offset: int) -> bytes:
    return struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, min(count, 65535), min(count, 65535), size, offset, 0)


def _end64(count: int, size: int, offset: int) -> bytes:
    end = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, size, offset)
    return end + struct.pack("<4sLQL", b"PK\x06\x07", 0, offset, 1)


def safetensors() -> Iterator[bytes]:
    """Yield headers with wrong values, recursion, or enormous size."""
    entry = '"dtype":"F32","shape":[1],"data_offsets":[0,4]'
    for header in (
        "[" * 1_000_000, '{"a":' * 200_000, '{"a":[' + "[]," * 600_000 + "[]]}", "{" + '"a":{},' * 200_000 + '"b":{}}',
        "{" + ",".join(f'"k{n}":{{{entry}}}' for n in range(20_000)) + "}", '{"a":{' + entry + "}}" + " " * 1_900_000,
        '{"__metadata__":{' + ",".join(f'"{n}":""' for n in range(90_000)) + '},"a":{' + entry + "}}",
        '{"a":{"dtype":"F32","shape":[' + "9" * 5000 + '],"data_offsets":[0,4]}}',
        '{"a":{"dtype":"F32","shape":[1],"data_offsets":[-' + "9" * 4000 + ",4]}}",
        '{"' + "a" * 1_000_000 + '":{' + entry + "}}", '{"' + "0." * 100_000 + '":{' + entry + "}}",
        '{"a":{"dtype":"F32","shape":[' + "1," * 500_000 + '1],"data_offsets":[0,4]}}',
        '{"a":{"dtype":"F32","shape":[true],"data_offsets":[0,4]}}', '{"a":1e999999999}',
        '{"a":{"dtype":"F32","shape":[1e0],"data_offsets":[0,4]}}', "{" + '"a":1,' * 300_000 + '"b":1}',
        '{"a\\u001b[2J":{' + entry + "}}", '{"../../a":{' + entry + "}}",
    ):  # fmt: skip
        yield struct.pack("<Q", len(header)) + header.encode() + bytes(4)
    for length in (2**63, 2**64 - 1, 2**40, 100_000_000, 2**21 + 1):
        yield struct.pack("<Q", length) + b'{"a":{}}'


def npy() -> Iterator[bytes]:
    """Yield headers of `.npy` with wrong values, recursion, or enormous size."""
    for shape in ("9" * 400, ",".join(["1"] * 3000), "1,", "-1", "2**40", "1" * 5000 + ",", "__import__('os')", ""):
        header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({shape}), }}\n".encode()
        for version, width in ((1, 2), (2, 4), (3, 4)):
            yield b"\x93NUMPY" + bytes([version, 0]) + len(header).to_bytes(width, "little") + header + bytes(4)
    yield b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**31 - 1) + b"{'descr': '<f4'"
    yield b"\x93NUMPY\x02\x00" + struct.pack("<I", 3_000_000) + b"(" * 3_000_000
    yield b"\x93NUMPY\x01\x00" + struct.pack("<H", 60_000) + b"{" + b" " * 59_999
    yield b"\x93NUMPY\x01\x00" + struct.pack("<H", 60_000) + b"-" * 60_000


def mindspore() -> Iterator[bytes]:
    """Yield messages with wrong values, repetition, or enormous size."""

    def field(number: int, data: bytes) -> bytes:
        length, size = b"", len(data)
        while size >= 0x80:
            length, size = length + bytes([size & 0x7F | 0x80]), size >> 7
        return bytes([number << 3 | 2]) + length + bytes([size]) + data

    def value(tag: bytes, dims: bytes, kind: bytes, data: bytes) -> bytes:
        return field(1, field(1, tag) + field(2, dims + field(2, kind) + field(3, data)))

    yield value(b"w" * 1_000_000, b"\x08\x01", b"Float32", bytes(4))
    yield value("\U0001f600".encode() * 200_000, b"\x08\x01", b"Float32", bytes(4))
    yield value(b"0." * 50_000, b"\x08\x01", b"Float32", bytes(4))
    yield value(b"w", b"\x08\x01" * 100_000, b"Float32", bytes(4))
    yield value(b"w", field(1, b"\x01" * 100_000), b"Float32", bytes(4))
    yield value(b"w", b"\x08" + b"\xff" * 9 + b"\x01", b"Float32", bytes(4))
    yield value(b"w", b"\x08" + b"\xff" * 8 + b"\x7f", b"Float32", bytes(4))
    yield value(b"w", b"", b"x" * 500_000, bytes(4))
    yield value(b"w", b"", b"str", bytes(400_000))
    yield b"".join(value(b"w%d" % n, b"\x08\x01", b"Float32", bytes(4)) for n in range(60_000))
    yield value(b"w", b"\x08\x01", b"Float32", b"") * 60_000
    yield b"".join(value(b"w", b"\x08\x01", b"Float32", b"a" * 4) for n in range(60_000))


def indices() -> Iterator[bytes]:
    """Yield indices of shards that lead elsewhere, repeat, or are enormous."""
    paths = ("../a.safetensors", "/etc/passwd", "..", "", ".", "a/../b", "~", "\x00", "input", "x" * 5000)
    shards: tuple[object, ...] = (*paths, None, 3, [])
    for shard in shards:
        yield corpus.index({"blocks.0.w": shard, "scale": "b.safetensors"})
    yield corpus.index({f"k{n}": f"{n}.safetensors" for n in range(40_000)})
    yield corpus.index({f"k{n}": "a.safetensors" for n in range(40_000)})
    yield corpus.index({f"{'0.' * 400}{n}": "a.safetensors" for n in range(1000)})
    yield json.dumps({"weight_map": {"a": "a.safetensors"}}).encode() + b" " * 3_000_000
    yield b'{"weight_map": ' + b"[" * 500_000
    yield b"{" * 100_000


def attacks() -> dict[str, Iterator[bytes]]:
    """Return all attacks by reader, made one at a time, since some are large."""
    sound = corpus.torch_zip(corpus.torch_values())[:200]
    names = ("archive/data.pkl", "archive/data/0", "archive/byteorder")
    head = corpus.torch_legacy({})
    head = head[: head.index(b".", 2) + 1] + b"\x80\x02M\xe9\x03.\x80\x02}."
    tiny = corpus.saved(np.save, np.zeros(1, np.float32))
    return {
        "torch-zip": _in_turn(map(_archive, pickles()), map(_deflated, pickles()), zips(names, sound)),
        "torch-legacy": (head + content for content in pickles()),
        "pdparams": pickles((2, 5)),
        "safetensors": safetensors(),
        "npz": _in_turn(
            zips(("a.npy", "b.npy"), tiny),
            (
                corpus.zipped({"a.npy": content}, method)
                for content in npy()
                for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
            ),
        ),
        "mindspore": (content + more for content in mindspore() for more in (b"", crc(content))),
        "reprod_log": _in_turn((_object_header() + content for content in pickles()), npy()),
        "index": indices(),
    }


def _in_turn(*several: Iterator[bytes]) -> Iterator[bytes]:
    for inputs in zip_longest(*several):
        yield from (data for data in inputs if data is not None)


def _archive(pickled: bytes) -> bytes:
    return corpus.zipped({"archive/data.pkl": pickled, "archive/data/0": bytes(24)})


def _deflated(pickled: bytes) -> bytes:
    return corpus.zipped({"archive/data.pkl": pickled, "archive/data/0": bytes(24)}, zipfile.ZIP_DEFLATED)


def _object_header() -> bytes:
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (), }"
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header


def crc(data: bytes) -> bytes:
    """Return the trailer that MindSpore puts after the values."""
    return b"crc_num" + zlib.crc32(data).to_bytes(10, "big")
