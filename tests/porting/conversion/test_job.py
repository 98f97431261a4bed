"""A whole file's checksum is held against it before its port appears, without a second reading."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from porting.architectures import build
from porting.checkpoint import LazyTensor, Written, open_checkpoint, sharding, write_checkpoint
from porting.checkpoint.formats import mindspore
from porting.checkpoint.formats.mindspore import RunningChecksum
from porting.conversion import convert, write_random
from porting.errors import CheckpointError

DAMAGED = r"model\.ckpt: is damaged: its CRC-32 is [0-9a-f]{8}, the file says [0-9a-f]{8}; fetch or save it again"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "model.ckpt"
    write_random(build("pit_ti", image_size=32, num_classes=3), path)
    return path


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("suffix", ["pdparams", "pth", "safetensors", "npz", "ckpt"])
@pytest.mark.parametrize("place", [0.05, 0.5, 0.999])
def test_source_with_a_damaged_tensor_is_refused(place: float, suffix: str, source: Path, tmp_path: Path) -> None:
    flip(source, int(place * source.stat().st_size))
    with pytest.raises(CheckpointError, match=DAMAGED):
        convert(source, tmp_path / f"target.{suffix}")
    assert [path.name for path in tmp_path.iterdir()] == ["model.ckpt"]


def test_source_with_a_damaged_name_is_refused(source: Path, tmp_path: Path) -> None:
    """The model is not known any more, which is not what has to be told."""
    flip(source, source.read_bytes().index(b"cls_token"))
    with pytest.raises(CheckpointError, match=DAMAGED):
        convert(source, tmp_path / "target.pth")


def test_source_with_a_damaged_length_is_refused(source: Path, tmp_path: Path) -> None:
    flip(source, 1)
    with pytest.raises(CheckpointError, match=DAMAGED):
        convert(source, tmp_path / "target.pth")


def test_dry_run_of_a_damaged_source_is_refused(source: Path, tmp_path: Path) -> None:
    flip(source, source.stat().st_size // 2)
    with pytest.raises(CheckpointError, match=DAMAGED):
        convert(source, tmp_path / "target.pth", dry_run=True)


def test_large_tensors_are_not_read_twice(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, again = [0], RunningChecksum._read

    def counted(self: RunningChecksum, start: int, end: int) -> int:
        read[0] += end - start
        return again(self, start, end)

    monkeypatch.setattr(RunningChecksum, "_read", counted)
    report = convert(source, tmp_path / "target.pth")
    with open_checkpoint(source, check=False) as checkpoint:
        small = sum(tensor.nbytes for tensor in checkpoint.tensors.values() if tensor.nbytes < mindspore._LEAST)
    framing = source.stat().st_size - report.nbytes
    assert 0 < small < report.nbytes / 50
    assert read[0] == framing - len("crc_num") - 10 + small


def test_a_checkpoint_can_be_checked_at_any_time(source: Path) -> None:
    with open_checkpoint(source, check=False) as checkpoint:
        first, *_, last = checkpoint.tensors.values()
        last.load()
        checkpoint.check()
        first.load()
        checkpoint.check()
    flip(source, source.stat().st_size // 2)
    with open_checkpoint(source, check=False) as checkpoint, pytest.raises(CheckpointError, match=DAMAGED):
        checkpoint.check()


@pytest.mark.parametrize("check", [True, False])
def test_reading_after_a_check_keeps_its_result(check: bool, source: Path) -> None:
    with open_checkpoint(source, check=check) as checkpoint:
        for _ in range(3):
            checkpoint.check()
            with ThreadPoolExecutor(4) as pool:
                list(pool.map(total, checkpoint.tensors.values()))


def total(tensor: LazyTensor) -> float:
    return float(tensor.load().sum())


def test_check_while_tensors_are_read_passes(source: Path) -> None:
    for _ in range(20):
        with open_checkpoint(source, check=False) as checkpoint, ThreadPoolExecutor(4) as pool:
            read = [pool.submit(total, tensor) for tensor in checkpoint.tensors.values()]
            checkpoint.check()
            for future in read:
                future.result()
            checkpoint.check()


@pytest.mark.parametrize("suffix", ["pth", "ckpt"])
def test_source_that_changes_at_the_end_is_refused(suffix: str, tmp_path: Path) -> None:
    """After its last tensor was read, and before the target appears."""
    source = tmp_path / f"source.{suffix}"
    write_random(build("pit_ti", image_size=32, num_classes=3), source)
    os.utime(source, ns=(0, 0))
    counts = [convert(source, tmp_path / "target.pdparams").tensors]
    (tmp_path / "target.pdparams").unlink()

    def last(name: str, nbytes: int) -> None:
        counts[0] -= 1
        if not counts[0]:
            os.utime(source, ns=(1, 1))

    with pytest.raises(CheckpointError, match="has been written to while it was read"):
        convert(source, tmp_path / "target.pdparams", progress=last)
    assert [path.name for path in tmp_path.iterdir()] == [source.name]


def test_format_without_a_checksum_is_converted(tmp_path: Path) -> None:
    write_random(build("pit_ti", image_size=32), tmp_path / "a.pth")
    with open_checkpoint(tmp_path / "a.pth", check=False) as checkpoint:
        checkpoint.check()


def test_shards_go_on_only_with_the_same_source(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another file of the same names, shapes, size and time under the source's path is another source."""
    other = tmp_path / "other.ckpt"
    write_random(build("pit_ti", image_size=32, num_classes=3), other, seed=1)
    target = tmp_path / "model_state.pdparams"

    def end(path: Path, *arguments: Any, **options: Any) -> Written:
        if "-00003-" in path.name:
            raise CheckpointError(path, "the disk is full")
        return write_checkpoint(path, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(sharding, "write_checkpoint", end)
        with pytest.raises(CheckpointError, match="the disk is full"):
            convert(source, target, max_shard_size="2MB")
    status = source.stat()
    source.write_bytes(other.read_bytes())
    os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert source.stat().st_size == status.st_size
    report = convert(source, target, max_shard_size="2MB")
    assert report.kept == 0
    with open_checkpoint(report.target) as checkpoint, open_checkpoint(other) as expected:
        assert checkpoint.tensors["norm.weight"].load().tobytes() == expected.tensors["norm.gamma"].load().tobytes()


def test_damaged_source_leaves_no_shards(source: Path, tmp_path: Path) -> None:
    flip(source, source.stat().st_size // 2)
    with pytest.raises(CheckpointError, match=DAMAGED):
        convert(source, tmp_path / "model.bin", max_shard_size="2MB")
    assert [path.name for path in tmp_path.iterdir()] == ["model.ckpt"]
