"""Checkpoints written as shards: names, limits, and what is replaced."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from porting.checkpoint import open_checkpoint, write_checkpoint, write_sharded
from porting.checkpoint.file import shard_set
from porting.checkpoint.sharding import planned_shards, whole_target
from porting.checkpoint.sizes import nbytes_of
from porting.errors import CheckpointError, SizeError, TargetExistsError, UnknownNameError
from tests.porting.checkpoint.shards import NAMES, VALUES, Arrays, files, lazy


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


def test_failing_final_check_keeps_the_set_from_appearing(folder: Path) -> None:
    def check() -> None:
        raise CheckpointError("source.pth", "has been written to")

    with pytest.raises(CheckpointError, match=r"source\.pth: has been written to"):
        write_sharded(folder / "model.bin", lazy(VALUES), 100, check=check, made_from="source")
    assert files(folder) == []


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
