"""The reference DeiT is timm's: the same bits, and nothing of its own but what the file says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import timm
import torch

from porting import architectures
from reference_torch import deit

NAMES = {
    "deit_tiny": "deit_tiny_patch16_224",
    "deit_tiny_distilled": "deit_tiny_distilled_patch16_224",
    "deit_small": "deit_small_patch16_224",
    "deit_base_distilled": "deit_base_distilled_patch16_384",
}


def images(height: int = 32, width: int = 32) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).standard_normal((2, 3, height, width), np.float32))


@pytest.mark.parametrize("name", ["deit_tiny", "deit_tiny_distilled", "deit_small"])
def test_bit_equal_to_timm_from_the_first_draw(name: str) -> None:
    torch.manual_seed(0)
    ours = deit.create(name, image_size=32, num_classes=9).eval()
    torch.manual_seed(0)
    theirs = timm.create_model(NAMES[name], img_size=32, num_classes=9).eval()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for key, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[key], value), key
    assert torch.equal(ours(images()), theirs(images()))
    logits, tokens = ours.forward_intermediates(images())
    assert torch.equal(logits, theirs(images()))
    assert torch.equal(ours.forward_head(ours.norm(tokens[-1])), logits)
    assert [sequence.shape for sequence in tokens] == [ours.pos_embed.expand(2, -1, -1).shape] * 12


@pytest.mark.parametrize("name", deit.CONFIGS)
@pytest.mark.parametrize("form", [{}, {"image_size": 384, "num_classes": 0}, {"image_size": (32, 48)}])
def test_names_and_shapes_are_canonical(name: str, form: dict[str, Any]) -> None:
    with torch.device("meta"):
        model = deit.create(name, **form)
    expected = architectures.build(name, **form).tensors
    assert {key: tuple(value.shape) for key, value in model.state_dict().items()} == {
        key: spec.shape for key, spec in expected.items()
    }


@pytest.mark.parametrize("name", NAMES)
def test_hyper_parameters_are_timms(name: str) -> None:
    with torch.device("meta"):
        ours, theirs = deit.create(name), timm.create_model(NAMES[name], img_size=224)
    assert str(ours.blocks) == str(theirs.blocks)
    assert ours.blocks[0].attn.num_heads == theirs.blocks[0].attn.num_heads
    assert ours.norm.eps == theirs.norm.eps == 1e-6


def test_distilled_model_returns_both_heads_in_training() -> None:
    model = deit.create("deit_tiny_distilled", image_size=32, num_classes=9)
    pair, tokens = model(images()), model.forward_features(images())
    assert torch.equal(pair[0], model.head(tokens[:, 0]))
    assert torch.equal(pair[1], model.head_dist(tokens[:, 1]))
    assert torch.equal(model.eval()(images()), (pair[0] + pair[1]) / 2)
