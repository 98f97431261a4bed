"""The rate curve: timm's scheduler, as the DeiT recipe drives it, at every update."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import paddle
import pytest
import torch
from timm.scheduler import create_scheduler_v2

from recipe.config import Schedule
from recipe.loading import load
from recipe.schedule import CosineSchedule
from reference_torch.training.recipe import EpochSchedule

UPDATES = 4


def _timms(config: Schedule, peak: float) -> Iterator[float]:
    """The rate of every update, with timm's factory; the quirk is DeiT's `lr_scheduler.step(epoch)` after an epoch."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=peak)
    scheduler, epochs = create_scheduler_v2(
        optimizer,
        sched="cosine",
        num_epochs=config.epochs,
        warmup_epochs=config.warmup_epochs,
        warmup_lr=config.warmup_rate,
        min_lr=config.minimum_rate,
        cooldown_epochs=config.cooldown_epochs,
    )
    for epoch in range(epochs):
        for _ in range(UPDATES):
            yield optimizer.param_groups[0]["lr"]
        scheduler.step(epoch if config.deit_quirk else epoch + 1)


@pytest.mark.parametrize("quirk", [True, False])
@pytest.mark.parametrize(
    "config",
    [
        Schedule(300, 5, 1e-6, 1e-5, 10),
        Schedule(300, 10, 1e-6, 1e-5, 10),
        Schedule(300, 20, 5e-7, 5e-6, 10),
        Schedule(30, 5, 1e-6, 5e-6, 0),
        Schedule(600, 10, 0.0, 1e-5, 0),
        Schedule(7, 0, 1e-6, 0.0, 3),
        Schedule(4, 4, 1e-6, 1e-5, 2),
        Schedule(1, 1, 1e-6, 1e-5, 1),
    ],
)
@pytest.mark.parametrize("peak", [5e-4, 1e-3 / 3, 5e-6])
def test_rate_is_timms_at_every_update(config: Schedule, quirk: bool, peak: float) -> None:
    config = Schedule(
        config.epochs, config.warmup_epochs, config.warmup_rate, config.minimum_rate, config.cooldown_epochs, quirk
    )
    ours = CosineSchedule(config, peak)
    rates = [ours.rate(epoch, update) for epoch in range(ours.epochs) for update in range(UPDATES)]
    assert rates == list(_timms(config, peak))


def test_first_two_epochs_of_deit_have_the_warm_up_rate() -> None:
    ours = CosineSchedule(Schedule(deit_quirk=True), 5e-4)
    assert ours.rate(0) == ours.rate(1) == 1e-6 < ours.rate(2)
    plain = CosineSchedule(Schedule(deit_quirk=False), 5e-4)
    assert plain.rate(0) == 1e-6 < plain.rate(1)


@pytest.mark.parametrize("quirk", [True, False])
def test_rate_rises_then_falls_and_ends_above_zero(quirk: bool) -> None:
    ours = CosineSchedule(Schedule(300, 5, 1e-6, 1e-5, 10, quirk), 5e-4)
    rates = [ours.rate(epoch) for epoch in range(ours.epochs)]
    top = rates.index(max(rates))
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert len(rates) == 310
    assert rates[-9:] == [1e-5] * 9
    assert max(rates) < 5e-4


def test_rates_of_hatimwen_are_those_of_his_log() -> None:
    ours = CosineSchedule(load("hatimwen_defaults").schedule, 5e-4 * 256 * 4 / 512)
    assert [f"{ours.rate(epoch):.6f}" for epoch in range(4)] == ["0.000050", "0.000100", "0.000150", "0.000200"]
    assert ours.rate(299) == ours.rate(309) == 5e-6 < ours.rate(298)


def test_rates_of_paddlevit_are_paddles_without_the_early_step() -> None:
    config = load("paddlevit").schedule
    cosine = paddle.optimizer.lr.CosineAnnealingDecay(1e-3, T_max=295, eta_min=0.0)
    theirs = paddle.optimizer.lr.LinearWarmup(cosine, 5, 1e-6, 1e-3)
    expected = []
    for _ in range(300):
        expected.append(theirs())
        theirs.step()
    ours = CosineSchedule(config, 1e-3)
    assert [ours.rate(epoch) for epoch in range(300)] == pytest.approx(expected, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("stairs", [False, True])
def test_rates_of_mindcv_change_with_every_update_unless_they_are_stairs(stairs: bool) -> None:
    """Expected is MindCV's formula: a linear warm-up, a cosine after it, and the lowest rate."""
    config = replace(
        load("pit_ti_224_mindcv").schedule, epochs=7, warmup_epochs=2, decay_epochs=4, per_update=not stairs
    )
    ours = CosineSchedule(config, 2e-3, UPDATES)
    times = [epoch + (0 if stairs else update / UPDATES) for epoch in range(7) for update in range(UPDATES)]
    expected = [
        2e-3 * t / 2 if t < 2 else 1e-5 + 0.5 * (2e-3 - 1e-5) * (1 + math.cos(math.pi * min(t - 2, 4) / 4))
        for t in times
    ]
    rates = [ours.rate(epoch, update) for epoch in range(7) for update in range(UPDATES)]
    assert rates == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    "config",
    [
        Schedule(7, 2, 1e-6, 1e-5, 2, deit_quirk=False, ahead=1),
        Schedule(7, 2, 1e-6, 1e-5, 0, deit_quirk=False, decay_epochs=0),
        Schedule(7, 2, 0.0, 1e-5, 0, deit_quirk=False, decay_epochs=3, per_update=True),
    ],
)
def test_both_sides_have_the_same_rates(config: Schedule) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1e-3)
    theirs, ours = EpochSchedule(config, optimizer), CosineSchedule(config, 1e-3, UPDATES)
    for epoch in range(ours.epochs):
        for update in range(UPDATES):
            theirs.begin_update(epoch, update, UPDATES)
            assert ours.rate(epoch, update) == pytest.approx(theirs.rate, rel=1e-12)
        theirs.finish_epoch(epoch)


def test_rate_does_not_depend_on_earlier_calls() -> None:
    ours = CosineSchedule(Schedule(), 5e-4)
    late = ours.rate(250)
    assert [ours.rate(epoch) for epoch in (3, 250, 0)][1] == late
