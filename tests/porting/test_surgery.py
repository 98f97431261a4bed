from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from porting.architectures import Architecture, build
from porting.checkpoint.tensor import LazyTensor
from porting.converters import outward
from porting.errors import PlanError
from porting.surgery import Surgery, operate
from porting.synthetic import random_weights


def operated(architecture: Architecture, surgery: Surgery) -> tuple[Architecture, dict[str, Any], dict[str, str]]:
    weights = random_weights(architecture)
    target, plan = operate(architecture, surgery)
    tensors = {name: LazyTensor.of(values) for name, values in weights.items()}
    changed = {name: tensor.load() for name, tensor in plan.apply(tensors).items()}
    assert {name: array.shape for name, array in changed.items()} == {
        name: spec.shape for name, spec in target.tensors.items()
    }
    assert set(weights) - set(plan.dropped) | set(plan.changes) >= set(changed)
    for name in set(changed) - set(plan.changes):
        np.testing.assert_array_equal(changed[name], weights[name])
    return target, {"before": weights, "after": changed}, plan.changes


@pytest.mark.parametrize("name", ["pit_ti", "pit_b_distilled", "deit_tiny", "deit_base_distilled", "regnety_160"])
def test_surgery_without_changes_gives_the_same_plan(name: str) -> None:
    architecture = build(name)
    same = Surgery(image_size=architecture.image_size, num_classes=1000)
    for surgery in (Surgery(), same):
        target, plan = operate(architecture, surgery)
        assert (target, plan.changes, plan.dropped) == (architecture, {}, {})
        assert plan.then(outward(target, "paddlevit")).outputs == outward(architecture, "paddlevit").outputs


def test_feature_map_is_resized_as_torch_interpolates_it() -> None:
    import torch

    target, arrays, changes = operated(build("pit_ti"), Surgery(image_size=(384, 384)))
    assert target == build("pit_ti", image_size=384)
    assert changes == {"pos_embed": "resize to 47x47, bicubic"}
    before = torch.from_numpy(arrays["before"]["pos_embed"]).double()
    expected = torch.nn.functional.interpolate(before, size=(47, 47), mode="bicubic", align_corners=False)
    np.testing.assert_array_equal(arrays["after"]["pos_embed"], expected.numpy().astype(np.float32))


@pytest.mark.parametrize(("name", "extra"), [("deit_tiny", 1), ("deit_tiny_distilled", 2)])
def test_token_embedding_is_resized_as_torch_interpolates_it(name: str, extra: int) -> None:
    import torch

    target, arrays, changes = operated(build(name), Surgery(image_size=(384, 384)))
    assert target == build(name, image_size=384)
    assert changes == {"pos_embed": "resize from 14x14 to 24x24 patches, bicubic"}
    before = torch.from_numpy(arrays["before"]["pos_embed"]).double()
    grid = before[:, extra:].reshape(1, 14, 14, -1).permute(0, 3, 1, 2)
    resized = torch.nn.functional.interpolate(grid, size=(24, 24), mode="bicubic", align_corners=False)
    expected = torch.cat([before[:, :extra], resized.permute(0, 2, 3, 1).flatten(1, 2)], dim=1)
    np.testing.assert_array_equal(arrays["after"]["pos_embed"], expected.numpy().astype(np.float32))


def test_deit_embedding_is_resized_as_in_timm() -> None:
    """timm computes in float32, whose sampling positions alone are off by 3e-6 of a pixel."""
    import torch

    from reference_torch.compat import prepare_timm

    prepare_timm()
    from timm.layers import resample_abs_pos_embed

    _, arrays, _ = operated(build("deit_tiny"), Surgery(image_size=(384, 384)))
    before = torch.from_numpy(arrays["before"]["pos_embed"])
    expected = resample_abs_pos_embed(before, [24, 24], antialias=False).numpy()
    np.testing.assert_allclose(arrays["after"]["pos_embed"], expected, atol=5e-6)


@pytest.mark.parametrize("name", ["pit_ti_distilled", "deit_tiny", "regnety_160"])
def test_new_heads_are_initialised_by_the_seed(name: str) -> None:
    architecture = build(name)
    target, arrays, changes = operated(architecture, Surgery(num_classes=10, seed=3))
    heads = [key for key in architecture.tensors if "head" in key]
    assert sorted(changes) == sorted(heads)
    for key in heads:
        values = arrays["after"][key]
        assert values.dtype == np.float32
        if key.endswith("bias"):
            assert not values.any()
        else:
            assert abs(values.std() / (0.02 * 0.88) - 1) < 0.1
            assert np.abs(values).max() <= 0.04
    again = operated(architecture, Surgery(num_classes=10, seed=3))[1]["after"]
    other = operated(architecture, Surgery(num_classes=10, seed=4))[1]["after"]
    weight = heads[0]
    np.testing.assert_array_equal(arrays["after"][weight], again[weight])
    assert not np.array_equal(arrays["after"][weight], other[weight])
    assert target.num_classes == 10


def test_heads_are_dropped() -> None:
    target, plan = operate(build("pit_ti_distilled"), Surgery(num_classes=0))
    assert sorted(plan.dropped) == ["head.bias", "head.weight", "head_dist.bias", "head_dist.weight"]
    assert target == build("pit_ti_distilled", num_classes=0)
    assert plan.changes == {}


def test_a_distilled_model_becomes_a_plain_one() -> None:
    target, arrays, changes = operated(build("pit_ti_distilled"), Surgery(drop_head_dist=True))
    assert target == build("pit_ti")
    assert changes == {"cls_token": "drop token 1"}
    np.testing.assert_array_equal(arrays["after"]["cls_token"], arrays["before"]["cls_token"][:, :1])

    target, arrays, changes = operated(
        build("deit_tiny_distilled"), Surgery(drop_head_dist=True, image_size=(256, 256))
    )
    assert target == build("deit_tiny", image_size=256)
    assert changes == {"pos_embed": "drop token 1 then resize from 14x14 to 16x16 patches, bicubic"}
    np.testing.assert_array_equal(arrays["after"]["pos_embed"][:, 0], arrays["before"]["pos_embed"][:, 0])


def test_impossible_surgery_is_refused() -> None:
    with pytest.raises(PlanError, match="pit_ti has no distillation head; leave out --drop-head-dist"):
        operate(build("pit_ti"), Surgery(drop_head_dist=True))
    with pytest.raises(ValueError, match="no multiple of the patch size"):
        operate(build("deit_tiny"), Surgery(image_size=(230, 230)))


def test_a_new_head_has_the_dtype_of_the_others() -> None:
    architecture = build("pit_ti")
    _, plan = operate(architecture, Surgery(num_classes=5))
    tensors = {name: LazyTensor.of(values.astype(np.float16)) for name, values in random_weights(architecture).items()}
    assert plan.apply(tensors)["head.weight"].dtype == np.float16
