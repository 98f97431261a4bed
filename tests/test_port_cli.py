"""`pit-port plan`, `verify` and changes to the model, as their users run them."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import cli
from porting.architectures import build
from porting.checkpoint import open_checkpoint, write_checkpoint
from porting.checkpoint.tensor import LazyTensor
from porting.conversion import write_random

SMALL = build("pit_ti", image_size=48, num_classes=7)


def pit_port(*words: str | Path) -> Result:
    return CliRunner().invoke(cli.pit_port, [str(word) for word in words], prog_name="pit-port")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "pit_ti.pth"
    write_random(SMALL, path)
    return path


def test_plan_is_printed_as_a_table(source: Path) -> None:
    done = pit_port("plan", source, "--to", "paddlevit")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert max(map(len, lines[:-1])) <= 80  # the last line is a command with paths
    assert lines[2].split() == ["target", "<-", "source:", "operations", "tensors"]
    name = "transformers.1.blocks.{0..5}.attn.proj.weight"
    assert [line.split() for line in lines[lines.index(f"{name:<79}6") :][:2]] == [
        [name, "6"],
        ["<-", f"{name}:", "transpose"],
    ]
    wide = CliRunner().invoke(
        cli.pit_port, ["plan", str(source), "--to", "paddlevit"], prog_name="pit-port", env={"COLUMNS": "200"}
    )
    rows = [line.split() for line in wide.stdout.splitlines()]
    assert rows[1] == ["target", "source", "tensors", "operations"]
    assert [name, name, "6", "transpose"] in rows
    timm = pit_port("plan", source, "--to", "timm").stdout
    assert "transformers.{1..2}.pool.fc.weight" in timm
    assert "pools.{0..1}.fc.weight" in timm


def test_plan_as_json_names_every_tensor(source: Path) -> None:
    plan = json.loads(pit_port("plan", source, "--to", "timm", "--num-classes", "3", "--json").stdout)
    by_target = {row["target"]: row for row in plan if row["target"]}
    assert len(by_target) == 160
    assert by_target["transformers.1.pool.fc.bias"]["sources"] == ["pools.0.fc.bias"]
    assert by_target["head.weight"]["shape"] == [3, 256]
    assert by_target["head.weight"]["sources"] == []
    assert [row["sources"] for row in plan if row["target"] is None] == [["head.weight"], ["head.bias"]]


def test_changes_to_the_model_are_reported(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "large.pdparams"
    done = pit_port("convert", source, target, "--image-size", "64", "--num-classes", "3")
    assert done.exit_code == 0, done.output
    assert "pit_ti at 64x64, 3 classes, from pit_ti at 48x48, 7 classes" in done.stdout
    assert "pos_embed: resize to 7x7, bicubic" in done.stdout
    with open_checkpoint(target) as checkpoint:
        assert checkpoint.tensors["pos_embed"].shape == (1, 64, 7, 7)
        assert checkpoint.tensors["head.weight"].shape == (256, 3)
    impossible = pit_port("convert", source, tmp_path / "new.pth", "--image-size", "8")
    assert impossible.exit_code == 2
    assert "smaller than the patch size 16" in impossible.stderr
    assert not (tmp_path / "new.pth").exists()


def test_verify_passes_a_correct_port_and_fails_a_broken_one(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    target = tmp_path / "pit_ti.pdparams"
    done = pit_port("convert", source, target, "--verify")
    assert done.exit_code == 0, done.output
    assert f"verified: {target} (in paddle), a port of {source} (in torch)" in done.stdout
    assert "same function: float64 agrees in all 4 quantities" in done.stdout
    with open_checkpoint(target) as checkpoint:
        arrays = {name: np.array(tensor.load()) for name, tensor in checkpoint.tensors.items()}
    arrays["transformers.0.blocks.0.attn.proj.weight"] = arrays["transformers.0.blocks.0.attn.proj.weight"].T.copy()
    write_checkpoint(target, {name: LazyTensor.of(array) for name, array in arrays.items()}, overwrite=True)
    broken = pit_port("verify", source, target, "--json")
    assert broken.exit_code == 1
    result = json.loads(broken.stdout)
    assert (result["passed"], result["verdict"]) == (False, "divergence")
    assert [tensor["name"] for tensor in result["tensors"]["different"]] == ["transformers.0.blocks.0.attn.proj.weight"]
    assert result["forward"]["forward/logits (float64)"]["verdict"] == "divergence"


def test_port_within_torch_is_verified_in_torch(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "pit_ti.safetensors"
    assert pit_port("convert", source, target, "--to", "timm").exit_code == 0
    done = pit_port("verify", source, target, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert f"verified: {target} (in torch)" in done.stdout


def test_convert_with_verify_prints_one_json_document(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = pit_port("convert", source, tmp_path / "b.safetensors", "--verify", "--json")
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert (result["tensors"], result["verification"]["passed"]) == (160, True)


def test_verify_refuses_a_file_that_its_framework_does_not_load(source: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.pdparams"
    assert pit_port("convert", source, wrong, "--to", "canonical").exit_code == 0
    assert "same" in pit_port("diff", source, wrong).stdout
    done = pit_port("verify", source, wrong)
    assert (done.exit_code, done.stdout) == (3, "")
    assert "holds pit_ti in layout canonical, which no paddle model loads as it is; expected paddlevit" in done.stderr


def test_framework_of_a_safetensors_file_follows_from_its_layout(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "pit_ti.npz"
    assert pit_port("convert", source, target, "--to", "paddlevit").exit_code == 0
    done = pit_port("verify", source, target, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert f"verified: {target} (in paddle)" in done.stdout


def test_verify_refuses_changes_to_the_model(source: Path, tmp_path: Path) -> None:
    refused = pit_port("convert", source, tmp_path / "new.pdparams", "--verify", "--num-classes", "3")
    assert refused.exit_code == 2
    assert "--verify proves equal weights" in refused.stderr
    mistaken = pit_port("convert", source, tmp_path / "new.pdparams", "--verify", "--from", "mindcv-attributes")
    assert mistaken.exit_code == 2
    assert "no model loads layout mindcv-attributes" in mistaken.stderr
    assert not (tmp_path / "new.pdparams").exists()
    other = tmp_path / "other.pth"
    write_random(build("pit_xs", image_size=48, num_classes=7), other)
    done = pit_port("verify", source, other)
    assert done.exit_code == 3
    assert "not a port of it" in done.stderr


@pytest.fixture
def training(source: Path, tmp_path: Path) -> Path:
    """What a run of PaddleViT leaves: weights, their average, which differs, and the optimizer's state."""
    with open_checkpoint(source) as checkpoint:
        model = {name: np.array(tensor.load()) for name, tensor in checkpoint.tensors.items()}
    averages = {name: (name, array * np.float32(0.5)) for name, array in model.items()}
    saved = {"model": model, "model_ema": averages, "optimizer": {"moment": np.zeros(3)}, "epoch": 3}
    path = tmp_path / "training.pdparams"
    path.write_bytes(pickle.dumps(saved, 4))
    return path


