"""A target appears complete, checked and all at once, or not at all."""

from __future__ import annotations

import os
import resource
import signal
import stat
import subprocess
import sys
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from porting.checkpoint import LazyTensor, write_checkpoint
from porting.checkpoint.file import strips, writer
from porting.checkpoint.file.copying import BLOCK
from porting.errors import CheckpointError, TargetExistsError

TENSORS = {f"w{index}": LazyTensor.of(np.full((500, 700), index, np.float32)) for index in range(6)}


def test_written_file(target: Path) -> None:
    written = write_checkpoint(target, TENSORS)
    import zlib

    assert (written.path, written.format, written.nbytes) == (target, "pdparams", target.stat().st_size)
    assert written.digest == f"crc32:{zlib.crc32(target.read_bytes()):08x}"


def test_failing_final_check_keeps_the_file_from_appearing(target: Path) -> None:
    def check() -> None:
        (draft,) = target.parent.glob(".a.pdparams.*.part")
        assert draft.stat().st_size > 8_000_000
        raise CheckpointError("source.pth", "has been written to")

    with pytest.raises(CheckpointError, match=r"source\.pth: has been written to"):
        write_checkpoint(target, TENSORS, check=check)


def test_existing_target_is_replaced_only_with_overwrite(target: Path) -> None:
    target.write_bytes(b"old")
    with pytest.raises(TargetExistsError, match=r"a\.pdparams: already exists; use --force to replace it"):
        write_checkpoint(target, TENSORS)
    assert target.read_bytes() == b"old"
    write_checkpoint(target, TENSORS, overwrite=True)
    assert target.stat().st_size > 1000


def test_target_that_appears_in_the_meantime(target: Path) -> None:
    def create(name: str, nbytes: int) -> None:
        target.write_bytes(b"someone else's")

    with pytest.raises(TargetExistsError, match="has just been created by someone else; use --force"):
        write_checkpoint(target, TENSORS, progress=create)
    assert target.read_bytes() == b"someone else's"


def test_file_system_without_links(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    write_checkpoint(target, TENSORS)
    assert target.stat().st_size > 1000
    with pytest.raises(TargetExistsError):
        write_checkpoint(target, TENSORS, progress=lambda *_: None)


def test_permissions(target: Path) -> None:
    before = os.umask(0o027)
    try:
        write_checkpoint(target, TENSORS)
        assert stat.S_IMODE(target.stat().st_mode) == 0o640
        target.chmod(0o604)
        write_checkpoint(target, TENSORS, overwrite=True)
        assert stat.S_IMODE(target.stat().st_mode) == 0o604
    finally:
        os.umask(before)


@pytest.mark.parametrize("overwrite", [True, False])
def test_target_that_is_no_regular_file_is_refused(overwrite: bool, target: Path) -> None:
    odd: Mapping[str, tuple[Callable[[], object], str]] = {
        "folder": (target.mkdir, "is a folder, which is never replaced; name a file"),
        "link": (lambda: target.symlink_to(target.with_name("kept")), "is a link, which is never replaced"),
        "pipe": (lambda: os.mkfifo(target), "is no regular file, which is never replaced"),
    }
    for make, message in odd.values():
        make()
        with pytest.raises(CheckpointError, match=message):
            write_checkpoint(target, TENSORS, overwrite=overwrite)
        target.rmdir() if target.is_dir() else target.unlink()


def test_missing_folder(target: Path) -> None:
    with pytest.raises(CheckpointError, match=r"there is no folder .*/missing; create it first \(mkdir -p\)"):
        write_checkpoint(target.parent / "missing" / "a.pth", TENSORS)
    target.with_name("kept").write_bytes(b"")
    with pytest.raises(CheckpointError, match="kept is no folder"):
        write_checkpoint(target.with_name("kept") / "a.pth", TENSORS)


def test_name_that_is_too_long(target: Path) -> None:
    with pytest.raises(CheckpointError, match="the name is too long"):
        write_checkpoint(target.with_name("x" * 300 + ".pth"), TENSORS)


@pytest.mark.parametrize("existing", [True, False])
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, SystemExit])
def test_interrupt_leaves_the_target_untouched(existing: bool, error: type[BaseException], target: Path) -> None:
    if existing:
        target.write_bytes(b"old")

    def interrupt(name: str, nbytes: int) -> None:
        if name == "w3":
            raise error

    with pytest.raises(error):
        write_checkpoint(target, TENSORS, overwrite=True, progress=interrupt)
    assert not existing or target.read_bytes() == b"old"
    assert target.exists() == existing


