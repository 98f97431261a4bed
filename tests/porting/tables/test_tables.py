"""The library of tables: every model is recognised in every layout, converted both ways, and never confused."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import cli
from porting import tables
from porting.checkpoint import LazyTensor, open_checkpoint, write_checkpoint
from porting.checkpoint.tensor import Shape
from porting.converters import plan_between
from porting.errors import PlanError, UnknownNameError
from porting.identify import identify
from porting.plan import Source, plan
from porting.synthetic import random_weights

MODELS = tables.models()


def shapes_in(model: str, layout: str, classes: int | None = None) -> dict[str, Shape]:
    architecture = tables.build(model, classes)
    table = tables.family(architecture.family).tables[layout]
    return {name: spec.shape for name, spec in plan(table.rules, architecture.tensors).specs.items()}


def layouts_of(model: str) -> tuple[str, ...]:
    return tuple(tables.family(MODELS[model]).models[model].layouts)


def pit_port(*words: str | Path) -> Result:
    return CliRunner().invoke(cli.pit_port, [str(word) for word in words], prog_name="pit-port")


def written(path: Path, model: str, layout: str, classes: int = 7) -> Path:
    architecture = tables.build(model, classes)
    weights = {name: LazyTensor.of(array) for name, array in random_weights(architecture, 0).items()}
    write_checkpoint(path, plan_between(architecture, "canonical", layout).apply(weights))
    return path


@pytest.mark.parametrize("model", MODELS)
def test_model_is_recognised_in_every_layout_and_is_no_other(model: str) -> None:
    for layout in layouts_of(model):
        found = tables.recognise(shapes_in(model, layout, 10))
        assert [(one.architecture.name, one.layout) for one in found] == [(model, layout)]
        assert found[0].architecture.num_classes == 10


@pytest.mark.parametrize("model", MODELS)
def test_way_to_every_layout_and_back_is_the_identity(model: str) -> None:
    architecture = tables.build(model)
    for layout in layouts_of(model):
        there_and_back = plan_between(architecture, "canonical", layout).then(
            plan_between(architecture, layout, "canonical")
        )
        counters = set(architecture.counters)
        assert all(
            there_and_back.outputs[name] == Source(name) for name in architecture.tensors if name not in counters
        )


def test_well_known_numbers_of_parameters() -> None:
    published = {"resnet50": 25_557_032, "densenet121": 7_978_856, "mobilenet_v2": 3_504_872, "vgg16": 138_357_544}
    assert {name: tables.build(name).parameters for name in published} == published


def test_convert_recognises_both_sides_without_an_option(tmp_path: Path) -> None:
    source = written(tmp_path / "a.pth", "resnet18", "torchvision")
    done = pit_port("convert", source, tmp_path / "a.pdparams")
    assert done.exit_code == 0, done.output
    assert "resnet18, 7 classes" in done.output
    assert "layout paddle" in done.output
    done = pit_port("convert", tmp_path / "a.pdparams", tmp_path / "b.safetensors")
    assert "layout torchvision" in done.output
    assert pit_port("diff", source, tmp_path / "a.pdparams").exit_code == 0
    with open_checkpoint(source) as one, open_checkpoint(tmp_path / "a.pdparams") as other:
        fc, transposed = one.tensors["fc.weight"].load(), other.tensors["fc.weight"].load()
        np.testing.assert_array_equal(fc.T, transposed)
        assert "bn1._variance" in other.tensors
        assert "bn1.num_batches_tracked" not in other.tensors


def test_files_from_before_batches_were_counted_are_read(tmp_path: Path) -> None:
    source = written(tmp_path / "old.pth", "densenet121", "torchvision-legacy")
    with open_checkpoint(source) as checkpoint:
        assert "features.denseblock1.denselayer1.norm.1.weight" in checkpoint.tensors
    assert "densenet121" in pit_port("inspect", source).output
    assert pit_port("convert", source, tmp_path / "new.pdparams").exit_code == 0


def test_one_tensor_that_is_missing_is_named(tmp_path: Path) -> None:
    shapes = shapes_in("resnet50", "paddle")
    del shapes["fc.bias"]
    with pytest.raises(PlanError, match=r"looks like resnet50 in layout paddle, with \d+ mismatch") as caught:
        identify(shapes)
    assert any("fc.bias" in line for line in caught.value.details)


def test_other_widths_are_another_model() -> None:
    names = [shapes_in(model, "torchvision") for model in ("resnet50", "wide_resnet50_2", "resnext50_32x4d")]
    for one, other in pairwise(names):
        assert one.keys() == other.keys()
        assert one != other


def test_model_and_layout_that_are_named_are_held_against_the_tensors() -> None:
    shapes = shapes_in("resnet18", "torchvision")
    assert identify(shapes, model="resnet18").layout == "torchvision"
    with pytest.raises(PlanError, match="the tensors are resnet18 in layout torchvision, not resnet34"):
        identify(shapes, model="resnet34")
    with pytest.raises(UnknownNameError, match="did you mean resnet34"):
        identify(shapes, model="resnet43")
    with pytest.raises(UnknownNameError, match="did you mean paddle"):
        identify(shapes, layout="padle")


@pytest.mark.parametrize("words", [("--image-size", "64"), ("--num-classes", "3")])
def test_changes_on_the_way_are_refused(words: tuple[str, str], tmp_path: Path) -> None:
    source = written(tmp_path / "a.pth", "resnet18", "torchvision")
    done = pit_port("convert", source, tmp_path / "a.pdparams", *words)
    assert done.exit_code == 3
    assert "only models of pit, deit, regnet" in done.output


def test_verify_says_that_it_needs_a_pair(tmp_path: Path) -> None:
    source = written(tmp_path / "a.pth", "resnet18", "torchvision")
    assert pit_port("convert", source, tmp_path / "a.pdparams").exit_code == 0
    done = pit_port("verify", source, tmp_path / "a.pdparams")
    assert done.exit_code == 3
    assert "--pair" in done.output


def test_list_names_them_folded_and_json_names_all() -> None:
    done = pit_port("list")
    assert "resnet18, resnet34, ..., resnext152_64x4d (13)" in done.output
    assert '"vgg16_bn"' in pit_port("list", "--json").output


def test_folded_names_stand_for_all_that_they_say() -> None:
    assert tables.unfold("a.{0..2,4}.w{1..2}") == ["a.0.w1", "a.0.w2", "a.1.w1", "a.1.w2", "a.2.w1", "a.2.w2",
                                                   "a.4.w1", "a.4.w2"]  # fmt: skip
    assert tables.unfold("a.b") == ["a.b"]


def test_family_that_is_not_there_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        tables.family("lenet")


def test_dropout_that_scales_in_evaluation_is_undone_in_the_weights_and_told(tmp_path: Path) -> None:
    architecture = tables.build("alexnet", 7)
    table = tables.family("alexnet").tables["paddle"]
    there = plan(table.rules, architecture.tensors)
    assert there.changes == {"_fc6.weight": "multiply by 2", "_fc7.weight": "multiply by 2"}
    shape = {name: spec.shape for name, spec in there.specs.items()}["_fc7.weight"]
    weight = np.ones((2, 2), np.float32)
    source = {
        name: LazyTensor(spec.shape, np.dtype("f4"), lambda: weight) for name, spec in architecture.tensors.items()
    }
    assert shape == (4096, 4096)
    np.testing.assert_array_equal(there.apply(source)["_fc7.weight"].load(), 2 * weight)
