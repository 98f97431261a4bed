"""Zip archives that two readers could understand differently are refused."""

from __future__ import annotations

import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from porting.checkpoint import LazyTensor
from porting.checkpoint.containers import zips
from porting.checkpoint.containers.zips import ZipWriter, read_zip
from porting.checkpoint.file.source import Source
from porting.checkpoint.file.writer import publishing
from porting.errors import CheckpointError


@pytest.fixture
def archive(tmp_path: Path) -> Callable[..., Path]:
    """Writes an archive of two records with Python's own writer."""

    def write(method: int = zipfile.ZIP_STORED) -> Path:
        with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as out:
            out.writestr("one", b"first" * 20)
            out.writestr("two", b"second" * 20)
        return tmp_path / "a.zip"

    return write


def contents(path: Path) -> dict[str, bytes]:
    with Source.open(path) as source:
        return {name: record.array().tobytes() for name, record in read_zip(source).items()}


def edit(path: Path, signature: bytes, offset: int, value: bytes, number: int = 0) -> Path:
    """Overwrites a field of the archive's n-th header of a kind."""
    data = bytearray(path.read_bytes())
    at = -1
    for _ in range(number + 1):
        at = data.index(signature, at + 1)
    data[at + offset : at + offset + len(value)] = value
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_archive_of_pythons_own_writer_is_read(method: int, archive: Callable[..., Path]) -> None:
    assert contents(archive(method)) == {"one": b"first" * 20, "two": b"second" * 20}


LOCAL, CENTRAL, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"


@pytest.mark.parametrize(
    ("signature", "offset", "value", "message"),
    [
        (CENTRAL, 8, b"\x01\x00", "the record one is encrypted"),
        (CENTRAL, 10, b"\x0e\x00", "the record one is compressed by method 14"),
        (CENTRAL, 16, b"\0\0\0\1", "the record one is not what the archive's directory says"),
        (CENTRAL, 20, b"\x05\0\0\0", "the record one declares 100 bytes for 5 stored ones"),
        (CENTRAL, 24, b"\xff\0\0\0", "the record one declares 255 bytes for 100"),
        (CENTRAL, 20, struct.pack("<2L", 90, 90), "the record one is not what the archive's directory says"),
        (CENTRAL, 20, struct.pack("<2L", 0xFFFFFFFF, 0xFFFFFFFF), "the record one lacks its 64-bit sizes"),
        (CENTRAL, 42, b"\x01\0\0\0", "overlaps|is not what the archive's directory says"),
        (CENTRAL, 42, b"\xf0\xff\xff\x7f", "truncated or damaged"),
        (CENTRAL, 46, b"two", "two records of the name two"),
        (CENTRAL, 46, b"six", "the record six is not what the archive's directory says"),
        (CENTRAL, 46, b"s\nx", r"the record s\\nx is not what the archive's directory says"),
        (CENTRAL, 28, b"\xff\x7f", "its directory is inconsistent"),
        (LOCAL, 0, b"XXXX", "the record one is not what"),
        (LOCAL, 8, b"\x08\x00", "the record one is not what"),
        (LOCAL, 28, b"\xff\xff", "the record two overlaps the one before it|reaches beyond"),
        (END, 8, b"\x03\0\x03\0", "directory is inconsistent|lies outside"),
        (END, 8, b"\x01\0\x01\0", "its directory is inconsistent"),
        (END, 16, b"\xff\xff\0\0", "its directory lies outside of it"),
        (END, 20, b"\x09\0", "its end record is inconsistent"),
        (END, 4, b"\x01\0", "its end record is inconsistent"),
        (END, 8, b"\xff\xff\xff\xff", "its 64-bit end record is missing"),
    ],
)
def test_inconsistent_archives(
    signature: bytes, offset: int, value: bytes, message: str, archive: Callable[..., Path]
) -> None:
    with pytest.raises(CheckpointError, match=message):
        contents(edit(archive(), signature, offset, value))


def test_two_records_of_one_name(tmp_path: Path) -> None:
    with warnings.catch_warnings(), zipfile.ZipFile(tmp_path / "a.zip", "w") as out:
        warnings.simplefilter("ignore")
        out.writestr("x/data.pkl", b"first")
        out.writestr("x/data.pkl", b"second")
    with pytest.raises(CheckpointError, match=r"has two records of the name x/data\.pkl"):
        contents(tmp_path / "a.zip")


def test_record_that_lies_about_its_inflated_size(archive: Callable[..., Path]) -> None:
    path = edit(edit(archive(zipfile.ZIP_DEFLATED), CENTRAL, 24, b"\x10\0\0\0"), LOCAL, 22, b"\x10\0\0\0")
    with pytest.raises(CheckpointError, match="the record one is damaged: it does not inflate to the 16 bytes"):
        contents(path)


def test_record_that_inflates_to_too_much(archive: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zips, "_MAX_INFLATED", -10_000)
    with pytest.raises(CheckpointError, match="the record one inflates to 100 bytes; save the file without"):
        contents(archive(zipfile.ZIP_DEFLATED))


def test_damaged_deflated_record(archive: Callable[..., Path]) -> None:
    path = archive(zipfile.ZIP_DEFLATED)
    with pytest.raises(CheckpointError, match="the record one is damaged"):
        contents(edit(path, b"one", 3, b"\xff\xff\xff"))


def test_archives_beyond_four_gigabytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # With the limit of the 32-bit fields lowered, small records are written as those beyond 4 GiB are.
    monkeypatch.setattr(zips, "_LIMIT", 100)
    values = {"small": np.arange(3, dtype=np.uint8), "large": np.arange(200, dtype=np.uint8)}
    with publishing(tmp_path / "a.zip", overwrite=False) as output:
        writer = ZipWriter(output)
        for name, value in values.items():
            writer.add_tensor(name, name, LazyTensor.of(value))
        writer.finish()
    assert contents(tmp_path / "a.zip") == {name: value.tobytes() for name, value in values.items()}
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.testzip() is None
        assert archive.read("large") == values["large"].tobytes()


def test_more_records_than_a_16_bit_count(tmp_path: Path) -> None:
    """Written by hand, since Python's own writer takes seconds for so many."""
    names = [b"%05d" % index for index in range(65_600)]
    local, central = struct.Struct("<4s5H3L2H"), struct.Struct("<4s6H3L5H2L")
    content = b"".join(local.pack(LOCAL, 20, 0, 0, 0, 0, 0, 0, 0, 5, 0) + name for name in names)
    directory = b"".join(
        central.pack(CENTRAL, 20, 20, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, index * (local.size + 5)) + name
        for index, name in enumerate(names)
    )
    end = len(content) + len(directory)
    sizes = (len(names), len(names), len(directory), len(content))
    end64 = struct.pack("<4sQ2H2L4Q4sLQL", b"PK\x06\x06", 44, 45, 45, 0, 0, *sizes, b"PK\x06\x07", 0, end, 1)
    last = struct.pack("<4s4H2LH", END, 0, 0, 0xFFFF, 0xFFFF, len(directory), len(content), 0)
    (tmp_path / "a.zip").write_bytes(content + directory + end64 + last)
    with Source.open(tmp_path / "a.zip") as source:
        assert list(read_zip(source)) == [name.decode() for name in names]
