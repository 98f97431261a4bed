from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from porting.architectures import NAMES, Architecture, build, regnet
from porting.architectures.regnet import RegnetConfig
from porting.checkpoint.tensor import LazyTensor
from porting.conversion import translate
from porting.converters import MISTAKES, layouts_of, outward, plan_between, specs_in, table_of
from porting.errors import PlanError, UnknownNameError
from porting.identify import identify
from porting.plan import plan
from porting.synthetic import random_weights

PUBLISHED = sorted((Path(__file__).parent / "layouts").glob("*.json"))
LAYOUT_OF = {"naver": "canonical", "timm0.4.12": "timm-legacy"}
MODELS = ("pit_ti", "pit_ti_distilled", "deit_tiny_distilled", "regnety_160")
NARROW = RegnetConfig(widths=(16, 32, 48, 64), depth=(2, 4, 11, 1), group_width=8, stem_width=8, num_classes=3)
"""RegNetY-160 with all its blocks and few channels: the same names and rules, without the 84 million numbers."""
BETWEEN = [
    (name, source, target)
    for name in MODELS
    for source in layouts_of(build(name))
    for target in layouts_of(build(name))
]


def model_of(published: dict[str, Any]) -> Architecture:
    """The model of a published list, under the name it has here. Team 7's plain builders make distilled models."""
    name, _, size = published["model"].lower().replace("regnety-16gf", "regnety_160").partition("_patch16_")
    name = name.replace("regnet_y_16gf", "regnety_160")
    if published["layout"] == "team7":
        name += "_distilled"
    return build(name, image_size=int(size or 224))


def layout_of(published: dict[str, Any]) -> str:
    return LAYOUT_OF.get(published["layout"], published["layout"])


@pytest.fixture(params=PUBLISHED, ids=lambda path: path.stem)
def published(request: pytest.FixtureRequest) -> dict[str, Any]:
    listed: dict[str, Any] = json.loads(request.param.read_text())
    return listed


def test_tables_give_the_published_names_and_shapes(published: dict[str, Any]) -> None:
    expected = {name: tuple(shape) for name, (shape, _) in published["tensors"].items()}
    architecture = model_of(published)
    specs = specs_in(architecture, layout_of(published))
    assert {name: spec.shape for name, spec in specs.items()} == expected
    assert {name: spec.kind for name, spec in specs.items()} == {
        name: "int" if dtype == "int64" else "float" for name, (_, dtype) in published["tensors"].items()
    }


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("num_classes", [10, 0])
def test_canonical_rules_give_the_plan_that_changes_nothing(num_classes: int, name: str) -> None:
    """So that nobody has to carry them out."""
    architecture = build(name, num_classes=num_classes)
    by_rules = plan(table_of(architecture.family, "canonical").rules, architecture.tensors)
    assert outward(architecture, "canonical") == by_rules
    assert list(by_rules.outputs) == list(architecture.tensors) == list(by_rules.specs)


def test_published_names_and_shapes_are_identified(published: dict[str, Any]) -> None:
    identity = identify({name: tuple(shape) for name, (shape, _) in published["tensors"].items()})
    assert identity.architecture == model_of(published)
    assert identity.layout == layout_of(published)


@cache
def weights_of(name: str) -> tuple[Architecture, dict[str, Any]]:
    architecture = build(name, image_size=64, num_classes=3)
    if name == "regnety_160":
        architecture = regnet.architecture(name, NARROW)
    return architecture, random_weights(architecture)


@pytest.mark.parametrize(("name", "source", "target"), BETWEEN)
def test_model_into_any_layout_and_back_keeps_every_bit(name: str, source: str, target: str) -> None:
    _assert_kept(*weights_of(name), source, target)


def test_large_model_into_another_layout_and_back_keeps_every_bit() -> None:
    architecture = build("regnety_160")
    _assert_kept(architecture, random_weights(architecture), "canonical", "mindcv")


def _assert_kept(architecture: Architecture, weights: dict[str, Any], source: str, target: str) -> None:
    canonical = {key: LazyTensor.of(value) for key, value in weights.items()}
    start = translate(canonical, architecture, "canonical", source)
    there = translate(start, architecture, source, target)
    back = translate(there, architecture, target, source)
    final = translate(back, architecture, source, "canonical")
    assert list(final) == list(weights)
    counted = "num_batches_tracked" in "".join(specs_in(architecture, source)) and (
        "num_batches_tracked" in "".join(specs_in(architecture, target))
    )
    for key, value in weights.items():
        expected = np.zeros_like(value) if key.endswith("num_batches_tracked") and not counted else value
        np.testing.assert_array_equal(final[key].load(), expected, err_msg=key)


