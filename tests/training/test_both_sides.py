"""Training in Paddle and in torch, from one configuration on the same draws: the same run, in float64."""

from __future__ import annotations

import io
import json
import shutil
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from rich.console import Console

from paddle_impl.training.run import train
from porting.architectures import build
from porting.checkpoint import open_checkpoint
from porting.conversion import identify_checkpoint, translate, write_random
from recipe.config import Config
from recipe.draws import Seeded
from recipe.loading import load
from reference_torch.training.run import Run

EPOCHS = 2
IMAGES = {"train": 13, "val": 8}
"""Images of each class."""
EVERYTHING = (
    "run.precision=float64",
    "run.accumulation=2",
    "run.validate_every=2",
    "run.log_every=1",
    f"schedule.epochs={EPOCHS}",
    "schedule.warmup_epochs=1",
    "data.workers=0",
    "data.batch_size=8",
    "mixing.probability=0.8",
    "mixing.cutmix=1.0",
    "augmentation.auto=rand-m9-mstd0.5-inc1",
    "augmentation.erasing=0.25",
    "augmentation.flip=0.5",
    "model.drop_rate=0.05",
    "model.attn_drop_rate=0.05",
    "model.drop_path_rate=0.1",
    "optimizer.clip=5.0",
)
"""Everything that a recipe may turn on: 8 updates an epoch."""
UPDATES = 8 * EPOCHS
BRIEFLY = ("schedule.epochs=1", "schedule.warmup_epochs=0", "data.batch_size=14")


class Outcome(NamedTuple):
    """What a run did."""

    losses: list[float]
    rates: list[float]
    model: dict[str, Any]
    average: dict[str, Any]
    evaluations: list[dict[str, Any]]


@pytest.fixture(scope="module")
def some_digits(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("some")
    for split, count in IMAGES.items():
        for label in (digits / split).iterdir():
            (folder / split / label.name).mkdir(parents=True)
            for image in sorted(label.iterdir())[:count]:
                shutil.copy(image, folder / split / label.name)
    return folder


def configured(digits: Path, folder: Path, model: str, *more: str) -> Config:
    weights = folder / "init.safetensors"
    write_random(build(model), weights)
    places = (f"data.path={digits}", f"run.output={folder / 'run'}", f"model.weights={weights}", f"model.name={model}")
    return load("pit_micro_digits", (*EVERYTHING, *places, *more))


def in_torch(config: Config) -> Outcome:
    run = Run(config, tape=Seeded(config.run.seed))
    steps = list(chain.from_iterable(run.epoch(epoch) for epoch in range(config.schedule.epochs)))
    assert run.recipe.ema is not None
    model, average = (
        {name: tensor.detach().numpy() for name, tensor in network.state_dict().items()}
        for network in (run.recipe.model, run.recipe.ema.module)
    )
    figures = [vars_of(run.evaluate(weights)) for weights in ("model", "ema")]
    return Outcome([step.loss for step in steps], [step.rate for step in steps], model, average, figures)


def vars_of(figures: Any) -> dict[str, Any]:
    return {name: getattr(figures, name) for name in ("images", "top1", "top5", "loss")}


def in_paddle(config: Config) -> Outcome:
    result = train(config, tape=Seeded(config.run.seed), console=Console(file=io.StringIO()))
    lines = [json.loads(line) for line in (Path(config.run.output) / "log.jsonl").read_text().splitlines()]
    steps = [line for line in lines if line["event"] == "train"]
    model, average = (weights_of(result.checkpoint, which) for which in ("model", "ema"))
    figures = [{name: entry[name] for name in ("images", "top1", "top5", "loss")} for entry in result.history]
    return Outcome([step["loss"] for step in steps], [step["lr"] for step in steps], model, average, figures)


def weights_of(path: Path, which: Any) -> dict[str, Any]:
    with open_checkpoint(path, weights=which) as checkpoint:
        identity = identify_checkpoint(checkpoint)
        canonical = translate(checkpoint.tensors, identity.architecture, identity.layout, "canonical")
        return {name: np.array(tensor.load()) for name, tensor in canonical.items()}


def relative(one: Any, other: Any) -> float:
    return float(np.linalg.norm(one - other) / np.linalg.norm(one))


@pytest.mark.parametrize(
    ("model", "more"),
    [
        ("pit_micro", ()),
        ("pit_micro_distilled", ("distillation.kind=soft", "distillation.temperature=2.0")),
        ("pit_micro_distilled", ("distillation.kind=hard",)),
    ],
    ids=["everything", "soft distillation", "hard distillation"],
)
def test_both_sides_have_equal_losses_rates_weights_and_evaluations(
    some_digits: Path, tmp_path: Path, model: str, more: tuple[str, ...]
) -> None:
    if more:
        write_random(build("pit_micro"), tmp_path / "teacher.safetensors", seed=5)
        more = (
            *more,
            *BRIEFLY,
            "distillation.teacher=pit_micro",
            f"distillation.weights={tmp_path / 'teacher.safetensors'}",
        )
    config = configured(some_digits, tmp_path, model, *more)
    torch, paddle = in_torch(config), in_paddle(config)
    assert len(torch.losses) == len(paddle.losses) == (4 if more else UPDATES)
    assert torch.rates == paddle.rates
    assert max(abs(one - other) for one, other in zip(torch.losses, paddle.losses, strict=True)) < 1e-9
    for ours, theirs in ((paddle.model, torch.model), (paddle.average, torch.average)):
        assert set(ours) == set(theirs)
        assert max(relative(theirs[name], ours[name]) for name in ours) < 1e-8
    for mine, reference in zip(paddle.evaluations, torch.evaluations, strict=True):
        assert mine == pytest.approx(reference, rel=1e-9)
        assert mine["images"] == 80