def test_weights_option_selects_model_or_average_of_a_training_checkpoint(
    source: Path, training: Path, tmp_path: Path
) -> None:
    target = tmp_path / "model.pth"
    done = pit_port("convert", training, target, "--weights", "model", "--json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert (report["weights"], report["envelope"]) == ("model", ["model"])
    assert report["notes"][0] == "model_ema: left out, model was read instead; --weights ema reads it"
    assert "optimizer: left out, state of the optimizer" in report["notes"]
    assert target.read_bytes() == source.read_bytes()
    assert pit_port("diff", training, target, "--weights", "model").exit_code == 0
    assert pit_port("diff", target, training).exit_code == 1
    planned = pit_port("plan", training, "--to", "timm", "--weights", "ema")
    assert planned.exit_code == 0, planned.output
    assert json.loads(pit_port("inspect", training, "--json").stdout)["weights"] == "ema"
    first = pit_port("inspect", training, "--weights", "model", "--json").stdout
    assert json.loads(first)["digest"] == json.loads(pit_port("inspect", source, "--json").stdout)["digest"]


def test_missing_weights_are_refused(source: Path, tmp_path: Path) -> None:
    done = pit_port("convert", source, tmp_path / "new.pth", "--weights", "ema")
    assert done.exit_code == 3
    assert "holds no ema weights, which --weights ema asks for; there is one state dict alone" in done.stderr
    done = pit_port("diff", source, source, "--weights", "ema")
    assert done.exit_code == 3
    assert "holds no ema weights (--weights ema), nor does" in done.stderr


def test_port_of_the_model_beside_its_average_is_verified(training: Path, tmp_path: Path) -> None:
    target = tmp_path / "port.safetensors"
    assert pit_port("convert", training, target, "--weights", "model").exit_code == 0
    done = pit_port("verify", training, target, "--weights", "model", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert f"verified: {target} (in torch), a port of {training}" in done.stdout


def test_folder_is_converted(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    assert pit_port("convert", source, folder / "model.safetensors", "--to", "timm").exit_code == 0
    done = pit_port("convert", folder, tmp_path / "back.pth")
    assert done.exit_code == 0, done.output
    assert "unwrapped    model.safetensors" in done.stdout


@pytest.mark.parametrize(
    ("name", "dtype", "problem"),
    [
        ("norm.bias", "int32", "wrong dtype: norm.bias is int32, expected a floating dtype"),
        ("head.weight", "complex64", "wrong dtype: head.weight is complex64, expected a floating dtype"),
        ("pos_embed", "bool", "wrong dtype: pos_embed is bool, expected a floating dtype"),
    ],
)
def test_weights_that_are_no_floating_numbers_are_refused(
    source: Path, tmp_path: Path, name: str, dtype: str, problem: str
) -> None:
    with open_checkpoint(source) as checkpoint:
        arrays = {key: np.array(tensor.load()) for key, tensor in checkpoint.tensors.items()}
    arrays[name] = arrays[name].astype(dtype)
    wrong = tmp_path / "wrong.safetensors"
    write_checkpoint(wrong, {key: LazyTensor.of(array) for key, array in arrays.items()})
    done = pit_port("convert", wrong, tmp_path / "new.pdparams")
    assert (done.exit_code, (tmp_path / "new.pdparams").exists()) == (3, False)
    assert problem in done.stderr
    assert problem in pit_port("inspect", wrong).stdout


@pytest.mark.parametrize(
    ("word", "code", "message"),
    [
        ("", 2, "the name is empty"),
        (
            "https://example.org/pit_b.pth",
            3,
            "https://example.org/pit_b.pth: is no address that is fetched; download it",
        ),
        ("n" * 300, 3, "cannot be read: File name too long; check the path"),
        ("a\nb.pth", 3, r"a\nb.pth: there is no such file"),
    ],
)
def test_source_without_a_checkpoint_is_refused(word: str, code: int, message: str) -> None:
    done = pit_port("inspect", word)
    assert done.exit_code == code
    assert message in done.stderr


def test_target_with_a_too_long_name_is_refused(source: Path, tmp_path: Path) -> None:
    done = pit_port("convert", source, tmp_path / ("n" * 300 + ".pth"))
    assert done.exit_code == 3
    assert "the name is too long; choose a shorter one" in done.stderr


def test_shards_are_written_inspected_and_compared(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    done = pit_port("convert", source, out / "model_state.pdparams", "--max-shard-size", "8MB")
    assert done.exit_code == 0, done.output
    assert "shards       3: model_state-00001-of-00003.pdparams to model_state-00003-of-00003.pdparams" in done.stdout
    described = json.loads(pit_port("inspect", out, "--json").stdout)
    assert described["envelope"] == ["model_state.pdparams.index.json", "3 shards"]
    assert described["digest"] == json.loads(pit_port("inspect", source, "--json").stdout)["digest"]
    assert pit_port("diff", source, out).exit_code == 0
    again = pit_port("convert", out, tmp_path / "back.pth", "--max-shard-size", "1GB")
    assert again.exit_code == 0, again.output
    assert pit_port("diff", source, tmp_path / "back.pth").exit_code == 0


@pytest.mark.parametrize(
    ("target", "size", "code", "message"),
    [
        ("a.bin", "many", 2, "'many' is no size; give a number above 0 with its unit: 5GB, 500MB or 1GiB"),
        ("a.ckpt", "5GB", 3, "MindSpore has no index of shards"),
        ("a.bin.index.json", None, 3, "is the name of an index of shards; give --max-shard-size"),
    ],
)
def test_impossible_shards_are_refused(
    target: str, size: str | None, code: int, message: str, source: Path, tmp_path: Path
) -> None:
    refused = pit_port("convert", source, tmp_path / target, *(("--max-shard-size", size) if size else ()))
    assert (refused.exit_code, message in refused.stderr) == (code, True), refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == [source.name]


@pytest.mark.parametrize("size", ["4MB", "8MB", "1GB"])
def test_set_that_is_the_source_is_never_replaced(size: str, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    assert pit_port("convert", source, out / "model.safetensors", "--max-shard-size", "8MB").exit_code == 0
    before = sorted(path.name for path in out.iterdir())
    refused = pit_port("convert", out, out / "model.safetensors", "--max-shard-size", size, "--force")
    assert (refused.exit_code, "is the source itself" in refused.stderr) == (3, True), refused.stderr
    assert sorted(path.name for path in out.iterdir()) == before


def test_dry_run_with_shards_lists_them(source: Path, tmp_path: Path) -> None:
    done = pit_port("convert", source, tmp_path / "a.bin", "--max-shard-size", "8MB", "--dry-run", "--json")
    assert json.loads(done.stdout)["shards"] == [f"a-0000{number}-of-00003.bin" for number in (1, 2, 3)]
    assert [path.name for path in tmp_path.iterdir()] == [source.name]
