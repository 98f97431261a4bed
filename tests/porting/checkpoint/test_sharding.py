"""Checkpoints written as shards: names, limits, what is replaced, and runs that end early and go on."""

from __future__ import annotations

import fcntl
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from porting.checkpoint import LazyTensor, Written, open_checkpoint, sharding, write_checkpoint, write_sharded
from porting.checkpoint.file import shard_set
from porting.checkpoint.sharding import planned_shards, whole_target
from porting.checkpoint.sizes import nbytes_of
from porting.errors import CheckpointError, SizeError, TargetExistsError, UnknownNameError

Arrays = Mapping[str, "np.ndarray[Any, Any]"]
NAMES = ("pytorch_model.bin", "model.pth", "model_state.pdparams", "model.safetensors")
VALUES = {f"layer.{index}.weight": np.full((index + 1, 8), index, np.float32) for index in range(5)}


def lazy(values: Arrays) -> dict[str, LazyTensor]:
    return {name: LazyTensor.of(value) for name, value in values.items()}


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "out"
    path.mkdir()
    return path


@pytest.mark.parametrize(
    ("text", "nbytes"),
    [
        ("5GB", 5_000_000_000),
        ("500MB", 500_000_000),
        ("1GiB", 2**30),
        ("1.5 KB", 1500),
        ("2tb", 2_000_000_000_000),
        ("64 kib", 65536),
        ("7B", 7),
        (12, 12),
    ],
)
def test_size_is_read(text: int | str, nbytes: int) -> None:
    assert nbytes_of(text) == nbytes


@pytest.mark.parametrize(
    "text",
    ["", "5", "GB", "five GB", "-5GB", "0GB", "0.1B", "5GBB", "1e3MB", "5 G B", "5,5GB", "\u0665GB", "inf GB", 0, -1],
)
def test_text_that_is_no_size_is_refused(text: int | str) -> None:
    with pytest.raises(SizeError, match=r"is no size; give a number above 0 with its unit: 5GB, 500MB or 1GiB"):
        nbytes_of(text)


@pytest.mark.parametrize("name", NAMES)
def test_shards_and_index_are_written_and_read(name: str, folder: Path, read: Any, same: Any) -> None:
    written = write_sharded(folder / name, lazy(VALUES), 100)
    stem, suffix = Path(name).stem, Path(name).suffix
    shards = [f"{stem}-0000{number}-of-00004{suffix}" for number in (1, 2, 3, 4)]
    assert [path.name for path in written.shards] == shards
    assert files(folder) == sorted([*shards, f"{name}.index.json"])
    assert written.path == folder / f"{name}.index.json"
    assert written.nbytes == sum(path.stat().st_size for path in written.shards)
    same(read(folder / f"{name}.index.json"), VALUES)
    same(read(folder), VALUES)


def test_digest_is_that_of_the_shards_one_after_the_other(folder: Path) -> None:
    import zlib

    written = write_sharded(folder / "m.safetensors", lazy(VALUES), 100)
    content = b"".join(path.read_bytes() for path in written.shards)
    assert written.digest == f"crc32:{zlib.crc32(content):08x}"


def test_index_has_the_form_of_transformers(folder: Path) -> None:
    write_sharded(
        folder / "model.safetensors", lazy({"b": VALUES["layer.0.weight"], "a": VALUES["layer.1.weight"]}), 64
    )
    assert (folder / "model.safetensors.index.json").read_text() == (
        '{\n  "metadata": {\n    "total_size": 96\n  },\n  "weight_map": {\n'
        '    "a": "model-00002-of-00002.safetensors",\n    "b": "model-00001-of-00002.safetensors"\n  }\n}\n'
    )


def test_index_and_file_name_are_the_same_target(folder: Path) -> None:
    assert whole_target(folder / "model.safetensors.index.json") == folder / "model.safetensors"
    assert write_sharded(folder / "model.safetensors.index.json", lazy(VALUES), 100).path.name.startswith("model.safe")


def test_tensor_larger_than_the_limit_has_a_shard_of_its_own() -> None:
    values: Arrays = {
        "a": np.zeros(1, np.int8),
        "large": np.zeros(9, np.int8),
        "b": np.zeros(2, np.int8),
        "c": np.zeros(2),
    }
    shards = planned_shards("m.bin", lazy(values), 4)
    assert [list(part) for part in shards.values()] == [["a"], ["large"], ["b"], ["c"]]


def test_shards_are_filled_up_to_the_limit() -> None:
    values = {name: np.zeros(2, np.int8) for name in "abcde"}
    assert [list(part) for part in planned_shards("m.bin", lazy(values), 4).values()] == [["a", "b"], ["c", "d"], ["e"]]


def test_tensors_without_elements_need_no_room() -> None:
    values: Arrays = {"a": np.zeros(4, np.int8), "empty": np.zeros((0, 3)), "b": np.zeros(1, np.int8)}
    assert [list(part) for part in planned_shards("m.bin", lazy(values), 4).values()] == [["a", "empty"], ["b"]]


def test_tensors_that_fit_into_one_file_are_that_file(folder: Path, read: Any, same: Any) -> None:
    written = write_sharded(folder / "model.safetensors", lazy(VALUES), "1MB")
    assert files(folder) == ["model.safetensors"]
    assert (written.path, written.shards) == (folder / "model.safetensors", ())
    same(read(folder), VALUES)


@pytest.mark.parametrize("name", ["a.ckpt", "a.npz", "a.ckpt.index.json"])
def test_format_without_shards_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"has no index of shards; leave out --max-shard-size, or write \.bin, "):
        write_sharded(tmp_path / name, lazy(VALUES), 100)
    assert files(tmp_path) == []


