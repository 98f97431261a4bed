"""`--key`, `--prefix` and `--ignore` of `pit-port`, prefixes that all names share, and targets that are the source."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import cli
import porting
from porting.architectures import build
from porting.checkpoint import LazyTensor, open_checkpoint, write_checkpoint
from porting.synthetic import random_weights

SMALL = build("pit_ti", image_size=32, num_classes=3)
WEIGHTS = random_weights(SMALL, 1)


def pit_port(*words: str | Path) -> Result:
    return CliRunner().invoke(cli.pit_port, [str(word) for word in words], prog_name="pit-port")


def saved(path: Path, content: object) -> Path:
    path.write_bytes(pickle.dumps(content, 4))
    return path


def named(prefix: str, factor: float = 1.0) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    return {f"{prefix}{name}": np.float32(factor) * value for name, value in WEIGHTS.items()}


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    path = tmp_path / "plain.safetensors"
    write_checkpoint(path, {name: LazyTensor.of(value) for name, value in WEIGHTS.items()})
    return path


@pytest.mark.parametrize(
    ("content", "words", "unwrapped"),
    [
        ({"a": {"generator": named("")}, "b": named("", 2)}, ["--key", "a.generator"], "a > generator"),
        ({**named("Student."), **named("Teacher.", 2)}, ["--prefix", "Student."], "Student."),
        ({**named("module."), "mean": np.ones(3), "loss.w": np.ones(3)}, ["--ignore", "mean", "--ignore", "loss"],
         "module."),
        (named("network.timm_model."), [], "network. > timm_model."),
        ({"state_dict": named("backbone.")}, [], "state_dict > backbone."),
        ({name.replace("transformers.", "transformers.module."): value for name, value in named("").items()}, [],
         "module."),
        ({f"net.{name}".replace("pools.", "pools.module."): value for name, value in named("").items()}, [],
         "module. > net."),
    ],
    ids=["key", "prefix", "ignore", "shared", "shared in a wrapper", "a part wrapped", "a part wrapped, and shared"],
)  # fmt: skip
def test_every_command_takes_the_weights_that_are_meant(
    content: object, words: list[str], unwrapped: str, plain: Path, tmp_path: Path
) -> None:
    source = saved(tmp_path / "a.pkl", content)
    target = tmp_path / "b.pdparams"
    done = pit_port("convert", source, target, *words)
    assert done.exit_code == 0, done.output
    assert f"unwrapped    {unwrapped}\n" in done.stdout
    assert pit_port("diff", plain, target).exit_code == 0
    assert pit_port("diff", source, target, *words).exit_code == 0
    assert pit_port("plan", source, "--to", "timm", *words).exit_code == 0
    inspected = json.loads(pit_port("inspect", source, *words, "--json").stdout)
    assert inspected["model"] == "pit_ti"
    assert inspected["envelope"] == unwrapped.split(" > ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--key", "genrator"], "there is no genrator in it (--key); keys with tensors under them: nearest: generator"),
        (["--key", "generator", "--prefix", "modul."], "no name begins with modul. (--prefix)"),
        (
            ["--key", "generator", "--ignore", "head.wieght"],
            "has no tensor head.wieght (--ignore); nearest: head.weight",
        ),
        ([], "holds several sets of tensors: generator (160 tensors), encoder (160 tensors)"),
    ],
)
@pytest.mark.parametrize("command", ["convert", "plan", "inspect", "diff"])
def test_what_is_not_there_is_refused_with_the_nearest(
    command: str, words: list[str], message: str, plain: Path, tmp_path: Path
) -> None:
    source = saved(tmp_path / "a.pkl", {"generator": named(""), "encoder": named("")})
    more: dict[str, list[str | Path]] = {"convert": [tmp_path / "b.pth"], "plan": ["--to", "timm"], "diff": [plain]}
    done = pit_port(command, source, *more.get(command, []), *words)
    assert done.exit_code == 3, done.output
    if command != "diff" or "--key" not in words:
        assert message in done.stderr
    assert not (tmp_path / "b.pth").exists()


def test_python_takes_the_same_selection(tmp_path: Path) -> None:
    source = saved(tmp_path / "a.pkl", {"a": {**named("m."), "loss": np.ones(2)}, "b": named("")})
    assert porting.inspect(source, key="a", prefix="m.", ignore=["loss"]).model == "pit_ti"
    report = porting.convert(source, tmp_path / "b.pth", key="a", prefix="m.", ignore=["loss"])
    assert report.envelope == ("a", "m.")
    assert "loss: left out, as --ignore loss says" in report.notes


def test_shared_prefix_of_an_unknown_model_is_told_and_kept(tmp_path: Path) -> None:
    source = saved(tmp_path / "a.pkl", {"transformer.w": np.ones(2), "transformer.b": np.ones(2)})
    inspected = json.loads(pit_port("inspect", source, "-v", "--json").stdout)
    assert list(inspected["contents"]) == ["transformer.w", "transformer.b"]
    assert "every name begins with transformer., which --prefix transformer. takes off" in inspected["notes"]


def test_known_model_under_a_prefix_beside_other_tensors_is_told(tmp_path: Path) -> None:
    others = {"loss.weight": np.ones(3), "loss.scale": np.ones(3), "model.mean": np.ones(2)}
    source = saved(tmp_path / "a.pkl", {**named("model.net."), **named("teacher."), **others})
    result = pit_port("convert", source, tmp_path / "b.pth")
    assert result.exit_code == 3
    for prefix in ("model.net.", "teacher."):
        words = f"the {len(WEIGHTS)} under {prefix} are pit_ti in layout canonical: --prefix {prefix} reads them alone"
        assert words in result.output
        assert pit_port("convert", source, tmp_path / f"{prefix}pth", "--prefix", prefix).exit_code == 0


def test_unknown_models_are_compared_without_a_prefix_of_one(tmp_path: Path) -> None:
    one = saved(tmp_path / "a.pkl", {"net.backbone.w": np.ones(2), "net.backbone.b": np.ones(3)})
    other = saved(tmp_path / "b.pkl", {"w": np.ones(2), "b": np.ones(3)})
    assert pit_port("diff", one, other).exit_code == 0
    assert pit_port("diff", other, one).exit_code == 0


@pytest.mark.parametrize("kind", ["itself", "hard link", "other path"])
@pytest.mark.parametrize("words", [["--force"], ["--force", "--dry-run"], ["--force", "--max-shard-size", "1GB"]])
def test_convert_refuses_to_write_over_its_source(kind: str, words: list[str], plain: Path, tmp_path: Path) -> None:
    target = {"itself": plain, "hard link": tmp_path / "b.safetensors",
              "other path": tmp_path / "folder" / ".." / plain.name}[kind]  # fmt: skip
    if kind == "hard link":
        os.link(plain, target)
    (tmp_path / "folder").mkdir()
    before = plain.read_bytes()
    done = pit_port("convert", plain, target, *words)
    assert done.exit_code == 3
    assert "is the source itself" in done.stderr
    assert plain.read_bytes() == before


def test_convert_refuses_a_source_through_a_link(plain: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.safetensors"
    link.symlink_to(plain)
    done = pit_port("convert", link, plain, "--force")
    assert done.exit_code == 3
    assert "is the source itself" in done.stderr


@pytest.mark.parametrize(
    ("target", "words", "note"),
    [
        (
            "b.pdparams",
            ["--to", "canonical"],
            "layout canonical is PyTorch's, and the format Paddle's: its models load pad",
        ),
        ("b.pth", ["--to", "paddlevit"], "layout paddlevit is Paddle's, and the format PyTorch's: its models load can"),
        ("b.pdparams", [], ""),
        ("b.safetensors", ["--to", "paddlevit"], ""),
    ],
)
def test_layout_of_another_framework_is_noted(
    target: str, words: list[str], note: str, plain: Path, tmp_path: Path
) -> None:
    done = pit_port("convert", plain, tmp_path / target, *words)
    assert done.exit_code == 0, done.output
    assert (f"  note         {note}" in done.stdout) == bool(note)
    assert note or "  note " not in done.stdout


def test_bfloat16_stored_as_uint16_is_recognised_and_told(plain: Path, tmp_path: Path) -> None:
    half = tmp_path / "half.safetensors"
    assert pit_port("convert", plain, half, "--dtype", "bfloat16").exit_code == 0
    stored = tmp_path / "stored.npz"
    with open_checkpoint(half) as checkpoint:
        bits: dict[str, Any] = {name: tensor.load().view(np.uint16) for name, tensor in checkpoint.tensors.items()}
        np.savez(stored, **bits)
    inspected = json.loads(pit_port("inspect", stored, "--json").stdout)
    assert inspected["dtypes"] == {"bfloat16": 160}
    assert any("uint16 in the file, read as the bits of bfloat16" in note for note in inspected["notes"])
    assert pit_port("diff", half, stored).exit_code == 0


def test_uint16_that_is_no_bfloat16_is_left_alone(tmp_path: Path) -> None:
    source = tmp_path / "a.npz"
    np.savez(source, small=np.arange(300, dtype=np.uint16), any=np.random.default_rng(1).integers(0, 2**16, 500, "u2"))
    with open_checkpoint(source) as checkpoint:
        assert {tensor.dtype.name for tensor in checkpoint.tensors.values()} == {"uint16"}
        assert checkpoint.notes == ()


@pytest.mark.parametrize("name", ["float8_e4m3fn", "float8_e5m2"])
def test_model_in_floats_of_eight_bits_is_converted_as_it_is(name: str, tmp_path: Path) -> None:
    import ml_dtypes

    kind = np.dtype(getattr(ml_dtypes, name))
    source, target, back = (tmp_path / f"{stem}.safetensors" for stem in ("a", "b", "c"))
    write_checkpoint(source, {name: LazyTensor.of(value.astype(kind)) for name, value in WEIGHTS.items()})
    assert pit_port("convert", source, target, "--to", "paddlevit", "--dtype", "float32").exit_code == 0
    assert pit_port("convert", target, back, "--to", "canonical").exit_code == 0
    with open_checkpoint(back) as checkpoint:
        assert {tensor.dtype for tensor in checkpoint.tensors.values()} == {kind}
    assert pit_port("diff", source, target).exit_code == 0
    assert json.loads(pit_port("inspect", source, "--json").stdout)["model"] == "pit_ti"
