"""Checkpoints and a table of rules: the side is found, the port is exact both ways, and no framework is imported."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from cli import pit_port
from porting.architectures.base import TensorSpec
from porting.by_rules import _wrong_dtypes, plan_by_rules
from porting.checkpoint import open_checkpoint, write_checkpoint
from porting.checkpoint.tensor import Array, LazyTensor
from porting.conversion import convert
from porting.errors import CheckpointError, UnknownNameError
from porting.operations import Transpose
from porting.rules import rule
from porting.saved_rules import SavedSide, SavedTable, TensorInfo, read_table, write_table
from tests.porting.saved_rules import bert

ROOT = Path(__file__).parents[3]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the table, and the weights of the torch side."""
    write_table(bert.table(), tmp_path / "bert.json")
    _write(tmp_path / "bert.safetensors", bert.weights())
    return tmp_path


def _write(path: Path, arrays: Mapping[str, Array]) -> None:
    write_checkpoint(path, {name: LazyTensor.of(array) for name, array in arrays.items()})


def _arrays(path: Path) -> dict[str, Array]:
    with open_checkpoint(path) as checkpoint:
        return {name: tensor.load().copy() for name, tensor in checkpoint.tensors.items()}


def _invoke(*arguments: object) -> Result:
    return CliRunner().invoke(pit_port, [*map(str, arguments)])


