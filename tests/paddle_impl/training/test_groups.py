"""Decay groups: timm's parameter groups, name by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest
import timm
from paddle import nn
from timm.models.regnet import model_cfgs
from timm.optim import create_optimizer_v2

from paddle_impl import deit, pit, regnet
from paddle_impl.training.optimizer import AdamW, decay_groups
from porting import architectures
from porting.architectures import Architecture
from porting.architectures import regnet as architecture
from porting.checkpoint.tensor import LazyTensor
from porting.conversion import translate
from recipe.config import Optimizer
from reference_torch import deit as torch_deit
from reference_torch import pit as torch_pit
from reference_torch import regnet as torch_regnet

REGNET: dict[str, Any] = {"widths": (24, 56, 152, 368), "depth": (1, 1, 4, 7), "group_width": 8}
"""timm's regnety_002, a small one of the teacher's class."""


def _timms(model: Any) -> dict[str, bool]:
    """Whether each parameter decays, by its name in timm."""
    optimizer = create_optimizer_v2(model, opt="adamw", lr=1e-3, weight_decay=0.05)
    decays = {id(tensor): group["weight_decay"] > 0 for group in optimizer.param_groups for tensor in group["params"]}
    return {name: decays[id(parameter)] for name, parameter in model.named_parameters()}


def _ours(model: nn.Layer, architecture: Architecture, layout: str) -> dict[str, bool]:
    """Likewise by timm's names: ones and zeros in the place of weights are ported like weights."""
    groups = decay_groups(model)
    marks = {
        name: LazyTensor.of(np.full(tensor.shape, float(name in groups.decay), np.float32))
        for name, tensor in model.state_dict().items()
    }
    ported = translate(marks, architecture, "paddlevit", layout)
    return {name: bool(tensor.load().all()) for name, tensor in ported.items() if name not in architecture.buffers}


@pytest.mark.parametrize("name", ["pit_ti", "pit_ti_distilled", "deit_tiny", "deit_tiny_distilled"])
def test_groups_are_those_of_timm(name: str) -> None:
    ours = (pit if name.startswith("pit") else deit).create(name, image_size=32)
    theirs = (torch_pit if name.startswith("pit") else torch_deit).create(name, image_size=32)
    assert _ours(ours, architectures.build(name, image_size=32), "canonical") == _timms(theirs)


def test_groups_of_pit_are_those_of_timms_own_pit() -> None:
    theirs = timm.create_model("pit_ti_224")
    assert _ours(pit.create("pit_ti"), architectures.build("pit_ti"), "timm") == _timms(theirs)


def test_groups_of_a_regnet_are_those_of_timm() -> None:
    published = architecture.architecture("regnety_002", architecture.RegnetConfig(**REGNET))
    ours, theirs = regnet.RegNet(regnet.RegnetConfig(**REGNET)), torch_regnet.RegNet(model_cfgs["regnety_002"])
    decayed = _ours(ours, published, "canonical")
    assert decayed == _timms(theirs)
    assert any(decayed.values())


def test_54_of_160_parameters_decay() -> None:
    model = pit.create("pit_ti", image_size=32)
    groups = decay_groups(model)
    assert (len(groups.decay), len(groups.exempt)) == (54, 106)
    assert not any("bias" in parameter.name or "norm.weight" in parameter.name for parameter in model.parameters())


def test_decay_all_exempts_nothing() -> None:
    groups = decay_groups(pit.create("pit_ti", image_size=32), decay_all=True)
    assert (len(groups.decay), len(groups.exempt)) == (160, 0)


def test_frozen_parameters_are_in_no_group() -> None:
    model = nn.Linear(3, 2)
    model.weight.stop_gradient = True
    groups = decay_groups(model)
    assert (groups.decay, groups.exempt) == ((), ("bias",))


class _Named(nn.Layer):
    """Has a bias with two axes, and exempts parameters by a pattern."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Linear(3, 2, bias_attr=False)
        self.token_a, self.token_b, self.bias = (self.create_parameter((2, 2)) for _ in range(3))
        self.inner = nn.Linear(3, 2, bias_attr=False)
        self.inner.bias = self.create_parameter((2, 2))

    def no_weight_decay(self) -> set[str]:
        """As the models have it."""
        return {"token_*"}


def test_biases_of_any_shape_and_names_that_match_a_pattern_are_exempt() -> None:
    groups = decay_groups(_Named())
    assert set(groups.exempt) == {"token_a", "token_b", "inner.bias"}
    assert set(groups.decay) == {"table.weight", "bias", "inner.weight"}


def test_step_with_zero_gradients_shrinks_exactly_what_decays() -> None:
    model = pit.create("pit_ti", image_size=32)
    for parameter in model.parameters():
        parameter.set_value(paddle.ones_like(parameter))
        parameter.grad = paddle.zeros_like(parameter)
    optimizer = AdamW(model, Optimizer(), 0.1)
    optimizer.step()
    shrunk = {name for name, parameter in model.named_parameters() if float(parameter.max()) < 1}
    assert shrunk == set(optimizer.groups.decay)
