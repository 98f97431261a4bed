from __future__ import annotations

import pytest

from porting.architectures import NAMES, build, recognise
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
}


@pytest.mark.parametrize(("name", "parameters"), PARAMETERS.items())
def test_published_parameter_counts(name: str, parameters: int) -> None:
    assert build(name).parameters == parameters


def test_all_published_variants_are_known() -> None:
    assert set(NAMES) == set(PARAMETERS)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [224, 256, 384, (224, 320)])
@pytest.mark.parametrize("classes", [1000, 10, 0])
def test_a_model_is_recognised_by_its_shapes(name: str, size: int | tuple[int, int], classes: int) -> None:
    architecture = build(name, image_size=size, num_classes=classes)
    found = recognise("pit", {key: spec.shape for key, spec in architecture.tensors.items()})
    assert found is not None
    assert (found.name, found.num_classes, found.tensors) == (name, classes, architecture.tensors)
    assert found.image_size == architecture.image_size


@pytest.mark.parametrize("key", ["pos_embed", "cls_token", "patch_embed.conv.weight"])
def test_shapes_of_no_variant_are_not_recognised(key: str) -> None:
    shapes = {name: spec.shape for name, spec in build("pit_ti").tensors.items()}
    assert recognise("pit", {name: shape for name, shape in shapes.items() if name != key}) is None
    assert recognise("pit", shapes | {key: (1, 2)}) is None
    assert recognise("pit", {}) is None


def test_bad_requests_say_what_is_wrong() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown model 'pit_tii'; did you mean pit_ti\?"):
        build("pit_tii")
    with pytest.raises(ValueError, match=r"image size \(8, 8\) is smaller than the patch size 16"):
        build("pit_ti", image_size=8)
    with pytest.raises(ValueError, match="the class count is -1"):
        build("pit_ti", num_classes=-1)
