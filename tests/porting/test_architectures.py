from __future__ import annotations

import subprocess
import sys

import pytest

from porting import architectures
from porting.architectures import FAMILIES, NAMES, build, recognise
from porting.errors import UnknownNameError

PARAMETERS = {
    "pit_ti": 4_847_272,
    "pit_xs": 10_618_888,
    "pit_s": 23_461_912,
    "pit_b": 73_764_840,
    "pit_ti_distilled": 5_104_336,
    "pit_xs_distilled": 11_003_984,
    "pit_s_distilled": 24_039_056,
    "pit_b_distilled": 74_790_096,
    "deit_tiny": 5_717_416,
    "deit_small": 22_050_664,
    "deit_base": 86_567_656,
    "deit_tiny_distilled": 5_910_800,
    "deit_small_distilled": 22_436_432,
    "deit_base_distilled": 87_338_192,
    "regnety_160": 83_590_140,
}
SIZED = tuple(name for name in NAMES if name != "regnety_160")


@pytest.mark.parametrize(("name", "parameters"), PARAMETERS.items())
def test_published_parameter_counts(name: str, parameters: int) -> None:
    assert build(name).parameters == parameters


def test_names_are_the_published_variants_and_the_micro_ones() -> None:
    assert set(NAMES) == {*PARAMETERS, "pit_micro", "pit_micro_distilled"}
    assert build("pit_micro").parameters == 225_442


@pytest.mark.parametrize(("name", "parameters"), [("deit_base", 86_859_496), ("deit_base_distilled", 87_630_032)])
def test_published_parameter_counts_at_384(name: str, parameters: int) -> None:
    assert build(name, image_size=384).parameters == parameters


@pytest.mark.parametrize("name", SIZED)
@pytest.mark.parametrize("size", [224, 256, 384])
@pytest.mark.parametrize("classes", [1000, 10, 0])
def test_model_is_recognised_by_its_shapes(name: str, size: int, classes: int) -> None:
    architecture = build(name, image_size=size, num_classes=classes)
    recognised = recognise(architecture.family, {key: spec.shape for key, spec in architecture.tensors.items()})
    assert recognised is not None
    assert (recognised.name, recognised.num_classes, recognised.tensors) == (name, classes, architecture.tensors)
    assert recognised.image_size == architecture.image_size


def test_model_with_a_rectangular_image_is_recognised() -> None:
    architecture = build("pit_ti", image_size=(224, 320))
    recognised = recognise("pit", {key: spec.shape for key, spec in architecture.tensors.items()})
    assert recognised == architecture


def test_regnet_is_recognised_with_its_buffers() -> None:
    architecture = build("regnety_160", num_classes=10)
    assert len(architecture.tensors) == 428
    assert len(architecture.buffers) == 3 * 59
    assert (len(architecture.counters), len(architecture.statistics)) == (59, 2 * 59)
    assert {*architecture.counters, *architecture.statistics} == architecture.buffers
    assert recognise("regnet", {key: spec.shape for key, spec in architecture.tensors.items()}) == architecture


@pytest.mark.parametrize("key", ["pos_embed", "cls_token", "patch_embed.conv.weight"])
def test_shapes_of_no_variant_are_not_recognised(key: str) -> None:
    shapes = {name: spec.shape for name, spec in build("pit_ti").tensors.items()}
    assert recognise("pit", {name: shape for name, shape in shapes.items() if name != key}) is None
    assert recognise("pit", shapes | {key: (1, 2)}) is None
    assert recognise("pit", {}) is None


def test_impossible_models_are_refused_with_the_reason() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown model 'pit_tii'; did you mean pit_ti\?"):
        build("pit_tii")
    with pytest.raises(ValueError, match=r"image size \(8, 8\) is smaller than the patch size 16"):
        build("pit_ti", image_size=8)
    with pytest.raises(ValueError, match=r"image size \(230, 230\) is no multiple of the patch size 16"):
        build("deit_base", image_size=230)
    for name in ("pit_ti", "deit_tiny", "regnety_160"):
        with pytest.raises(ValueError, match="the class count is -1"):
            build(name, num_classes=-1)


def test_planning_one_family_does_not_import_the_others() -> None:
    program = """
import sys
from porting.converters import specs_in
from porting.architectures import build
specs_in(build("pit_ti"), "timm")
print([name for name in sys.modules if name.endswith((".deit", ".regnet"))])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_unknown_family_and_attribute_are_refused() -> None:
    with pytest.raises(KeyError, match="vit"):
        FAMILIES["vit"]
    with pytest.raises(AttributeError, match="has no attribute 'NAME'"):
        architectures.NAME  # noqa: B018 (reading the attribute is the test)
