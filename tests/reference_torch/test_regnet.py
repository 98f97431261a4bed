"""The reference RegNet is timm's: the same bits, and nothing of its own but what the file says."""

from __future__ import annotations

import numpy as np
import timm
import torch
from timm.models.regnet import model_cfgs

from porting import architectures
from reference_torch import regnet


def images() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).standard_normal((2, 3, 64, 48), np.float32))


def test_small_regnet_is_bit_equal_to_timm() -> None:
    torch.manual_seed(0)
    ours = regnet.RegNet(model_cfgs["regnety_002"], num_classes=9)
    torch.manual_seed(0)
    theirs = timm.create_model("regnety_002", num_classes=9)
    for training in (True, False):
        assert torch.equal(ours.train(training)(images()), theirs.train(training)(images()))
    for key, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[key], value), key
    logits, maps = ours.forward_intermediates(images())
    assert torch.equal(logits, theirs(images()))
    assert torch.equal(maps[-1], theirs.forward_features(images()))
    assert [tuple(tensor.shape) for tensor in maps] == [(2, 24, 16, 12), (2, 56, 8, 6), (2, 152, 4, 3), (2, 368, 2, 2)]


def test_teacher_is_timms_with_canonical_names() -> None:
    with torch.device("meta"):
        ours, theirs = regnet.create("regnety_160"), timm.create_model("regnety_160")
        plain = regnet.create("regnety_160", num_classes=0)
    assert str(ours) == str(theirs)
    for model, classes in ((ours, 1000), (plain, 0)):
        expected = architectures.build("regnety_160", num_classes=classes).tensors
        assert {key: tuple(value.shape) for key, value in model.state_dict().items()} == {
            key: spec.shape for key, spec in expected.items()
        }
