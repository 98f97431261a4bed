"""`python -m benchmarks.rules.tables`: patterns of rules, and both models of a few tables run in float64."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

pytest.importorskip("torch")
pytest.importorskip("paddle")

from benchmarks.rules.patterns import Row, folded, generalised
from benchmarks.rules.tables import RECIPES, Recipe, add_layout, content, main, prove, write
from porting import tables
from porting.checkpoint.tensor import Shape
from porting.errors import PlanError


def test_rows_of_blocks_become_one_pattern() -> None:
    rows = [Row(f"layer{a}.{b}.bn1.running_var", f"{a}_{b + 1}.norm._variance") for a in (1, 2) for b in range(3)]
    assert generalised(rows) == [Row("layer{a}.{b}.bn1.running_var", "{a}_{b+1}.norm._variance")]


def test_pattern_that_would_take_another_tensor_is_split() -> None:
    rows = [Row(f"branch.{n}.weight", f"conv.{n}.weight") for n in (0, 1)]
    rows += [Row(f"branch.{n}.weight", f"linear.{n - 2}.weight") for n in (2, 3)]
    assert sorted(generalised(rows)) == sorted(rows)


def test_left_out_and_transposed_tensors_have_patterns_of_their_own() -> None:
    rows = [Row(f"a.{n}.count", None, "drop: counts") for n in range(3)]
    rows += [Row(f"a.{n}.w", f"b.{n}.w", "transpose" if n == 2 else "") for n in range(3)]
    found = generalised(rows)
    assert Row("a.{a}.count", None, "drop: counts") in found
    assert Row("a.2.w", "b.2.w", "transpose") in found


def test_shapes_that_grow_by_steps_fold_into_one_line() -> None:
    shapes = {f"layer{n}.w": (64 + 32 * n, 3) for n in range(5)} | {"head.w": (10, 3), "head.b": (10,)}
    lines = folded(shapes)
    assert lines["layer{0..4}.w"] == [[64, 32], 3]
    assert len(lines) == 3


def test_file_that_is_written_gives_the_names_and_shapes_of_both_sides(tmp_path: Path) -> None:
    sides = (
        {"body.0.weight": (6, 5), "body.0.bias": (6,), "fc.weight": (10, 6), "fc.bias": (10,)},
        {"net.1.weight": (5, 6), "net.1.bias": (6,), "out.weight": (6, 10), "out.bias": (10,)},
    )
    rows = [
        *(Row("body.0.weight", "net.1.weight", "transpose"), Row("body.0.bias", "net.1.bias")),
        *(Row("fc.weight", "out.weight", "transpose"), Row("fc.bias", "out.bias")),
    ]
    recipe = Recipe((), ("tiny",), legacy=None)
    path = write(content("tiny", {"tiny": sides}, rows, recipe), tmp_path)
    read = tables.family_of(json.loads(path.read_text()))
    architecture = tables.architecture(read, "tiny", 3)
    assert architecture.tensors["fc.weight"].shape == (3, 6)
    assert set(read.models["tiny"].layouts) == {"torchvision", "paddle"}
    wrong = (sides[0], {**sides[1], "net.1.weight": (6, 5)})
    with pytest.raises(PlanError, match="do not give the names and shapes in paddle"):
        content("tiny", {"tiny": wrong}, rows, recipe)


def test_tensors_that_are_joined_or_split_keep_one_placeholder(tmp_path: Path) -> None:
    parts = ("q", "k", "v")
    rows = [
        *(Row(tables.joined(f"b.{n}.{p}.weight" for p in parts), f"l.{n}.qkv.weight", "join 3") for n in range(3)),
        *(Row(f"b.{n}.in.bias", tables.joined(f"l.{n}.{p}.bias" for p in parts), "split in 3") for n in range(3)),
        *(Row("fc.weight", "fc.weight", "transpose"), Row("fc.bias", "fc.bias")),
    ]
    assert generalised(rows)[0] == Row("b.{a}.q.weight + b.{a}.k.weight + b.{a}.v.weight", "l.{a}.qkv.weight", "join 3")
    reference: dict[str, Shape] = {f"b.{n}.{p}.weight": (2, 2) for n in range(3) for p in parts}
    reference |= {f"b.{n}.in.bias": (6,) for n in range(3)} | {"fc.weight": (10, 2), "fc.bias": (10,)}
    candidate: dict[str, Shape] = {f"l.{n}.{p}.bias": (2,) for n in range(3) for p in parts}
    candidate |= {f"l.{n}.qkv.weight": (6, 2) for n in range(3)} | {"fc.weight": (2, 10), "fc.bias": (10,)}
    value = content("tiny", {"tiny": (reference, candidate)}, rows, Recipe((), ("tiny",), legacy=None))
    read = tables.family_of(json.loads(write(value, tmp_path).read_text()))
    assert len(read.tables["paddle"].rules) == 4


def test_further_layout_is_added_for_every_model_of_a_family() -> None:
    sides: tuple[dict[str, Shape], dict[str, Shape]] = (
        {"fc.weight": (10, 2), "fc.bias": (10,)},
        {"out.weight": (2, 10), "out.bias": (10,)},
    )
    rows = [Row("fc.weight", "out.weight", "transpose"), Row("fc.bias", "out.bias")]
    value = content("tiny", {"tiny": sides}, rows, Recipe((), ("tiny",), legacy=None))
    entry = {"framework": "mindspore", "published_by": "x", "rules": [["fc.weight", "head.w", ""]]}
    with pytest.raises(PlanError, match="1 mismatch"):
        add_layout(value, "mindcv", entry)
    entry["rules"] = [["fc.weight", "head.w", ""], ["fc.bias", "head.b", ""]]
    add_layout(value, "mindcv", entry)
    read = tables.family_of(value)
    assert read.models["tiny"].layouts["mindcv"] == tables.digest(["head.b", "head.w"])
    assert read.tables["mindcv"].framework == "mindspore"


@pytest.mark.parametrize(
    ("family", "model", "message"),
    [
        ("resnet", "mine", "there is a family resnet already; --force replaces it"),
        ("../mine", "mine", "no name of a family"),
        ("mine", "resnet18", "there is a model resnet18 already, in the family resnet"),
        ("mine", "mine", "holds no rules"),
    ],
)
def test_names_that_are_taken_and_files_without_rules_are_refused(
    family: str, model: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "rules.json").write_text("[]")
    done = CliRunner().invoke(main, ["add", family, str(tmp_path / "rules.json"), "--model", model, "--head", "fc"])
    assert done.exit_code != 0
    assert message in done.output


def test_library_has_every_model_of_the_recipes() -> None:
    assert tables.models() == {model: family for family in sorted(RECIPES) for model in RECIPES[family].models}


@pytest.mark.parametrize("model", ["resnet18", "mobilenet_v3_small", "shufflenet_v2_x0_5", "mobilenet_v1"])
def test_both_models_give_the_same_outputs_with_converted_weights(model: str) -> None:
    assert prove(model) < 1e-8
