"""AdamW, clipping, and a state that another process finds again."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import paddle
import pytest
import torch
from paddle import nn
from timm.utils.clip_grad import dispatch_clip_grad

from paddle_impl.training.optimizer import AdamW, ClipByGlobalNorm
from recipe.config import Optimizer
from recipe.errors import TrainingError
from reference_torch.training.recipe import create_optimizer

Array = npt.NDArray[Any]


def _pair(seed: int = 0) -> tuple[nn.Layer, torch.nn.Module]:
    draw = np.random.default_rng(seed)
    ours, theirs = nn.Linear(7, 5).to(dtype="float64"), torch.nn.Linear(7, 5).double()
    weight, bias = draw.standard_normal((7, 5)), draw.standard_normal(5)
    ours.weight.set_value(weight)
    ours.bias.set_value(bias)
    with torch.no_grad():
        theirs.weight.copy_(torch.from_numpy(weight.T))
        theirs.bias.copy_(torch.from_numpy(bias))
    return ours, theirs


def _gradients(seed: int, step: int) -> tuple[Array, Array]:
    draw = np.random.default_rng((seed, step))
    scale = 10.0 ** draw.integers(-6, 2)
    return draw.standard_normal((7, 5)) * scale, draw.standard_normal(5) * scale


def _step(model: nn.Layer, optimizer: AdamW, step: int) -> None:
    for parameter, gradient in zip((model.weight, model.bias), _gradients(3, step), strict=True):
        parameter.grad = paddle.to_tensor(gradient)
    optimizer.step()
    optimizer.clear_grad()


def _distance(ours: nn.Layer, theirs: torch.nn.Module) -> float:
    weight, bias = (parameter.detach().numpy() for parameter in (theirs.weight, theirs.bias))
    return max(float(np.abs(ours.weight.numpy() - weight.T).max()), float(np.abs(ours.bias.numpy() - bias).max()))


@pytest.mark.parametrize(
    "config",
    [
        Optimizer(),
        Optimizer(weight_decay=0.0),
        Optimizer(weight_decay=0.3, betas=(0.8, 0.95), epsilon=1e-3),
        Optimizer(decay_all=True),
        Optimizer(clip=0.5),
        Optimizer(clip=1e9),
    ],
)
def test_steps_are_those_of_timms_adamw_in_float64(config: Optimizer) -> None:
    ours, theirs = _pair()
    optimizer, reference = AdamW(ours, config, 1e-2), create_optimizer(theirs, config, 1e-2)
    for step in range(50):
        rate = 1e-2 / (1 + step)
        optimizer.set_lr(rate)
        for group in reference.param_groups:
            group["lr"] = rate
        weight, bias = _gradients(3, step)
        theirs.weight.grad, theirs.bias.grad = torch.from_numpy(weight.T.copy()), torch.from_numpy(bias)
        if config.clip is not None:
            dispatch_clip_grad(theirs.parameters(), config.clip)
        reference.step()
        _step(ours, optimizer, step)
    assert _distance(ours, theirs) < 1e-13


def test_clipping_keeps_small_gradients_and_stores_the_norm() -> None:
    clip = ClipByGlobalNorm(5.0)
    parameter = paddle.ones([2])
    [(_, kept)] = clip([(parameter, paddle.to_tensor([3.0, -4.0]) / 2)])
    assert clip.norm is not None
    assert float(clip.norm) == 2.5
    np.testing.assert_array_equal(kept.numpy(), [1.5, -2.0])
    [(_, clipped)] = clip([(parameter, paddle.to_tensor([30.0, -40.0]))])
    np.testing.assert_allclose(clipped.numpy(), [3.0, -4.0], rtol=1e-6)
    assert clip([]) == []


def test_parameters_without_gradient_do_not_decay() -> None:
    model = nn.Linear(3, 2)
    before = model.weight.numpy().copy()
    model.bias.grad = paddle.ones_like(model.bias)
    AdamW(model, Optimizer(decay_all=True), 0.1).step()
    np.testing.assert_array_equal(model.weight.numpy(), before)


def test_resumed_optimizer_is_bit_equal_under_other_parameter_names() -> None:
    (whole, _), (first, _), (second, _) = _pair(), _pair(), _pair()
    config = Optimizer(clip=1.0)
    undisturbed, before = AdamW(whole, config, 1e-2), AdamW(first, config, 1e-2)
    for step in range(6):
        _step(whole, undisturbed, step)
    for step in range(3):
        _step(first, before, step)
    state = {name: tensor.numpy() for name, tensor in before.named_state().items()}
    second.set_state_dict(first.state_dict())
    assert {tensor.name for tensor in first.parameters()}.isdisjoint(tensor.name for tensor in second.parameters())
    after = AdamW(second, config, 1e-2)
    after.set_named_state(state)
    for step in range(3, 6):
        _step(second, after, step)
    for ours, theirs in ((whole.weight, second.weight), (whole.bias, second.bias)):
        assert ours.numpy().tobytes() == theirs.numpy().tobytes()
    assert set(state) == {
        f"{kind}/{name}"
        for kind in ("moment1", "moment2", "beta1_pow_acc", "beta2_pow_acc")
        for name in ("weight", "bias")
    }


def test_state_before_the_first_step_is_empty() -> None:
    model, _ = _pair()
    optimizer = AdamW(model, Optimizer(), 1e-2)
    assert optimizer.named_state() == {}
    optimizer.set_named_state({})
    _step(model, optimizer, 0)
    assert optimizer.named_state()


def test_state_of_another_model_is_refused() -> None:
    model, _ = _pair()
    optimizer = AdamW(model, Optimizer(), 1e-2)
    with pytest.raises(TrainingError) as caught:
        optimizer.set_named_state({"moment1/weight": np.zeros((2, 2)), "moment1/other": np.zeros(3)})
    assert caught.value.details == (
        "moment1/other: no such parameter",
        "moment1/weight: has shape (2, 2), expected (7, 5)",
    )
