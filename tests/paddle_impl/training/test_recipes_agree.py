"""The whole recipe on both sides, update by update: model, loss, accumulation, clipping, AdamW, schedule, average."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import paddle
import pytest
import torch

from paddle_impl.training.ema import Ema
from paddle_impl.training.losses import RecipeLoss
from paddle_impl.training.optimizer import AdamW
from paddle_impl.training.starting import load_teacher, start
from porting import architectures
from porting.checkpoint.tensor import LazyTensor
from porting.conversion import translate
from recipe.config import Config, peak_rate
from recipe.schedule import CosineSchedule
from reference_torch.training.recipe import prepare

Array = npt.NDArray[Any]
EPOCHS, UPDATES, ACCUMULATION = 4, 2, 2
QUICK = ("schedule.epochs=4", "schedule.warmup_epochs=1", f"run.accumulation={ACCUMULATION}", "optimizer.base_batch=0")


def _batches(labels: bool) -> Iterator[list[tuple[Array, Array]]]:
    draw = np.random.default_rng(0)
    while True:
        yield [
            (
                draw.standard_normal((4, 3, 32, 32)),
                draw.integers(0, 10, 4) if labels else draw.dirichlet(np.ones(10), 4),
            )
            for _ in range(ACCUMULATION)
        ]


def _ours(config: Config, labels: bool) -> tuple[list[float], Any, Any]:
    model, peak = start(config).model, peak_rate(config)
    loss, average = RecipeLoss(config, load_teacher(config)), Ema(model, config.ema.decay)
    optimizer, schedule = AdamW(model, config.optimizer, peak), CosineSchedule(config.schedule, peak)
    losses, batches = [], _batches(labels)
    for epoch in range(EPOCHS):
        for update in range(UPDATES):
            optimizer.set_lr(schedule.rate(epoch, update))
            for images, targets in next(batches):
                x = paddle.to_tensor(images)
                value = loss(model(x), x, paddle.to_tensor(targets))
                (value / ACCUMULATION).backward()
                losses.append(float(value))
            optimizer.step()
            optimizer.clear_grad()
            average.update()
    return losses, model, average.model


def _theirs(config: Config, labels: bool) -> tuple[list[float], Any, Any]:
    recipe, losses, batches = prepare(config), list[float](), _batches(labels)
    for epoch in range(EPOCHS):
        for _ in range(UPDATES):
            tensors = [(torch.from_numpy(images), torch.from_numpy(targets)) for images, targets in next(batches)]
            losses += [float(loss) for loss in recipe.update(tensors).losses]
        recipe.schedule.finish_epoch(epoch)
    return losses, recipe.model, recipe.ema.module if recipe.ema else None


@pytest.mark.parametrize(
    ("model", "overrides", "labels"),
    [
        ("pit_micro", ["optimizer.clip=1.0"], False),
        ("pit_micro", ["optimizer.decay_all=true", "schedule.deit_quirk=false", "ema.decay=0.9"], True),
        ("pit_micro_distilled", ["distillation.kind=hard"], True),
        ("deit_tiny_distilled", ["distillation.kind=soft", "distillation.temperature=2"], False),
    ],
)
def test_eight_updates_of_both_sides_agree_in_float64(
    model: str, overrides: list[str], labels: bool, small: Callable[..., Config], weights: Callable[..., Path]
) -> None:
    teacher = ["distillation.teacher=pit_micro", f"distillation.weights={weights('pit_micro')}"]
    paths = [f"model.name={model}", f"model.weights={weights(model)}", "model.drop_path_rate=0"]
    config = small(*QUICK, *paths, *teacher, *overrides)
    (actual, *ours), (expected, *theirs) = _ours(config, labels), _theirs(config, labels)
    np.testing.assert_allclose(actual, expected, rtol=1e-11)
    architecture = architectures.build(model, image_size=32, num_classes=10)
    for mine, reference in zip(ours, theirs, strict=True):
        arrays = {name: LazyTensor.of(tensor.numpy()) for name, tensor in mine.state_dict().items()}
        for name, tensor in translate(arrays, architecture, "paddlevit", "canonical").items():
            np.testing.assert_allclose(tensor.load(), reference.state_dict()[name].numpy(), atol=1e-10, err_msg=name)
    assert expected[0] != expected[-1]