def test_every_linear_is_transposed_for_paddle_also_square_ones() -> None:
    architecture = build("pit_ti_distilled")
    plan = plan_between(architecture, "canonical", "paddlevit")
    linears = ("qkv", "proj", "fc1", "fc2", "fc", "head", "head_dist")
    assert set(plan.transposed) == {
        name for name in architecture.tensors if name.endswith(".weight") and name.split(".")[-2] in linears
    }
    assert architecture.tensors["transformers.0.blocks.0.attn.proj.weight"].shape == (64, 64)


def test_pools_have_another_index_in_timm_than_in_timm_legacy() -> None:
    architecture = build("pit_s")
    assert [name for name in specs_in(architecture, "timm") if "pool.fc.bias" in name] == [
        "transformers.1.pool.fc.bias",
        "transformers.2.pool.fc.bias",
    ]
    assert [name for name in specs_in(architecture, "timm-legacy") if "pool.fc.bias" in name] == [
        "transformers.0.pool.fc.bias",
        "transformers.1.pool.fc.bias",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_every_model_is_identified_in_every_layout_at_any_size(name: str) -> None:
    architecture = build(name, image_size=224 if name == "regnety_160" else 384, num_classes=17)
    for layout in layouts_of(architecture):
        identity = identify({key: spec.shape for key, spec in specs_in(architecture, layout).items()})
        assert (identity.architecture, identity.layout) == (architecture, layout)


def test_bias_before_a_norm_in_paddlevit_is_zero_there_and_folded_on_the_way_back() -> None:
    architecture, weights = weights_of("regnety_160")
    canonical = {key: LazyTensor.of(value) for key, value in weights.items()}
    there = translate(canonical, architecture, "canonical", "paddlevit")
    biases = [key for key in there if key.endswith("conv3.bias")]
    assert len(biases) == 18
    assert not any(there[key].load().any() for key in biases)
    back = plan_between(architecture, "paddlevit", "canonical")
    assert back.remarks(there) == {}
    there[biases[0]] = LazyTensor.of(np.full(there[biases[0]].shape, 0.5, np.float32))
    assert back.remarks(there) == {"s1.b1.conv3.bn.running_mean": "a bias of up to 0.5 is folded into the running mean"}
    folded = back.apply(there)["s1.b1.conv3.bn.running_mean"].load()
    np.testing.assert_array_equal(folded, weights["s1.b1.conv3.bn.running_mean"] - np.float32(0.5))


def test_counters_that_paddle_does_not_keep_are_dropped_with_a_reason() -> None:
    plan = plan_between(build("regnety_160"), "canonical", "paddlevit")
    assert len(plan.dropped) == 59
    assert all(key.endswith("num_batches_tracked") and "counter" in reason for key, reason in plan.dropped.items())


ATTRIBUTES = [("pit_ti", "transformers"), ("pit_b", "transformers"), ("regnety_160", "stages")]


@pytest.mark.parametrize(("name", "prefix"), ATTRIBUTES)
def test_mindcv_files_under_attribute_paths_are_refused_and_say_why(name: str, prefix: str) -> None:
    shapes = _shapes(name, "mindcv-attributes")
    assert any(key.startswith(f"{prefix}.1.blocks.0.") for key in shapes)
    with pytest.raises(PlanError) as caught:
        identify(shapes)
    assert caught.value.summary.startswith(
        f"the tensors are {name} under the paths of MindCV's attributes ({prefix}.1."
    )
    assert "leaves most of the model as it was" in caught.value.summary
    assert caught.value.summary.endswith("Give --from mindcv-attributes to read the file all the same")
    assert identify(shapes, layout="mindcv-attributes").architecture == build(name)
    with pytest.raises(PlanError, match=f"{name} in layout mindcv-attributes, not layout mindcv"):
        identify(shapes, layout="mindcv")


@pytest.mark.parametrize("name", ["pit_ti", "regnety_160"])
def test_tensors_from_attribute_paths_are_bit_equal(name: str) -> None:
    architecture, weights = weights_of(name)
    attributes = plan_between(architecture, "mindcv-attributes", "mindcv")
    expected = translate(
        {key: LazyTensor.of(value) for key, value in weights.items()}, architecture, "canonical", "mindcv"
    )
    misnamed = {source: expected[target] for target in expected for source in attributes.sources_of(target)}
    for key, tensor in attributes.apply(misnamed).items():
        np.testing.assert_array_equal(tensor.load(), expected[key].load(), err_msg=key)


def test_layouts_that_are_mistakes_are_neither_written_nor_listed() -> None:
    assert {family for family, tables in MISTAKES.items() if tables} == {"pit", "regnet"}
    for name, _ in ATTRIBUTES:
        assert "mindcv-attributes" not in layouts_of(build(name))
        with pytest.raises(UnknownNameError, match="layout mindcv-attributes is only read, since it has the paths of"):
            outward(build(name), "mindcv-attributes")


def test_layout_without_the_model_is_refused_with_the_known_ones() -> None:
    architecture = build("pit_s_distilled")
    assert layouts_of(architecture) == ("canonical", "timm", "timm-legacy", "paddlevit")
    with pytest.raises(PlanError, match="pit_s_distilled has no layout mindcv: MindCV publishes no distilled PiT"):
        plan_between(architecture, "canonical", "mindcv")
    with pytest.raises(
        UnknownNameError, match="layout mindcv has no models of the family deit; known: canonical, paddle"
    ):
        plan_between(build("deit_tiny"), "canonical", "mindcv")


def test_mindcv_splits_qkv_in_q_k_v() -> None:
    architecture, weights = weights_of("pit_ti")
    canonical = {key: LazyTensor.of(value) for key, value in weights.items()}
    mindcv = translate(canonical, architecture, "canonical", "mindcv")
    assert len(mindcv) == 208
    for canonical_block, block in (
        ("transformers.0.blocks.1", "0.blocks.1"),
        ("transformers.2.blocks.3", "0.blocks.2.blocks.3"),
    ):
        for part in ("weight", "bias"):
            packed = weights[f"{canonical_block}.attn.qkv.{part}"]
            for third, letter in enumerate("qkv"):
                width = len(packed) // 3
                np.testing.assert_array_equal(
                    mindcv[f"{block}.attn.{letter}.{part}"].load(), packed[third * width : (third + 1) * width]
                )


def _shapes(name: str, layout: str = "canonical") -> dict[str, tuple[int, ...]]:
    return {key: spec.shape for key, spec in specs_in(build(name), layout).items()}


def test_a_missing_and_an_extra_tensor_are_both_named() -> None:
    shapes = _shapes("pit_s")
    del shapes["norm.bias"]
    shapes["ema.decay"] = ()
    shapes["transformers.1.blocks.3.mlp.fc1.bias"] = (7,)
    with pytest.raises(PlanError) as caught:
        identify(shapes)
    assert caught.value.summary == "looks like pit_s in layout canonical, with 3 mismatches"
    assert caught.value.details == (
        "missing: norm.bias",
        "unexpected: ema.decay",
        "wrong shape: transformers.1.blocks.3.mlp.fc1.bias is (7,), expected (1152,)",
    )


def test_wrong_model_or_layout_is_refused_with_the_actual_one() -> None:
    with pytest.raises(PlanError, match="the tensors are pit_s in layout canonical, not pit_b"):
        identify(_shapes("pit_s"), model="pit_b")
    with pytest.raises(PlanError, match="the tensors are pit_s in layout timm, not layout paddlevit"):
        identify(_shapes("pit_s", "timm"), layout="paddlevit")


def test_tensors_of_an_unknown_model_are_refused() -> None:
    with pytest.raises(PlanError, match=r"the tensors are not a known model \(found 2: conv1\.weight, fc\.bias\)"):
        identify({"conv1.weight": (64, 3, 7, 7), "fc.bias": (10,)})
    with pytest.raises(PlanError, match="found 0: none"):
        identify({})


@pytest.mark.parametrize(("model", "layout"), [("pit_tii", None), (None, "timn")])
def test_unknown_names_are_refused_with_the_nearest(model: str | None, layout: str | None) -> None:
    with pytest.raises(UnknownNameError, match="did you mean"):
        identify({}, model=model, layout=layout)
    with pytest.raises(UnknownNameError, match=r"unknown layout of pit 'timn'; did you mean timm\?"):
        table_of("pit", "timn")


def test_translate_refuses_other_tensors() -> None:
    with pytest.raises(PlanError, match="the tensors are not pit_ti in layout canonical"):
        translate({}, build("pit_ti"), "canonical", "timm")
