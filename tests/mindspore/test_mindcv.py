"""Ported weights in MindCV's own models: no parameter is missing, every one is bit-equal, and the answers agree."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from porting import tables
from porting.architectures import build
from porting.checkpoint import LazyTensor, open_checkpoint, write_checkpoint
from porting.conversion import convert, translate, write_random
from porting.converters import inward, plan_between
from porting.plan import plan
from porting.synthetic import random_weights

NAMES = {name: name for name in ("pit_ti", "pit_xs")} | {"regnety_160": "regnet_y_16gf"}


def create(mindcv: Any, name: str) -> Any:
    return mindcv.create_model(NAMES[name]).set_train(False)


def load(mindspore: Any, net: Any, path: Path) -> tuple[list[str], list[str]]:
    """The parameters that were not loaded, and the tensors that were not used."""
    options = {"format": "safetensors"} if path.suffix == ".safetensors" else {"crc_check": True}
    left = mindspore.load_param_into_net(net, mindspore.load_checkpoint(str(path), **options), strict_load=True)
    return left[0], left[1]


def answer(mindspore: Any, net: Any, images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    actual: np.ndarray[Any, Any] = net(mindspore.Tensor(images)).asnumpy()
    return actual


def use_exact_gelu(mindspore: Any, net: Any) -> None:
    for _, cell in net.cells_and_names():
        if isinstance(getattr(cell, "act", None), mindspore.nn.GELU):
            cell.act = mindspore.nn.GELU(approximate=False)


@pytest.mark.parametrize(("name", "suffix"), [*((name, "ckpt") for name in NAMES), ("pit_ti", "safetensors")])
def test_ported_weights_are_all_loaded_and_give_the_logits_of_torch(
    mindspore: Any,
    mindcv: Any,
    name: str,
    suffix: str,
    recorder: Mapping[str, Any],
    recorded: Mapping[str, Any],
    tmp_path: Path,
) -> None:
    path, architecture = tmp_path / f"weights.{suffix}", build(name)
    weights = random_weights(architecture)
    lazy = {key: LazyTensor.of(values) for key, values in weights.items()}
    write_checkpoint(path, translate(lazy, architecture, "canonical", "mindcv"), metadata={"format": "ms"})
    net = create(mindcv, name)
    assert load(mindspore, net, path) == ([], [])
    held = {parameter.name: LazyTensor.of(parameter.asnumpy()) for parameter in net.get_parameters()}
    canonical = inward(architecture, "mindcv").apply(held)
    for key, values in weights.items():
        if not key.endswith("num_batches_tracked"):
            np.testing.assert_array_equal(canonical[key].load(), values, err_msg=key)
    use_exact_gelu(mindspore, net)
    actual = answer(mindspore, net, recorder["images"](name))[:, : recorder["KEPT"]]
    np.testing.assert_allclose(actual, recorded[name], rtol=1e-5, atol=1e-5)


def test_mindcv_model_has_the_tanh_gelu(
    mindspore: Any, mindcv: Any, recorder: Mapping[str, Any], recorded: Mapping[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "weights.ckpt"
    write_random(build("pit_ti"), path)
    net = create(mindcv, "pit_ti")
    load(mindspore, net, path)
    actual = answer(mindspore, net, recorder["images"]("pit_ti"))[:, : recorder["KEPT"]]
    assert 1e-4 < np.abs(actual - recorded["pit_ti"]).max() < 1e-2


@pytest.mark.parametrize("name", ["pit_ti"])
def test_attribute_paths_leave_most_of_the_model_unloaded(
    mindspore: Any, mindcv: Any, name: str, tmp_path: Path
) -> None:
    """The mistake that `mindcv-attributes` names: MindSpore raises nothing."""
    correct, wrong, architecture = tmp_path / "right.ckpt", tmp_path / "wrong.ckpt", build(name)
    write_random(architecture, correct)
    plan = plan_between(architecture, "mindcv-attributes", "mindcv")
    with open_checkpoint(correct) as checkpoint:
        write_checkpoint(wrong, {plan.sources_of(key)[0]: tensor for key, tensor in checkpoint.tensors.items()})
    net = create(mindcv, name)
    with open_checkpoint(wrong) as checkpoint:
        assert set(checkpoint.tensors) == {path for path, _ in net.parameters_and_names()}
    not_loaded, _ = mindspore.load_param_into_net(net, mindspore.load_checkpoint(str(wrong)))
    assert len(not_loaded) == 160


@pytest.mark.parametrize("name", ["pit_ti", "regnety_160"])
def test_saved_file_of_mindcv_is_identified_and_read_bit_by_bit(
    mindspore: Any, mindcv: Any, name: str, tmp_path: Path
) -> None:
    net, saved, target = create(mindcv, name), tmp_path / "saved.ckpt", tmp_path / "again.ckpt"
    mindspore.save_checkpoint(net, str(saved), crc_check=True)
    with open_checkpoint(saved) as checkpoint:
        assert list(checkpoint.tensors) == [parameter.name for parameter in net.get_parameters()]
        for parameter in net.get_parameters():
            np.testing.assert_array_equal(checkpoint.tensors[parameter.name].load(), parameter.asnumpy())
    report = convert(saved, target)
    assert (report.architecture, report.source_layout, report.notes) == (build(name), "mindcv", ())
    with open_checkpoint(saved) as first, open_checkpoint(target) as second:
        assert set(first.tensors) == set(second.tensors)


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("mobilenet_v1", "mobilenet_v1_100"),
        ("mobilenet_v2", "mobilenet_v2_100"),
        *((name, name) for name in ("densenet121", "densenet161", "densenet169", "densenet201")),
    ],
)
def test_mindcv_model_has_the_names_and_shapes_of_its_table_in_the_library(mindcv: Any, model: str, name: str) -> None:
    architecture = tables.build(model, 7)
    table = tables.family(architecture.family).tables["mindcv"]
    specs = plan(table.rules, architecture.tensors).specs
    expected = {key: spec.shape for key, spec in specs.items()}
    net = mindcv.create_model(name, num_classes=7)
    assert {parameter.name: tuple(parameter.shape) for parameter in net.get_parameters()} == expected
