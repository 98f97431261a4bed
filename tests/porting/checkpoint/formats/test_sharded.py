"""Checkpoints in several files, folders, and the files beside Paddle's parameters."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from porting.checkpoint import LazyTensor, open_checkpoint, write_checkpoint
from porting.errors import CheckpointError

VALUES = {f"module.{name}": np.full((2, 3), index, np.float32) for index, name in enumerate("abcd")}
SHARDS = {"first": ("module.a", "module.c"), "second": ("module.b", "module.d")}


@pytest.fixture(params=[".safetensors", ".bin"])
def index(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """The index of two shards, of safetensors and of torch."""
    for shard, names in SHARDS.items():
        tensors = {name: LazyTensor.of(VALUES[name]) for name in names}
        write_checkpoint(tmp_path / f"{shard}{request.param}", tensors)
    weight_map = {name: f"{shard}{request.param}" for shard, names in SHARDS.items() for name in names}
    path = tmp_path / f"model{request.param}.index.json"
    path.write_text(json.dumps({"metadata": {"total_size": 96}, "weight_map": dict(sorted(weight_map.items()))}))
    return path


def edited(index: Path, **changes: Any) -> Path:
    """The index with other shards for some tensors; None takes one out."""
    content = json.loads(index.read_text())
    weight_map = content["weight_map"] | {f"module.{name}": shard for name, shard in changes.items()}
    content["weight_map"] = {name: shard for name, shard in weight_map.items() if shard is not None}
    index.write_text(json.dumps(content))
    return index


def test_shards_are_one_checkpoint(index: Path) -> None:
    with open_checkpoint(index) as checkpoint:
        assert {name: tensor.load()[0, 0] for name, tensor in checkpoint.tensors.items()} == dict(
            zip("abcd", range(4), strict=True)
        )
        assert list(checkpoint.tensors) == list("abcd")
        assert checkpoint.envelope == ("2 shards", "module.")
        assert checkpoint.format == ("safetensors" if "safetensors" in index.name else "torch-zip")


def test_folder_with_an_index_is_read(index: Path) -> None:
    with open_checkpoint(index.parent) as checkpoint:
        assert checkpoint.envelope == (index.name, "2 shards", "module.")
        assert checkpoint.path == index


def test_missing_shard_is_named(index: Path) -> None:
    shard = next(path for path in index.parent.iterdir() if path.stem == "second")
    shard.unlink()
    with pytest.raises(CheckpointError, match=rf"its shard {shard.name} is missing; fetch it too") as caught:
        open_checkpoint(index)
    assert str(caught.value).startswith(f"{index}: ")


def test_index_that_differs_from_its_shards_names_every_tensor(index: Path) -> None:
    suffix = next(path.suffix for path in index.parent.iterdir() if path.stem == "first")
    edited(index, a=f"second{suffix}", b=None, e=f"first{suffix}")
    with pytest.raises(CheckpointError, match="does not agree with its shards in 4 tensors") as caught:
        open_checkpoint(index)
    assert caught.value.details == (
        f"module.a is not in second{suffix}",
        f"module.e is not in first{suffix}",
        f"module.b is in second{suffix}, which the index does not say",
        f"module.a is in first{suffix}, which the index does not say",
    )


@pytest.mark.parametrize(
    "shard",
    ["../first.bin", "/etc/passwd", "a/b.bin", "..", "", ".hidden", "~root", "a\\b", "C:x", "a\nb", "x" * 300, 3],
)
def test_shard_name_that_is_a_path_is_refused(index: Path, shard: object) -> None:
    with pytest.raises(CheckpointError, match=r"is an index that places tensors in .*, expected the name of a file"):
        open_checkpoint(edited(index, a=shard))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"weight_map": {}}', "is an index that has a weight_map of another form"),
        ('{"weight_map": [1]}', "is an index that has a weight_map of another form"),
        ('{"weight_map": {"a": "x.bin", "a": "y.bin"}}', "is an index that names a twice"),
        ('{"weight_map": {"a": "x.bin"}', "is JSON text, not a checkpoint"),
        ('{"model_type": "vit"}', "is JSON text, not a checkpoint"),
        ('{"a": ' + "[" * 100_000, "is JSON text, not a checkpoint"),
        (json.dumps({"weight_map": {str(n): f"{n}.bin" for n in range(1100)}}), "names 1100 shards, expected 1000"),
    ],
)
def test_json_that_is_no_valid_index_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "a.index.json").write_text(content)
    with pytest.raises(CheckpointError, match=message):
        open_checkpoint(tmp_path / "a.index.json")


def test_shards_of_two_formats(tmp_path: Path) -> None:
    one = LazyTensor.of(np.zeros(2, np.float32))
    write_checkpoint(tmp_path / "a.bin", {"a": one})
    write_checkpoint(tmp_path / "b.safetensors", {"b": one})
    index = tmp_path / "model.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "a.bin", "b": "b.safetensors"}}))
    with pytest.raises(CheckpointError, match="has shards of different formats: safetensors, torch-zip"):
        open_checkpoint(index)


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """A folder with small checkpoints of these names."""

    def make(*names: str) -> Path:
        for name in names:
            write_checkpoint(tmp_path / name, {"w": LazyTensor.of(np.zeros(2, np.float32))})
        return tmp_path

    return make


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["pit.pdparams"], "pit.pdparams"),
        (["model.safetensors", "pytorch_model.bin"], "model.safetensors"),
        (["pytorch_model.bin", "other.pth"], "pytorch_model.bin"),
        (["mp_rank_00_model_states.pt", "zero_pp_rank_0_mp_rank_00_optim_states.pt"], "mp_rank_00_model_states.pt"),
        (["epoch_3.pth", "optimizer.pt", "scheduler.pt", "rng_state_0.pth", "training_args.bin"], "epoch_3.pth"),
    ],
)
def test_the_checkpoint_of_a_folder(folder: Callable[..., Path], names: list[str], chosen: str) -> None:
    (folder(*names) / "config.json").write_text("{}")
    with open_checkpoint(folder()) as checkpoint:
        assert checkpoint.envelope == (chosen,)
        assert checkpoint.path == folder() / chosen


def test_folder_with_no_or_several_checkpoints_is_refused(folder: Callable[..., Path]) -> None:
    with pytest.raises(CheckpointError, match="is a folder, expected a checkpoint file; there is none in it"):
        open_checkpoint(folder())
    with pytest.raises(CheckpointError, match=r"is a folder, .*; there are a\.pth, b\.npz: name one"):
        open_checkpoint(folder("a.pth", "b.npz"))


@pytest.mark.parametrize("beside", ["pit-EMA.pdparams", "pit_ema.pdparams", "pit.ema.pdparams"])
def test_averages_beside_the_weights(folder: Callable[..., Path], beside: str) -> None:
    path = folder("pit.pdparams") / "pit.pdparams"
    (path.parent / beside).write_bytes(path.read_bytes())
    with open_checkpoint(path) as checkpoint:
        assert checkpoint.notes == (
            f"{beside} beside it: not read; it holds the average of these weights, give its path to read it",
        )
    with pytest.raises(CheckpointError, match=f"or give {beside} beside it"):
        open_checkpoint(path, weights="ema")
    with open_checkpoint(path.parent / beside) as checkpoint:
        assert checkpoint.notes == ()


def test_paddle_detection_keeps_the_average_in_its_pdparams(folder: Callable[..., Path]) -> None:
    path = folder("ppyoloe.pdparams") / "ppyoloe.pdparams"
    running = path.with_suffix(".pdema")
    running.write_bytes(path.read_bytes())
    with open_checkpoint(path) as checkpoint:
        assert checkpoint.weights == "ema"
        assert checkpoint.notes == (
            "ppyoloe.pdema beside it: not read; it holds the weights that this is the average of, give its path to "
            "read it",
        )
    with pytest.raises(CheckpointError, match=r"one average alone.* or give ppyoloe\.pdema beside it"):
        open_checkpoint(path, weights="model")
    with open_checkpoint(running) as checkpoint:
        assert checkpoint.notes[0].startswith("ppyoloe.pdparams beside it: not read; it holds the average")


def test_optimizer_file_points_to_the_weights(tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"is the state of an optimizer; the weights are .*: give .*pit\.pdparams"
    ):
        open_checkpoint(tmp_path / "pit.pdopt")
