from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from alignment.running.differences import diff
from porting.architectures import build
from porting.checkpoint import write_checkpoint
from porting.checkpoint.tensor import LazyTensor
from porting.conversion import translate
from porting.operations import Transpose
from porting.rules import rule
from porting.saved_rules import SavedSide, SavedTable
from porting.saved_rules.tensors import TensorInfo
from porting.synthetic import random_weights

MODEL = build("pit_ti", image_size=32, num_classes=3)


def write(path: Path, weights: dict[str, npt.NDArray[np.float32]], layout: str = "canonical") -> Path:
    tensors = {name: LazyTensor.of(values) for name, values in weights.items()}
    write_checkpoint(path, translate(tensors, MODEL, "canonical", layout))
    return path


def test_the_same_weights_are_the_same_in_any_format_and_layout(tmp_path: Path) -> None:
    weights = random_weights(MODEL)
    first = write(tmp_path / "a.pth", weights, "timm-legacy")
    result = diff(first, write(tmp_path / "b.pdparams", weights, "paddlevit"))
    assert result.same
    assert result.to_text() == "same: all 160 tensors are bit-equal"


def test_the_worst_tensors_are_named_first(tmp_path: Path) -> None:
    weights = random_weights(MODEL)
    first = write(tmp_path / "a.pth", weights)
    weights["head.bias"] = weights["head.bias"] + np.float32(1e-3)
    weights["transformers.0.blocks.0.attn.proj.weight"] = weights["transformers.0.blocks.0.attn.proj.weight"].T.copy()
    result = diff(first, write(tmp_path / "b.safetensors", weights, "paddlevit"))
    assert [each.name for each in result.different] == ["transformers.0.blocks.0.attn.proj.weight", "head.bias"]
    assert result.different[1].max_abs == pytest.approx(1e-3, rel=1e-3)
    assert result.different[1].differing == 3
    assert result.to_text().startswith(
        "different: 2 of 160 tensors\n  transformers.0.blocks.0.attn.proj.weight: relative"
    )
    assert json.loads(json.dumps(result.to_json()))["same"] is False


def test_tensors_of_unknown_models_are_compared_as_stored(tmp_path: Path) -> None:
    shared = {"w": np.arange(6.0).reshape(2, 3), "nan": np.array([np.nan]), "zero": np.array([0.0])}
    paths = tmp_path / "a.npz", tmp_path / "b.safetensors"
    write_checkpoint(paths[0], {k: LazyTensor.of(v) for k, v in ({**shared, "x.0": shared["w"]}).items()})
    changed = {**shared, "w": shared["w"].astype(np.float32), "zero": np.array([-0.0]), "x.1": shared["w"]}
    write_checkpoint(paths[1], {k: LazyTensor.of(v) for k, v in changed.items()})
    found = {each.name: each for each in diff(*paths).different}
    assert found["w"].problem == "float64 (2, 3) in the first file, float32 (2, 3) in the second"
    assert found["x.0"].problem == "only in the first file"
    assert found["x.1"].problem == "only in the second file"
    assert found.keys() == {"w", "x.0", "x.1", "zero"}


def test_known_and_unknown_model_are_compared_as_stored(tmp_path: Path) -> None:
    weights = random_weights(MODEL)
    first = write(tmp_path / "a.pdparams", weights, "paddlevit")
    tensors = translate({name: LazyTensor.of(each) for name, each in weights.items()}, MODEL, "canonical", "paddlevit")
    write_checkpoint(tmp_path / "b.pdparams", {**tensors, "more": LazyTensor.of(np.zeros(3, np.float32))})
    for pair, side in (((first, tmp_path / "b.pdparams"), "second"), ((tmp_path / "b.pdparams", first), "first")):
        different = diff(*pair).different
        assert [(each.name, each.problem) for each in different] == [("more", f"only in the {side} file")]


def test_tensor_with_problem_has_no_numbers(tmp_path: Path) -> None:
    paths = tmp_path / "a.npz", tmp_path / "b.npz"
    for path, sign in zip(paths, (1, -1), strict=True):
        arrays = {"zero": np.array([sign * 0.0]), "nan": np.array([np.nan, sign])}
        write_checkpoint(path, {name: LazyTensor.of(array) for name, array in arrays.items()})
    result = diff(*paths)
    assert "  zero: equal values, other bits: zeros of different signs" in result.to_text().splitlines()
    found = {each["name"]: each for each in result.to_json()["different"]}
    assert (found["zero"]["differing"], found["zero"]["rel_l2"]) == (0, 0.0)
    assert found["nan"]["problem"]
    assert [found["nan"][key] for key in ("elements", "differing", "max_abs", "rel_l2")] == [None] * 4


