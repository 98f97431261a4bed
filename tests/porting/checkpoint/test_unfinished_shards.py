"""Checkpoints in shards whose run ends early: what is left, and how the next run goes on."""

from __future__ import annotations

import fcntl
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from porting.checkpoint import LazyTensor, Written, open_checkpoint, sharding, write_sharded
from porting.errors import CheckpointError
from tests.porting.checkpoint.shards import VALUES, Arrays, files, lazy


class EndedError(Exception):
    """The end of a run."""


@pytest.fixture
def ended(folder: Path) -> Callable[..., list[str]]:
    """Write a set, end the run when a tensor is loaded, and return what is left."""

    def run(at: int = 3, error: type[BaseException] = EndedError, **options: Any) -> list[str]:
        def fail() -> Any:
            raise error

        tensors = lazy(VALUES)
        name = f"layer.{at}.weight"
        tensors[name] = LazyTensor(tensors[name].shape, tensors[name].dtype, fail)
        with pytest.raises(error):
            write_sharded(folder / "model.bin", tensors, 100, **{"made_from": "source", **options})
        return files(folder)

    return run


def again(folder: Path, values: Arrays = VALUES, limit: int = 100, **options: Any) -> tuple[Written, list[str]]:
    """Write the set; return the names of the tensors that were loaded, too."""
    loaded: list[str] = []

    def load(name: str) -> Any:
        loaded.append(name)
        return values[name]

    tensors = {name: LazyTensor(value.shape, value.dtype, partial(load, name)) for name, value in values.items()}
    return write_sharded(folder / "model.bin", tensors, limit, **{"made_from": "source", **options}), loaded


def test_run_that_ended_leaves_no_checkpoint(ended: Any, folder: Path) -> None:
    assert ended() == [".model.bin.unfinished"]
    assert files(folder / ".model.bin.unfinished") == [
        "journal.jsonl",
        "model-00001-of-00004.bin",
        "model-00002-of-00004.bin",
    ]
    with pytest.raises(CheckpointError, match="there is none in it"):
        open_checkpoint(folder)


@pytest.mark.parametrize("error", [EndedError, KeyboardInterrupt, MemoryError])
def test_next_run_goes_on_with_complete_shards(ended: Any, folder: Path, read: Any, same: Any, error: Any) -> None:
    ended(error=error)
    written, loaded = again(folder)
    assert (written.kept, len(written.shards)) == (2, 4)
    assert loaded == ["layer.3.weight", "layer.4.weight"]
    assert len(files(folder)) == 5
    same(read(folder), VALUES)
    whole = write_sharded(folder / "whole.bin", lazy(VALUES), 100)
    assert whole.digest == written.digest


_KILLED = """
import os, signal, sys
import numpy as np
from porting.checkpoint import LazyTensor, write_sharded
def kill(name, nbytes):
    if name == "layer.3.weight":
        os.kill(os.getpid(), signal.SIGKILL)
values = {f"layer.{index}.weight": np.full((index + 1, 8), index, np.float32) for index in range(5)}
tensors = {name: LazyTensor.of(value) for name, value in values.items()}
write_sharded(sys.argv[1], tensors, 100, made_from="source", progress=kill)
"""


def test_next_run_goes_on_after_one_that_was_killed(folder: Path, read: Any, same: Any) -> None:
    killed = subprocess.run([sys.executable, "-c", _KILLED, str(folder / "model.bin")], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(files(folder / ".model.bin.unfinished")) == 4  # a draft, two shards, the journal
    written, loaded = again(folder)
    assert (written.kept, loaded) == (2, ["layer.3.weight", "layer.4.weight"])
    assert len(files(folder)) == 5
    same(read(folder), VALUES)


def test_error_says_that_shards_are_kept(folder: Path) -> None:
    tensors = lazy(VALUES)
    tensors["layer.4.weight"] = LazyTensor((5, 8), np.dtype("f4"), lambda: np.zeros(3, np.float32))
    with pytest.raises(CheckpointError) as caught:
        write_sharded(folder / "model.bin", tensors, 100, made_from="source")
    assert "3 complete shards are kept in" in caught.value.details[-1]


@pytest.mark.parametrize(
    "options", [{"made_from": "another"}, {"made_from": None}, {"metadata": {"a": "b"}}, {"limit": 200}]
)
def test_shards_of_another_conversion_are_not_used(
    ended: Any, folder: Path, options: Any, read: Any, same: Any
) -> None:
    ended()
    values = {name: value + 1 for name, value in VALUES.items()}
    written, loaded = again(folder, values, **options)
    assert (written.kept, len(loaded)) == (0, 5)
    same(read(folder), values)
    assert ".model.bin.unfinished" not in files(folder)


def test_interrupt_says_that_shards_are_kept(ended: Any, folder: Path) -> None:
    tensors = lazy(VALUES)

    def interrupt(name: str, nbytes: int) -> None:
        if name == "layer.4.weight":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match=r"3 complete shards are kept in .*: the same command goes on"):
        write_sharded(folder / "model.bin", tensors, 100, made_from="source", progress=interrupt)


