"""Room on the disk is asked for before the first byte, and only an answer that there is none ends the work."""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

import numpy as np
import pytest

from porting.checkpoint import write_checkpoint
from porting.checkpoint.file import target as targets
from porting.checkpoint.file.target import reserve
from porting.checkpoint.tensor import LazyTensor
from porting.errors import CheckpointError

TENSORS = {"w": LazyTensor.of(np.ones((500, 700), np.float32))}


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> list[tuple[int, ...]]:
    """A system that answers every call with an error; what it was asked."""
    calls: list[tuple[int, ...]] = []

    def call(*arguments: int) -> int:
        calls.append(arguments)
        ctypes.set_errno(request.param)
        return -1

    monkeypatch.setattr(targets, "_fallocate", lambda: call)
    return calls


@pytest.mark.parametrize(
    ("refusing", "message"),
    [
        (errno.ENOSPC, "the disk is full; free some space"),
        (errno.EDQUOT, "quota"),
        (errno.EFBIG, "larger than its file system"),
    ],
    indirect=["refusing"],
)
def test_full_disk_is_found_before_the_first_byte(
    refusing: list[tuple[int, ...]], message: str, tmp_path: Path
) -> None:
    target = tmp_path / "a.pdparams"
    target.write_bytes(b"old")
    with pytest.raises(CheckpointError, match=rf"a\.pdparams: cannot be written: .*{message}.* is untouched"):
        write_checkpoint(target, TENSORS, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["a.pdparams"]
    assert target.read_bytes() == b"old"
    assert refusing[0][3] == 500 * 700 * 4


@pytest.mark.parametrize("refusing", [errno.EOPNOTSUPP, errno.ENOSYS, errno.EINTR, errno.EIO], indirect=True)
def test_system_that_cannot_reserve_room_still_writes(refusing: list[tuple[int, ...]], tmp_path: Path) -> None:
    assert write_checkpoint(tmp_path / "a.pth", TENSORS).nbytes == (tmp_path / "a.pth").stat().st_size
    assert refusing


def test_system_without_fallocate_still_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "_fallocate", lambda: None)
    assert write_checkpoint(tmp_path / "a.pth", TENSORS).nbytes == (tmp_path / "a.pth").stat().st_size


def test_reserving_does_not_change_the_size(tmp_path: Path) -> None:
    """Whether it can or not, the file has no byte more than was written."""
    with (tmp_path / "a").open("wb") as file:
        reserve(file.fileno(), 1 << 20)
        reserve(file.fileno(), 0)
        assert os.fstat(file.fileno()).st_size == 0
        file.write(b"abc")
    assert (tmp_path / "a").read_bytes() == b"abc"


@pytest.mark.parametrize("nbytes", [2**62, 2**64])
def test_size_beyond_the_disk_is_refused_where_nothing_can_be_reserved(
    nbytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(targets, "_fallocate", lambda: None)
    with (tmp_path / "a").open("wb") as file, pytest.raises(OSError, match=r".") as error:
        reserve(file.fileno(), nbytes)
    assert error.value.errno == errno.ENOSPC


@pytest.mark.parametrize("nbytes", [2**62, 2**64])
def test_size_beyond_every_disk_is_refused_at_once(nbytes: int, tmp_path: Path) -> None:
    with (tmp_path / "a").open("wb") as file, pytest.raises(OSError, match=r"."):
        reserve(file.fileno(), nbytes)
