from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paddle_impl.training.saving import BEST, LATEST, Store, checkpoint_to_resume, epoch_name
from porting.checkpoint.formats.nested import Nested, Tree, arrays
from porting.checkpoint.tensor import LazyTensor
from recipe.errors import TrainingError


def _tree(value: float) -> dict[str, Tree]:
    return {"model": {"weight": LazyTensor.of(np.full(5, value))}}


def _value(path: Path) -> float:
    with Nested(path) as checkpoint:
        return float(arrays(checkpoint.tree["model"])["weight"][0])


def test_latest_best_and_kept_files_hold_their_own_checkpoints(tmp_path: Path) -> None:
    with Store(tmp_path / "run") as store:
        store.save(_tree(1), (epoch_name(2), BEST))
        store.save(_tree(2))
    values = {path.name: _value(path) for path in (tmp_path / "run").glob("*.pdparams")}
    assert values == {LATEST: 2, BEST: 1, "epoch_0002.pdparams": 1}


def test_failed_save_leaves_the_last_checkpoint(tmp_path: Path) -> None:
    def fails() -> Any:
        raise OSError("no memory")

    with Store(tmp_path) as store:
        store.save(_tree(1))
        broken = LazyTensor((5,), np.dtype("float64"), fails)
        with pytest.raises(OSError, match="no memory"):
            store.save({"model": {"first": LazyTensor.of(np.ones(1 << 20)), "weight": broken}})
        assert _value(tmp_path / LATEST) == 1
        assert not list(tmp_path.glob(".*.part"))


def test_file_system_without_links_gets_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", refuse)
    with Store(tmp_path) as store:
        store.save(_tree(1), (BEST,))
    assert (_value(tmp_path / BEST), _value(tmp_path / LATEST)) == (1, 1)
    assert (tmp_path / BEST).stat().st_ino != (tmp_path / LATEST).stat().st_ino


def test_checkpoint_is_flushed_before_it_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def flushed(descriptor: int) -> None:
        events.append("fsync")
        fsync(descriptor)

    def renamed(self: Path, target: Path) -> Path:
        events.append(Path(target).name)
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(Path, "replace", renamed)
    with Store(tmp_path) as store:
        store.save(_tree(1), (BEST,))
        store.save(_tree(2))
    assert events == ["fsync", BEST, "fsync", LATEST, "fsync", LATEST, "fsync"]


def test_drafts_of_a_killed_run_are_removed(tmp_path: Path) -> None:
    (tmp_path / f".{LATEST}.0123abcd.part").write_bytes(b"half")
    (tmp_path / "notes.part").write_bytes(b"mine")
    with Store(tmp_path):
        assert {path.name for path in tmp_path.iterdir()} == {".lock", "notes.part"}


def test_second_process_in_the_folder_is_refused(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom paddle_impl.training.saving import Store\n"
        "with Store(Path(sys.argv[1])): print('there', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-W", "ignore", "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "there\n"
        with pytest.raises(TrainingError, match=r"another run is writing there; set run\.output"), Store(tmp_path):
            pass
        other.kill()
    with Store(tmp_path):
        pass


def test_folder_that_cannot_be_created_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match=r"cannot be written .*; set run\.output"), Store(tmp_path / "file" / "run"):
        pass


def test_other_ranks_write_nothing(tmp_path: Path) -> None:
    with Store(tmp_path / "run", writes=False) as store:
        store.save(_tree(1))
    assert not (tmp_path / "run").exists()


def test_resume_finds_the_checkpoint_of_a_file_a_folder_or_auto(tmp_path: Path) -> None:
    output, other = tmp_path / "run", tmp_path / "other"
    assert checkpoint_to_resume(None, output) is None
    assert checkpoint_to_resume("auto", output) is None
    for folder in (output, other):
        with Store(folder) as store:
            store.save(_tree(1), (BEST,))
    assert checkpoint_to_resume("auto", output) == output / LATEST
    assert checkpoint_to_resume(other, output) == other / LATEST
    assert checkpoint_to_resume(str(other / BEST), output) == other / BEST


def test_new_run_in_the_folder_of_another_is_refused(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.save(_tree(1))
    with pytest.raises(
        TrainingError, match="holds a run, which a new one would overwrite; resume it, or choose another"
    ):
        checkpoint_to_resume(None, tmp_path)


def test_missing_checkpoint_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="there is no checkpoint to resume"):
        checkpoint_to_resume(tmp_path, tmp_path)


def test_fifo_in_place_of_a_checkpoint_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.pdparams")
    for name in ("fifo.pdparams", "fifo"):
        with pytest.raises(TrainingError, match=r"fifo\.pdparams: is no regular file, expected the state of a run"):
            checkpoint_to_resume(tmp_path / name, tmp_path / "run")