def test_folder_as_target_is_refused_with_the_usual_names(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"is a folder; name the file that .*model\.safetensors"):
        write_sharded(tmp_path, lazy(VALUES), 100)


def test_bad_targets_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownNameError):
        write_sharded(tmp_path / "model", lazy(VALUES), 100)
    with pytest.raises(CheckpointError, match="there is no folder"):
        write_sharded(tmp_path / "none" / "model.bin", lazy(VALUES), 100)
    with pytest.raises(CheckpointError, match="has a name that no index of shards may hold"):
        write_sharded(tmp_path / "a:b.bin", lazy(VALUES), 100)
    monkeypatch.setattr("porting.checkpoint.formats.sharded.MAX_SHARDS", 3)
    with pytest.raises(CheckpointError, match="would have 4 shards, 3 at most; give a larger --max-shard-size"):
        write_sharded(tmp_path / "model.bin", lazy(VALUES), 100)
    assert files(tmp_path) == []


def test_dtype_of_the_last_shard_is_refused_before_the_first_is_written(folder: Path) -> None:
    values = VALUES | {"last": np.zeros(9, np.complex128)}
    with pytest.raises(CheckpointError, match="last is complex128"):
        write_sharded(folder / "model.safetensors", lazy(values), 100)
    assert files(folder) == []


def test_full_disk_is_noticed_before_the_first_shard(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 100}))
    with pytest.raises(CheckpointError, match=r"takes 480 bytes more, and 100 are free on the disk"):
        write_sharded(folder / "model.bin", lazy(VALUES), 100)
    assert files(folder) == []


@pytest.mark.parametrize("there", ["model.bin", "model.bin.index.json", "model-00002-of-00009.bin"])
def test_part_of_an_older_set_is_replaced_only_with_overwrite(there: str, folder: Path, read: Any, same: Any) -> None:
    (folder / there).write_text("old")
    (folder / "model.bin.txt").write_text("kept")
    (folder / "other-00001-of-00002.bin").write_text("kept")
    with pytest.raises(TargetExistsError, match="already exists; use --force"):
        write_sharded(folder / "model.bin", lazy(VALUES), 100)
    assert files(folder) == sorted([there, "model.bin.txt", "other-00001-of-00002.bin"])
    write_sharded(folder / "model.bin", lazy(VALUES), 100, overwrite=True)
    assert len(files(folder)) == 4 + 1 + 2
    same(read(folder / "model.bin.index.json"), VALUES)


@pytest.mark.parametrize("limits", [(100, 200), (200, 100), (200, 10**6), (10**6, 200), (200, 200)])
def test_set_of_another_count_leaves_nothing_of_the_older_one(limits: Any, folder: Path, read: Any, same: Any) -> None:
    write_sharded(folder / "m.bin", lazy({name: value + 1 for name, value in VALUES.items()}), limits[0])
    write_sharded(folder / "m.bin", lazy(VALUES), limits[1], overwrite=True)
    count = len(planned_shards("m.bin", lazy(VALUES), limits[1]))
    assert len(files(folder)) == (count + 1 if count > 1 else 1)
    same(read(folder), VALUES)


def test_folder_of_shards_without_their_index_is_no_checkpoint(folder: Path) -> None:
    write_checkpoint(folder / "model-00001-of-00003.bin", lazy(VALUES))
    with pytest.raises(
        CheckpointError, match=r"holds shards of model\.bin.*without their index, model\.bin\.index\.json"
    ):
        open_checkpoint(folder)


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


def test_failing_final_check_keeps_the_set_from_appearing(folder: Path) -> None:
    def check() -> None:
        raise CheckpointError("source.pth", "has been written to")

    with pytest.raises(CheckpointError, match=r"source\.pth: has been written to"):
        write_sharded(folder / "model.bin", lazy(VALUES), 100, check=check, made_from="source")
    assert files(folder) == []


def test_progress_names_every_tensor_once(ended: Any, folder: Path) -> None:
    ended()
    names: list[str] = []
    again(folder, progress=lambda name, nbytes: names.append(name))
    assert sorted(names) == sorted(VALUES)


def test_many_shards_are_read_with_few_open_files_allowed(folder: Path) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    values = {str(index): np.zeros(1, np.int8) for index in range(300)}
    write_sharded(folder / "model.safetensors", lazy(values), "1B")
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        with open_checkpoint(folder) as checkpoint:
            assert checkpoint.envelope == ("model.safetensors.index.json", "300 shards")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_torch_reads_its_shards(folder: Path, torch: Any) -> None:
    written = write_sharded(folder / "pytorch_model.bin", lazy(VALUES), 100)
    weights: dict[str, Any] = {}
    for shard in written.shards:
        weights |= torch.load(shard, weights_only=True)
    assert all((weights[name].numpy() == value).all() for name, value in VALUES.items())


def test_paddle_reads_its_shards(folder: Path, paddle: Any) -> None:
    written = write_sharded(folder / "model_state.pdparams", lazy(VALUES), 100)
    index = json.loads(written.path.read_text())
    for name, value in VALUES.items():
        weights = paddle.load(str(folder / index["weight_map"][name]))
        assert (weights[name].numpy() == value).all()


def test_safetensors_reads_its_shards(folder: Path) -> None:
    numpy = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed")
    written = write_sharded(folder / "model.safetensors", lazy(VALUES), 100, metadata={"format": "pt"})
    weights = {name: value for shard in written.shards for name, value in numpy.load_file(shard).items()}
    assert all((weights[name] == value).all() for name, value in VALUES.items())


def test_hidden_folder_is_named_after_the_target() -> None:
    assert shard_set.Unfinished(Path("out/model.bin"), None).path == Path("out/.model.bin.unfinished")