def test_convert_and_back_is_bit_equal_in_a_process_without_frameworks(folder: Path) -> None:
    code = (
        "import sys\n"
        "for name in ('torch', 'paddle', 'mindspore', 'timm', 'torchvision'): sys.modules[name] = None\n"
        "import cli\n"
        "cli.pit_port.main(sys.argv[1:], standalone_mode=False)\n"
    )

    def run(*arguments: object) -> str:
        command = [sys.executable, "-W", "error", "-c", code, *map(str, arguments)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    rules = "--rules", folder / "bert.json"
    text = run("convert", folder / "bert.safetensors", folder / "bert.pdparams", *rules)
    assert "layout candidate (paddle)" in text
    run("convert", folder / "bert.pdparams", folder / "back.safetensors", *rules)
    run("diff", folder / "bert.safetensors", folder / "bert.pdparams", *rules)
    before, after = bert.weights(), _arrays(folder / "back.safetensors")
    assert after.pop("decoder.weight").tobytes() == before["embeddings.word.weight"].tobytes()
    assert before.keys() == after.keys()
    assert all(after[name].tobytes() == array.tobytes() for name, array in before.items())
    assert all(after[name].dtype == array.dtype for name, array in before.items())


def test_fused_projections_are_head_by_head(folder: Path) -> None:
    convert(folder / "bert.safetensors", folder / "bert.npz", rules=read_table(folder / "bert.json"))
    source, target = bert.weights(), _arrays(folder / "bert.npz")
    size = bert.WIDTH // bert.HEADS
    fused = target["blocks.1.qkv.weight"].reshape(bert.WIDTH, bert.HEADS, 3, size)
    for place, part in enumerate(("query", "key", "value")):
        expected = source[f"layer.1.{part}.weight"].T.reshape(bert.WIDTH, bert.HEADS, size)
        np.testing.assert_array_equal(fused[:, :, place], expected)
    assert not [name for name in target if "position" in name]


@pytest.mark.parametrize("suffix", ["pth", "pdparams", "ckpt", "npz", "safetensors"])
def test_every_format_goes_there_and_back(suffix: str, folder: Path) -> None:
    table = read_table(folder / "bert.json")
    report = convert(folder / "bert.safetensors", folder / f"there.{suffix}", rules=table)
    assert (report.source_layout, report.target_layout, report.rules) == (
        "reference (torch)",
        "candidate (paddle)",
        str(folder / "bert.json"),
    )
    back = convert(folder / f"there.{suffix}", folder / "back.npz", rules=table)
    assert (back.source_layout, back.filled) == ("candidate (paddle)", ("embeddings.position_ids",))
    after = _arrays(folder / "back.npz")
    assert all(after[name].tobytes() == array.tobytes() for name, array in bert.weights().items())


def test_dtype_overwrite_and_prefix_are_those_of_every_conversion(folder: Path) -> None:
    _write(folder / "bert.pth", {f"module.{name}": array for name, array in bert.weights().items()})
    _write(folder / "wrapped.pth", {f"bert.{name}": array for name, array in bert.weights().items()})
    table = read_table(folder / "bert.json")
    for name in ("bert.pth", "wrapped.pth"):
        report = convert(folder / name, folder / "out.safetensors", rules=table, dtype="bfloat16", overwrite=True)
        assert report.dtypes == {"bfloat16": report.tensors}
    with pytest.raises(CheckpointError, match="already"):
        convert(folder / "bert.pth", folder / "out.safetensors", rules=table)


def test_what_the_target_does_not_need_may_be_missing(folder: Path) -> None:
    arrays = bert.weights()
    del arrays["embeddings.position_ids"]
    arrays["decoder.weight"] = arrays.pop("embeddings.word.weight")
    _write(folder / "less.safetensors", arrays)
    table = read_table(folder / "bert.json")
    report = convert(folder / "less.safetensors", folder / "less.pdparams", rules=table)
    assert any("embeddings.word.weight" in line for line in report.advice)
    convert(folder / "bert.safetensors", folder / "bert.pdparams", rules=table)
    assert (folder / "less.pdparams").read_bytes() == (folder / "bert.pdparams").read_bytes()


def test_tensors_of_neither_side_are_refused_with_the_nearest_names(folder: Path) -> None:
    table = read_table(folder / "bert.json")
    arrays = bert.weights()
    arrays["poooler.weight"] = arrays.pop("pooler.weight").T.copy()
    arrays["decoder.bias"] = np.zeros(3, np.float32)
    _write(folder / "other.safetensors", arrays)
    with pytest.raises(CheckpointError) as caught:
        convert(folder / "other.safetensors", folder / "o.npz", rules=table)
    assert caught.value.summary.endswith(f"looks like the reference's side (torch) of {table.name}, with 3 mismatches")
    assert caught.value.details == (
        "missing: pooler.weight",
        "unexpected: poooler.weight (did you mean pooler.weight?)",
        "wrong shape: decoder.bias is (3,), expected (11,)",
    )
    _write(
        folder / "within.safetensors",
        {f"m.{name}": value for name, value in bert.weights().items()} | {"loss": np.ones(1)},
    )
    with pytest.raises(CheckpointError) as caught:
        convert(folder / "within.safetensors", folder / "o.npz", rules=table)
    count = len(bert.weights())
    assert caught.value.details[-1] == (
        f"the {count} under m. are the reference's side (torch): --prefix m. reads them alone"
    )
    _write(folder / "stranger.safetensors", {"x.0.w": np.zeros(2), "x.1.w": np.zeros(2)})
    with pytest.raises(CheckpointError, match=r"is neither the reference's side .* \(found x\.\{0\.\.1\}"):
        convert(folder / "stranger.safetensors", folder / "o.npz", rules=table)


def test_integers_for_floats_are_refused(folder: Path) -> None:
    arrays = bert.weights() | {"decoder.bias": np.zeros(bert.WORDS, np.int64)}
    _write(folder / "ints.safetensors", arrays)
    with pytest.raises(CheckpointError, match=r"wrong dtype: decoder\.bias is int64, expected a floating dtype"):
        convert(folder / "ints.safetensors", folder / "o.npz", rules=read_table(folder / "bert.json"))


def test_counter_that_was_halved_with_the_weights_is_taken() -> None:
    specs = {"n.num_batches_tracked": TensorSpec((), "int"), "ids": TensorSpec((2,), "int")}
    halved = {name: LazyTensor.of(np.ones(spec.shape, np.float16)) for name, spec in specs.items()}
    assert _wrong_dtypes(specs, halved) == ["wrong dtype: ids is float16, expected integers"]


def test_checkpoint_that_fits_both_sides_needs_to_be_told(tmp_path: Path) -> None:
    square = {"weight": TensorInfo((2, 2))}
    sides = SavedSide("torch", square), SavedSide("paddle", square)
    table = SavedTable(*sides, (rule("weight", "weight"),))
    _write(tmp_path / "a.npz", {"weight": np.eye(2)})
    with open_checkpoint(tmp_path / "a.npz") as checkpoint:
        with pytest.raises(CheckpointError, match="say which it is: --from reference or --from candidate"):
            plan_by_rules(table, checkpoint)
        assert plan_by_rules(table, checkpoint, side="candidate").source == "candidate"
        with pytest.raises(UnknownNameError, match="--from takes reference or candidate"):
            plan_by_rules(table, checkpoint, side="torch")


def test_inspect_names_the_side_and_gives_one_digest_for_both(folder: Path) -> None:
    rules = "--rules", folder / "bert.json"
    assert _invoke("convert", folder / "bert.safetensors", folder / "bert.pdparams", *rules).exit_code == 0
    digests = []
    for name, side in (("bert.safetensors", "reference (torch)"), ("bert.pdparams", "candidate (paddle)")):
        text = _invoke("inspect", folder / name, *rules).output
        assert f"  layout       {side}\n" in text
        assert "not known" not in text
        value: dict[str, Any] = json.loads(_invoke("inspect", folder / name, *rules, "--json").output)
        assert (value["layout"], value["model"], value["rules"]) == (side, None, str(folder / "bert.json"))
        digests.append(value["digest"])
    assert digests[0] == digests[1]
    unknown = _invoke("inspect", folder / "bert.json", *rules)
    assert unknown.exit_code == 3


def test_plan_shows_the_table_from_either_side(folder: Path) -> None:
    rules = "--rules", folder / "bert.json"
    text = " ".join(_invoke("plan", folder / "bert.safetensors", *rules).output.split())
    assert text.startswith("the reference's side (torch) of ")
    assert "interleave 3 parts of 2 groups along 1" in text
    assert "keep: positions" in text
    _invoke("convert", folder / "bert.safetensors", folder / "bert.pdparams", *rules)
    rows = json.loads(_invoke("plan", folder / "bert.pdparams", *rules, "--json").output)
    row = next(row for row in rows if row["target"] == "layer.0.query.weight")
    assert row["operations"][0] == "interleave 2 parts of 3 groups along 1"


def test_diff_finds_the_tensor_that_differs_between_the_sides(folder: Path) -> None:
    rules = "--rules", folder / "bert.json"
    assert _invoke("convert", folder / "bert.safetensors", folder / "bert.pdparams", *rules).exit_code == 0
    assert _invoke("diff", folder / "bert.safetensors", folder / "bert.pdparams", *rules).exit_code == 0
    arrays = bert.weights()
    arrays["layer.1.key.bias"][3] += 1
    _write(folder / "changed.safetensors", arrays)
    result = _invoke("diff", folder / "changed.safetensors", folder / "bert.pdparams", *rules)
    assert (result.exit_code, "layer.1.key.bias" in result.output) == (1, True)
    result = _invoke("diff", folder / "changed.safetensors", folder / "bert.safetensors", *rules)
    assert (result.exit_code, "layer.1.key.bias" in result.output) == (1, True)


def test_diff_tells_sides_apart_whose_names_differ_in_a_prefix_only(tmp_path: Path) -> None:
    infos = {"weight": TensorInfo((2, 3)), "bias": TensorInfo((2,))}
    turned = {"fc.weight": TensorInfo((3, 2)), "fc.bias": TensorInfo((2,))}
    rules = rule("weight", "fc.weight", Transpose()), rule("bias", "fc.bias")
    write_table(SavedTable(SavedSide("torch", infos), SavedSide("paddle", turned), rules), tmp_path / "rules.json")
    _write(tmp_path / "a.npz", {"weight": np.ones((2, 3)), "bias": np.zeros(2)})
    words = "--rules", tmp_path / "rules.json"
    assert _invoke("convert", tmp_path / "a.npz", tmp_path / "a.pdparams", *words).exit_code == 0
    assert _invoke("diff", tmp_path / "a.npz", tmp_path / "a.pdparams", *words).exit_code == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("convert", "bert.safetensors", "o.npz", "--verify"), "give --pair FILE"),
        (("verify", "bert.safetensors", "bert.safetensors"), "give --pair FILE"),
        (("convert", "bert.safetensors", "o.npz", "--to", "timm"), "--to is for published models"),
        (("convert", "bert.safetensors", "o.npz", "--image-size", "32"), "--image-size is for published models"),
        (("plan", "bert.safetensors", "--model", "pit_b"), "--model is for published models"),
    ],
)
def test_options_that_rules_have_no_answer_to_are_refused(words: tuple[str, ...], message: str, folder: Path) -> None:
    arguments = [str(folder / word) if "." in word else word for word in words]
    result = _invoke(*arguments, "--rules", folder / "bert.json")
    assert (result.exit_code, message in result.output) == (2, True), result.output