def test_signalling_nans_are_counted_without_a_warning(tmp_path: Path) -> None:
    paths = tmp_path / "a.npz", tmp_path / "b.npz"
    signalling = np.array([0x7F800001, 0x3F800000], np.uint32).view(np.float32)
    for path, array in zip(paths, (signalling, np.ones(2, np.float32)), strict=True):
        write_checkpoint(path, {"w": LazyTensor.of(array)})
    assert "NaN" in str(diff(*paths).different[0].problem)


@pytest.mark.parametrize("forgotten_is_first", [False, True])
@pytest.mark.parametrize("model", ["pit_ti", "deit_tiny", "pit_micro"])
def test_partly_transposed_port_has_its_wrong_matrices_named_alone(
    model: str, forgotten_is_first: bool, tmp_path: Path
) -> None:
    architecture = build(model, image_size=32, num_classes=3)
    tensors = {name: LazyTensor.of(values) for name, values in random_weights(architecture).items()}
    ported = translate(tensors, architecture, "canonical", "paddlevit")
    oblong = [name for name, tensor in ported.items() if name.endswith(("fc1.weight", "qkv.weight"))][1:4]
    for name in oblong:
        ported[name] = LazyTensor.of(ported[name].load().T.copy())
    paths = tmp_path / "a.pth", tmp_path / "b.pdparams"
    write_checkpoint(paths[0], tensors)
    write_checkpoint(paths[1], ported)
    result = diff(*(reversed(paths) if forgotten_is_first else paths))
    assert len(result.different) == 3
    assert all((one.problem or "").startswith("not transposed: ") for one in result.different)
    assert f"{paths[1]} has layout paddlevit, but for 3 matrices that are not transposed" in result.to_text()


def test_square_matrix_that_is_not_transposed_is_told(tmp_path: Path) -> None:
    weights = random_weights(MODEL)
    first = write(tmp_path / "a.pth", weights)
    name = "transformers.0.blocks.0.attn.proj.weight"
    weights[name] = weights[name].T.copy()
    result = diff(first, write(tmp_path / "b.pdparams", weights, "paddlevit"))
    assert [(one.name, one.transposed) for one in result.different] == [(name, True)]
    assert "equal when it is transposed" in result.to_text()


def test_rules_name_the_matrices_that_are_not_transposed_alone(tmp_path: Path) -> None:
    shapes = {"a.weight": (2, 3), "b.weight": (4, 2), "c.weight": (5, 4), "c.bias": (5,)}
    torch, paddle = (
        SavedSide(framework, {name: TensorInfo(shape[::step]) for name, shape in shapes.items()})
        for framework, step in (("torch", 1), ("paddle", -1))
    )
    rules = tuple(rule(name, name, Transpose() if len(shape) == 2 else None) for name, shape in shapes.items())
    table = SavedTable(torch, paddle, rules)
    arrays = {name: np.random.default_rng(0).random(shape, np.float32) for name, shape in shapes.items()}
    ported = {name: array if name == "b.weight" else array.T for name, array in arrays.items()}
    write_checkpoint(tmp_path / "a.pth", {name: LazyTensor.of(array) for name, array in arrays.items()})
    write_checkpoint(tmp_path / "b.pdparams", {name: LazyTensor.of(array.copy()) for name, array in ported.items()})
    result = diff(tmp_path / "a.pth", tmp_path / "b.pdparams", rules=table)
    assert [one.name for one in result.different] == ["b.weight"]
    assert "the candidate's side (paddle), but for 1 matrices" in result.notes[0]


def test_matrix_of_an_unknown_model_is_told_to_be_equal_when_transposed(tmp_path: Path) -> None:
    array = np.arange(6.0).reshape(2, 3)
    write_checkpoint(tmp_path / "a.npz", {"w": LazyTensor.of(array)})
    write_checkpoint(tmp_path / "b.npz", {"w": LazyTensor.of(array.T.copy())})
    (difference,) = diff(tmp_path / "a.npz", tmp_path / "b.npz").different
    assert difference.transposed
    assert difference.problem is not None
    assert difference.problem.endswith("(3, 2) in the second; equal when it is transposed")