def failing(monkeypatch: pytest.MonkeyPatch, number: int, after: int = 3) -> None:
    """Lets the system refuse writes after the first few."""
    real, done = os.pwrite, [0]

    def write(descriptor: int, data: Any, offset: int) -> int:
        done[0] += 1
        if done[0] > after:
            raise OSError(number, os.strerror(number))
        return real(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", write)


@pytest.mark.parametrize(
    ("number", "message"), [(28, "the disk is full; free some space"), (122, "quota"), (5, "I/O|Input")]
)
def test_write_errors(number: int, message: str, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target.write_bytes(b"old")
    failing(monkeypatch, number)
    with pytest.raises(CheckpointError, match=rf"a\.pdparams: cannot be written: .*{message}.* is untouched"):
        write_checkpoint(target, TENSORS, overwrite=True)
    assert target.read_bytes() == b"old"


def test_short_writes_are_continued(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda descriptor, data, offset: real(descriptor, data[:100_001], offset))
    expected = write_checkpoint(target, TENSORS)
    assert expected.nbytes == target.stat().st_size


@pytest.mark.parametrize(("large", "what"), [(True, r"w\d"), (False, "small tensors and framing")])
def test_read_back_that_differs_is_refused(
    large: bool, what: str, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, done = os.pwrite, [0]

    def write(descriptor: int, data: Any, offset: int) -> int:
        done[0] += (len(data) > 100_000) == large
        if done[0] == 4:
            data = bytearray(data)
            data[5] ^= 1
        return real(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", write)
    with pytest.raises(
        CheckpointError, match=rf"read back differs from what was written, in {what} .*write to another"
    ):
        write_checkpoint(target, TENSORS)
    assert not target.exists()


def test_draft_that_another_process_appends_to_is_refused(target: Path) -> None:
    def append(name: str, nbytes: int) -> None:
        if name == "w5":
            (draft,) = target.parent.glob(".a.pdparams.*.part")
            with draft.open("ab") as file:
                file.write(b"\0" * 10_000_000)

    with pytest.raises(CheckpointError, match=r"does not have the|differs from"):
        write_checkpoint(target, TENSORS, progress=append)


def test_drafts_are_hidden_beside_the_target(target: Path) -> None:
    seen: list[str] = []
    write_checkpoint(target, TENSORS, progress=lambda *_: seen.extend(path.name for path in target.parent.iterdir()))
    assert len(set(seen)) == 1
    assert seen[0].startswith(".a.pdparams.")
    assert seen[0].endswith(".part")


SCRIPT = """
import signal, sys, time
import numpy as np
from porting.checkpoint import LazyTensor, write_checkpoint
from porting.errors import CheckpointError
signal.signal(signal.SIGINT, signal.default_int_handler)  # a process started in the background ignores it
def slow(name, nbytes):
    print(name, flush=True)
    time.sleep(0.05)
tensors = {f"w{i}": LazyTensor.of(np.zeros((500, 1000), np.float32)) for i in range(400)}
try:
    write_checkpoint(sys.argv[1], tensors, overwrite=True, progress=slow)
except CheckpointError as error:
    sys.exit(f"ERROR {error}")
except KeyboardInterrupt:
    sys.exit(130)
"""


def script(target: Path, **options: Any) -> subprocess.Popen[str]:
    root = Path(writer.__file__).parents[2]
    command = [sys.executable, "-c", SCRIPT, str(target)]
    return subprocess.Popen(command, cwd=root, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


def test_control_c_in_the_middle(target: Path) -> None:
    target.write_bytes(b"old")
    with script(target) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("w3"):
                process.send_signal(signal.SIGINT)
                break
        process.communicate(timeout=60)
    assert process.returncode == 130
    assert target.read_bytes() == b"old"


def test_file_size_limit(target: Path) -> None:
    limit = 5_000_000
    process = script(target, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert errors.startswith(f"ERROR {target}: cannot be written: the file is larger than its file system, or ulimit")


def test_full_disk(tmp_path: Path) -> None:
    if (
        os.geteuid() != 0
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "none", tmp_path], check=False).returncode
    ):
        pytest.skip("a small file system cannot be mounted here (needs root)")
    try:
        with pytest.raises(CheckpointError, match="the disk is full"):
            write_checkpoint(tmp_path / "a.pth", TENSORS)
        assert not list(tmp_path.iterdir())
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_folder_without_write_permission_is_named(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(CheckpointError, match="cannot be written: the folder may not be written"):
        write_checkpoint(target, TENSORS)


def test_error_of_a_source_names_the_source(target: Path) -> None:
    def load() -> Any:
        raise CheckpointError("source.pth", "is damaged")

    with pytest.raises(CheckpointError, match=r"source\.pth: is damaged"):
        write_checkpoint(target, {"w": LazyTensor((1,), np.dtype("f4"), load)})
    assert not target.exists()


@pytest.mark.parametrize("length", [0, 5, 3 * BLOCK + 1])
def test_late_bytes_see_the_checksums_of_all_before(length: int, tmp_path: Path) -> None:
    data = np.arange(1_000_000, dtype=np.float32)
    checksums = [strips.Checksum() for _ in range(2)]
    seen: list[int] = []

    def content() -> bytes:
        seen[:] = [out.crc, *(checksum.value for checksum in checksums)]
        return bytes(length)

    with writer.publishing(tmp_path / "a", overwrite=False) as out:
        out.write(b"head")
        for checksum in checksums:
            out.write_tensor("w", LazyTensor.of(data), checksum)
        out.write_late(length, content)
        out.write(b"tail")
    expected = b"head" + data.tobytes() * 2 + bytes(length) + b"tail"
    assert (tmp_path / "a").read_bytes() == expected
    assert out.crc == zlib.crc32(expected)
    if length:
        assert seen[1:] == [zlib.crc32(data.tobytes())] * 2
    if 0 < length < BLOCK:
        assert seen[0] == zlib.crc32(b"head" + data.tobytes() * 2)


def test_late_bytes_of_another_length_are_refused(target: Path) -> None:
    with (
        pytest.raises(AssertionError, match="3 late bytes, 5 were announced"),
        writer.publishing(target, overwrite=False) as out,
    ):
        out.write_late(5, lambda: b"abc")
    assert not target.exists()


def test_small_tensors_have_their_checksum_at_once(target: Path) -> None:
    checksum = strips.Checksum()
    known = [checksum.known]
    with writer.publishing(target, overwrite=False) as out:
        out.write_tensor("w", LazyTensor.of(np.arange(3.0)), checksum)
        known.append(checksum.known)
    assert known == [False, True]
    assert checksum.value == zlib.crc32(np.arange(3.0).tobytes())
