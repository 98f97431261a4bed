"""The torch side of the recipe: timm's parts, driven by the configuration."""

from __future__ import annotations

import pytest
import torch
from timm.optim import create_optimizer_v2
from timm.scheduler import CosineLRScheduler
from timm.utils import ModelEmaV2
from torch.nn import functional

from recipe.config import Config, Distillation, Optimizer, Schedule
from recipe.errors import TrainingError
from recipe.loading import load
from reference_torch import pit
from reference_torch.training.losses import RecipeLoss
from reference_torch.training.recipe import EpochSchedule, Recipe, create_optimizer, prepare
from reference_torch.training.starting import start


def _config(*overrides: str) -> Config:
    return load("pit_ti_224", ("model.image_size=32", "model.num_classes=10", "data.batch_size=2", *overrides))


def _recipe(*overrides: str) -> Recipe:
    return prepare(_config(*overrides))


def test_parts_are_timms_with_the_values_of_the_configuration() -> None:
    recipe = _recipe("optimizer.epsilon=1e-7", "ema.decay=0.9")
    assert isinstance(recipe.optimizer, torch.optim.AdamW)
    assert isinstance(recipe.schedule.scheduler, CosineLRScheduler)
    assert isinstance(recipe.ema, ModelEmaV2)
    assert recipe.ema.decay == 0.9
    assert {group["eps"] for group in recipe.optimizer.param_groups} == {1e-7}
    assert recipe.schedule.rate == 1e-6
    assert recipe.schedule.scheduler.base_values[0] == 5e-4 * 2 / 512


def test_decay_of_zero_keeps_no_average() -> None:
    assert _recipe("ema.decay=0").ema is None


def test_groups_are_those_of_timms_factory() -> None:
    model = pit.create("pit_ti", image_size=32)
    ours = create_optimizer(model, Optimizer(), 1e-3)
    theirs = create_optimizer_v2(model, opt="adamw", lr=1e-3, weight_decay=0.05)
    assert [len(group["params"]) for group in ours.param_groups] == [106, 54]
    for actual, expected in zip(ours.param_groups, theirs.param_groups, strict=True):
        assert [id(parameter) for parameter in actual["params"]] == [id(parameter) for parameter in expected["params"]]
        assert actual["weight_decay"] == expected["weight_decay"]


def test_decay_all_exempts_nothing() -> None:
    optimizer = create_optimizer(pit.create("pit_ti", image_size=32), Optimizer(decay_all=True), 1e-3)
    [group] = optimizer.param_groups
    assert (len(group["params"]), group["weight_decay"]) == (160, 0.05)


@pytest.mark.parametrize(("quirk", "expected"), [(True, [0.1, 0.1, 0.55]), (False, [0.1, 0.55, 1.0])])
def test_deit_quirk_delays_the_rate_by_an_epoch(quirk: bool, expected: list[float]) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = EpochSchedule(Schedule(1000, 2, 0.1, 0.0, 0, quirk), optimizer)
    rates = []
    for epoch in range(3):
        rates.append(schedule.rate)
        schedule.finish_epoch(epoch)
    assert rates == pytest.approx(expected, rel=1e-4)


def test_accumulation_averages_the_micro_batches() -> None:
    whole, parts = _recipe("model.drop_path_rate=0"), _recipe("model.drop_path_rate=0")
    images, labels = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)), torch.arange(4)
    [loss] = whole.update([(images, labels)]).losses
    losses = parts.update([(images[:2], labels[:2]), (images[2:], labels[2:])]).losses
    assert float(sum(losses) / 2) == pytest.approx(float(loss), rel=1e-5)
    for ours, theirs in zip(parts.model.parameters(), whole.model.parameters(), strict=True):
        assert ours.grad is not None
        assert theirs.grad is not None
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-6)


def test_one_update_moves_the_average_once() -> None:
    recipe = _recipe("ema.decay=0.5", "model.drop_path_rate=0")
    before = recipe.model.head.bias.detach().clone()
    images, labels = torch.randn(2, 3, 32, 32), torch.arange(2)
    recipe.update([(images, labels), (images, labels)])
    assert recipe.ema is not None
    torch.testing.assert_close(recipe.ema.module.head.bias, (before + recipe.model.head.bias) / 2)


def test_distillation_is_deits() -> None:
    heads, teacher = (torch.randn(3, 5), torch.randn(3, 5)), torch.randn(3, 5)
    images, labels = torch.zeros(3, 3, 2, 2), torch.arange(3)
    base = functional.cross_entropy(heads[0], labels, label_smoothing=0.1)
    for kind in ("hard", "soft"):
        config = Config(distillation=Distillation(kind, alpha=0.25, temperature=3.0))
        actual = RecipeLoss(config, lambda _: teacher)(heads, images, labels)
        shares = (teacher / 3).softmax(1)
        expected = {
            "hard": functional.cross_entropy(heads[1], teacher.argmax(1)),
            "soft": (shares * (shares.log() - (heads[1] / 3).log_softmax(1))).sum() * 9 / 15,
        }[kind]
        torch.testing.assert_close(actual, 0.75 * base + 0.25 * expected)


def test_distillation_without_teacher_is_refused() -> None:
    with pytest.raises(TrainingError, match="needs a teacher"):
        RecipeLoss(Config(distillation=Distillation("soft")))


def test_fresh_weights_follow_the_seed() -> None:
    config = _config("run.seed=5", "run.precision=float64")
    first = start(config).model
    torch.randn(3)
    second = start(config).model
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert next(first.parameters()).dtype == torch.float64