def test_run_that_cannot_go_on_later_leaves_nothing(ended: Any) -> None:
    assert ended(made_from=None) == []
    assert ended(at=0) == []


@pytest.mark.parametrize("damage", ["flip", "cut", "remove", "append"])
def test_damaged_shard_is_written_again(ended: Any, folder: Path, damage: str, read: Any, same: Any) -> None:
    ended()
    shard = folder / ".model.bin.unfinished" / "model-00001-of-00004.bin"
    content = bytearray(shard.read_bytes())
    content[-40] ^= 1
    changed = {"flip": bytes(content), "cut": shard.read_bytes()[:-1], "append": shard.read_bytes() + b"x"}
    shard.unlink()
    if damage != "remove":
        shard.write_bytes(changed[damage])
    written, loaded = again(folder)
    assert written.kept == 1
    assert loaded[:2] == ["layer.0.weight", "layer.1.weight"]
    same(read(folder), VALUES)


@pytest.mark.parametrize("journal", [b"", b"{", b"[]\n", b"null\n", b"\xff\xfe\n", b'{"made_from": 3}\n'])
def test_journal_that_makes_no_sense_is_started_afresh(ended: Any, folder: Path, journal: bytes) -> None:
    ended()
    (folder / ".model.bin.unfinished" / "journal.jsonl").write_bytes(journal)
    assert again(folder)[0].kept == 0


def test_last_line_of_a_journal_that_was_cut_off_is_left_out(ended: Any, folder: Path) -> None:
    ended()
    journal = folder / ".model.bin.unfinished" / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-3])
    assert again(folder)[0].kept == 1


@pytest.mark.parametrize("published", [0, 1, 4])
def test_run_that_ended_while_shards_got_their_names(
    folder: Path, published: int, monkeypatch: pytest.MonkeyPatch, read: Any, same: Any
) -> None:
    write_sharded(folder / "model.bin", lazy({name: value + 1 for name, value in VALUES.items()}), 200)
    moved: list[Path] = []
    replace = Path.replace

    def end(path: Path, target: Path) -> Path:
        if "-of-" in path.name and path.parent.name.startswith(".model.bin.unf") and not path.name.endswith(".part"):
            if len(moved) == published:
                raise EndedError
            moved.append(path)
        return replace(path, target)

    def refuse(*_: object, **__: object) -> Any:
        raise EndedError

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", end)
        if published == 4:
            patch.setattr(sharding, "publishing", refuse)
        with pytest.raises(EndedError):
            again(folder, overwrite=True)
    with pytest.raises(CheckpointError, match="without their index" if published else "there is none in it"):
        open_checkpoint(folder)
    written, loaded = again(folder)
    assert (written.kept, loaded) == (4, [])
    assert len(files(folder)) == 5
    same(read(folder), VALUES)


def test_two_runs_at_the_same_time_are_refused(ended: Any, folder: Path) -> None:
    ended()
    with (folder / ".model.bin.unfinished" / "journal.jsonl").open() as journal:
        fcntl.flock(journal, fcntl.LOCK_EX)
        with pytest.raises(CheckpointError, match="is being written by another process"):
            again(folder)
    assert again(folder)[0].kept == 2


@pytest.mark.parametrize("kind", ["link", "file", "foreign"])
def test_hidden_folder_that_is_something_else_is_left_alone(folder: Path, kind: str, tmp_path: Path) -> None:
    hidden, other = folder / ".model.bin.unfinished", tmp_path / "precious"
    other.mkdir()
    (other / "journal.jsonl").write_text("dear diary")
    if kind == "link":
        hidden.symlink_to(other)
    elif kind == "file":
        hidden.write_text("x")
    else:
        hidden.mkdir()
        (hidden / "precious").write_text("x")
    with pytest.raises(CheckpointError, match="is where shards are written first, and is something else; move it away"):
        again(folder)
    assert files(other) == ["journal.jsonl"]
    assert kind != "foreign" or files(hidden) == ["precious"]


def test_progress_names_every_tensor_once(ended: Any, folder: Path) -> None:
    ended()
    names: list[str] = []
    again(folder, progress=lambda name, nbytes: names.append(name))
    assert sorted(names) == sorted(VALUES)
