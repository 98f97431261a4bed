"""The reference is timm's model, under the names of the official files."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import nn

from porting import architectures
from porting.synthetic import random_weights
from reference_torch import pit

SMALL: dict[str, Any] = {"image_size": (48, 64), "num_classes": 7}


def weights(name: str, **size: Any) -> dict[str, torch.Tensor]:
    return {key: torch.from_numpy(array) for key, array in random_weights(architectures.build(name, **size)).items()}


def loaded(name: str, **rates: Any) -> pit.PoolingTransformer:
    with torch.device("meta"):
        model = pit.create(name, **SMALL, **rates)
    model.load_state_dict(weights(name, **SMALL), assign=True)
    return model


def images(batch: int = 2, height: int = 48, width: int = 64, channels: int = 3) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(1).standard_normal((batch, channels, height, width), np.float32))


PUBLISHED = [name for name in pit.CONFIGS if not name.startswith("pit_micro")]


def timm_twin(name: str, state: dict[str, torch.Tensor], **size: Any) -> nn.Module:
    with torch.device("meta"):
        model = timm.create_model(f"{name}_224", **size)
    renamed = {re.sub(r"^pools\.(\d)", lambda m: f"transformers.{int(m[1]) + 1}.pool", k): v for k, v in state.items()}
    model.load_state_dict(renamed, assign=True)
    return model


@pytest.mark.parametrize("name", PUBLISHED)
def test_bit_equal_to_timm(name: str) -> None:
    model = loaded(name).eval()
    twin = timm_twin(name, model.state_dict(), img_size=SMALL["image_size"], num_classes=7).eval()
    with torch.no_grad():
        logits, maps = model.forward_intermediates(images())
        features, twin_maps = twin.forward_intermediates(images())
        assert torch.equal(logits, twin(images()))
        assert torch.equal(model.forward_features(images()), features)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(maps, twin_maps, strict=True))


def test_gradients_bit_equal_to_timm_at_the_published_size() -> None:
    state = weights("pit_ti")
    model, twin = pit.create("pit_ti"), timm_twin("pit_ti", state)
    model.load_state_dict(state)
    for network in (model, twin):
        network.eval()(images(1, 224, 224)).square().sum().backward()
    theirs = dict(twin.named_parameters())
    for key, parameter in model.named_parameters():
        renamed = re.sub(r"^pools\.(\d)", lambda m: f"transformers.{int(m[1]) + 1}.pool", key)
        assert torch.equal(parameter.grad, theirs[renamed].grad), key


@pytest.mark.parametrize("name", pit.CONFIGS)
def test_names_and_shapes_are_canonical(name: str) -> None:
    for size in ({"image_size": 224, "num_classes": 1000}, SMALL, {"image_size": 32, "num_classes": 0}):
        expected = [(key, spec.shape) for key, spec in architectures.build(name, **size).tensors.items()]
        with torch.device("meta"):
            model = pit.create(name, **size)
        assert [(key, tuple(value.shape)) for key, value in model.state_dict().items()] == expected


@pytest.mark.parametrize("change", ["missing", "extra", "shape"])
def test_loads_strictly(change: str) -> None:
    state = weights("pit_ti", **SMALL)
    if change == "missing":
        del state["pools.0.fc.bias"]
    elif change == "extra":
        state["head_dist.bias"] = torch.zeros(7)
    else:
        state["pos_embed"] = state["pos_embed"].transpose(2, 3)
    with pytest.raises(RuntimeError, match=r"pools\.0\.fc\.bias|head_dist\.bias|pos_embed"):
        pit.create("pit_ti", **SMALL).load_state_dict(state)


def test_distilled_model_returns_both_heads_in_training_and_their_mean_in_evaluation() -> None:
    model = loaded("pit_ti_distilled")
    pair = model.train()(images())
    features = model.forward_features(images())
    assert torch.equal(pair[0], model.head(features[:, 0]))
    assert torch.equal(pair[1], model.head_dist(features[:, 1]))
    assert torch.equal(model.eval()(images()), (pair[0] + pair[1]) / 2)
    assert model.get_classifier() == (model.head, model.head_dist)


def test_drop_path_rises_over_all_blocks() -> None:
    model = pit.create("pit_b", **SMALL, drop_path_rate=0.26)
    blocks = [block for stage in model.transformers for block in stage.blocks]
    rates = [getattr(block.drop_path1, "drop_prob", 0.0) for block in blocks]
    assert rates == pytest.approx([0.26 * block / 13 for block in range(13)])
    assert rates == [getattr(block.drop_path2, "drop_prob", 0.0) for block in blocks]


@pytest.mark.parametrize("rate", ["drop_rate", "attn_drop_rate", "drop_path_rate"])
def test_dropout_acts_in_training_only(rate: str) -> None:
    model = loaded("pit_ti", **{rate: 0.5})
    torch.manual_seed(0)
    assert not torch.equal(model.train()(images()), model(images()))
    assert torch.equal(model.eval()(images()), loaded("pit_ti").eval()(images()))


def test_drop_rate_applies_to_the_embedding_and_the_projections() -> None:
    model = pit.create("pit_ti", **SMALL, drop_rate=0.1, attn_drop_rate=0.2)
    block = model.transformers[1].blocks[0]
    assert [d.p for d in (model.pos_drop, block.attn.proj_drop, block.mlp.drop1, block.mlp.drop2)] == [0.1] * 4
    assert block.attn.attn_drop.p == 0.2


@pytest.mark.parametrize(("height", "width"), [(16, 16), (57, 57), (40, 90)])
def test_any_image_size(height: int, width: int) -> None:
    model = pit.create("pit_ti", image_size=(height, width), num_classes=3, in_channels=1).eval()
    logits: Any
    logits, maps = model.forward_intermediates(images(2, height, width, channels=1))
    rows, columns = (height - 16) // 8 + 1, (width - 16) // 8 + 1
    assert logits.shape == (2, 3)
    assert [tuple(m.shape) for m in maps] == [
        (2, 64, rows, columns),
        (2, 128, (rows + 1) // 2, (columns + 1) // 2),
        (2, 256, ((rows + 1) // 2 + 1) // 2, ((columns + 1) // 2 + 1) // 2),
    ]


def test_other_number_of_patches_is_refused() -> None:
    model = pit.create("pit_ti", image_size=16)
    with pytest.raises(ValueError, match="map of 2x1 patches, the model was created for one of 1x1"):
        model(images(1, 24, 16))


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("pit_bt", {}, "unknown model 'pit_bt'; did you mean pit_b"),
        ("resnet50", {}, "known: pit_ti, pit_xs"),
        ("pit_ti", {"image_size": 15}, r"image size \(15, 15\) is smaller than the patch size 16"),
        ("pit_b", {"image_size": (224, 13)}, r"image size \(224, 13\)"),
        ("pit_ti", {"num_classes": -1}, "the class count is -1"),
    ],
)
def test_bad_arguments_are_refused(name: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pit.create(name, **arguments)


@pytest.mark.parametrize("name", ["pit_ti", "pit_ti_distilled"])
def test_reset_classifier_removes_the_head_or_adds_one(name: str) -> None:
    model = loaded(name).double().eval()
    batch = images().double()
    tokens = model.forward_features(batch)
    model.reset_classifier(0)
    assert torch.equal(model(batch), tokens.mean(1))
    model.reset_classifier(4)
    assert model(batch).shape == (2, 4)
    assert (model.num_classes, model.head.weight.dtype, model.head.training) == (4, torch.float64, False)


def test_no_weight_decay_returns_names_of_parameters() -> None:
    model = pit.create("pit_ti", **SMALL)
    assert model.no_weight_decay() == {"pos_embed", "cls_token"}
    assert model.no_weight_decay() <= set(dict(model.named_parameters()))


def test_embeddings_start_truncated_normal_and_norms_at_one() -> None:
    torch.manual_seed(0)
    model = pit.create("pit_s")
    assert model.pos_embed.std().item() == pytest.approx(0.02, rel=0.02)
    assert model.cls_token.std().item() == pytest.approx(0.02, rel=0.25)
    assert torch.equal(model.norm.weight, torch.ones(576))
    assert torch.equal(model.norm.bias, torch.zeros(576))