def test_code_is_allowed_for_rules_only(folder: Path) -> None:
    result = _invoke("inspect", folder / "bert.safetensors", "--allow-code", "os")
    assert (result.exit_code, "give --rules" in result.output) == (2, True)
    assert _invoke("plan", folder / "bert.safetensors").exit_code == 2


def test_shards_are_written_and_read_by_rules(folder: Path) -> None:
    rules = "--rules", folder / "bert.json"
    shards = "--max-shard-size", "1KB"
    there = _invoke("convert", folder / "bert.safetensors", folder / "out.pdparams", *rules, *shards)
    assert there.exit_code == 0, there.output
    back = _invoke("convert", folder / "out.pdparams.index.json", folder / "back.npz", *rules)
    assert back.exit_code == 0, back.output
    after = _arrays(folder / "back.npz")
    assert all(after[name].tobytes() == array.tobytes() for name, array in bert.weights().items())


def test_different_values_under_tied_names_are_refused_before_anything_is_written(folder: Path) -> None:
    """One of them would be written, and the other lost in silence."""
    rules, weights = str(folder / "bert.json"), bert.weights()
    tied = {**weights, "decoder.weight": weights["embeddings.word.weight"]}
    _write(folder / "tied.safetensors", tied)
    convert(folder / "tied.safetensors", folder / "tied.pdparams", rules=read_table(rules))
    _write(folder / "untied.safetensors", {**tied, "decoder.weight": tied["decoder.weight"] + np.float32(1e-3)})
    with pytest.raises(CheckpointError, match="holds different values under names that are one tensor") as caught:
        convert(folder / "untied.safetensors", folder / "untied.pdparams", rules=read_table(rules))
    assert "embeddings.word.weight and decoder.weight" in caught.value.details
    assert not (folder / "untied.pdparams").exists()
