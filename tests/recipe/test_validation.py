"""What no run can do is refused before it starts, all of it at once."""

from __future__ import annotations

import pytest

from recipe.config import Config
from recipe.errors import ConfigError
from recipe.loading import load
from recipe.validation import validate


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ("model.name=pit_bb", "model.name 'pit_bb' is no known model; did you mean pit_b?"),
        ("model.name=deit_tiny model.image_size=100", "model.image_size: "),
        ("model.image_size=8", "model.image_size: "),
        ("model.num_classes=0", "model.num_classes is 0, expected 1 or more"),
        ("model.drop_path_rate=1", "model.drop_path_rate is 1.0, expected 0 or more, below 1"),
        ("model.name=regnety_160 model.attn_drop_rate=0.1", "has no attention"),
        ("data.batch_size=0", "data.batch_size is 0"),
        ("data.workers=-1", "data.workers is -1"),
        ("data.crop=1.1", "data.crop is 1.1"),
        ("data.std=[1, 0, 1]", "data.std is [1.0, 0.0, 1.0]"),
        ("data.format=folders", "data.format is 'folders', expected auto, folder or list; did you mean folder?"),
        ("data.interpolation=nearest", "data.interpolation is 'nearest'"),
        ("augmentation.erasing_mode=black", "augmentation.erasing_mode is 'black', expected pixel, rand or const"),
        ("augmentation.erasing=1.5", "augmentation.erasing is 1.5, expected 0 to 1"),
        ("augmentation.scale=[0.5, 0.1]", "augmentation.scale is [0.5, 0.1]"),
        ("augmentation.ratio=[0, 1]", "augmentation.ratio is [0.0, 1.0]"),
        ("augmentation.auto=originals", "augmentation.auto is 'originals', expected RandAugment or AutoAugment"),
        ("augmentation.auto=rand-q3", "augmentation.auto is 'rand-q3'"),
        ("augmentation.repeats=0", "augmentation.repeats is 0"),
        ("mixing.mixup=-1", "mixing.mixup is -1.0, expected 0 or more"),
        ("optimizer.learning_rate=0", "optimizer.learning_rate is 0.0, expected more than 0"),
        ("optimizer.clip=0", "optimizer.clip is 0.0, expected more than 0"),
        ("optimizer.betas=[0.9, 1]", "optimizer.betas are [0.9, 1.0]"),
        ("schedule.epochs=3", "schedule.warmup_epochs is 5, more than schedule.epochs, which is 3: set both"),
        ("schedule.decay_epochs=-1", "schedule.decay_epochs is -1, expected 0 or more"),
        ("schedule.ahead=1", "schedule.ahead and schedule.deit_quirk move the same schedule"),
        ("loss.smoothing=1", "loss.smoothing is 1.0"),
        ("ema.decay=1", "ema.decay is 1.0"),
        ("distillation.kind=firm", "distillation.kind is 'firm'"),
        ("distillation.kind=hard model.name=pit_ti_distilled", "a teacher needs a checkpoint"),
        ("distillation.kind=soft distillation.weights=x", "pit_ti has no distillation head: train pit_ti_distilled"),
        ("distillation.kind=soft distillation.weights=x distillation.teacher=regnet", "did you mean regnety_160?"),
        ("distillation.temperature=0", "distillation.temperature is 0.0"),
        ("run.precision=float16 run.device=cpu", "Paddle has no mixed precision"),
        ("run.precision=bfloat16 run.device=cpu", "Paddle has no mixed precision"),
        ("run.precision=float64 run.device=gpu", "float64 is meant for checks on the CPU"),
        ("run.precision=fp16", "run.precision is 'fp16'"),
        ("run.accumulation=0", "run.accumulation is 0"),
        ("run.tracker=wandb", "run.tracker is 'wandb'"),
    ],
)
def test_impossible_settings_are_refused(overrides: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load("pit_ti_224", _split(overrides))
    assert message in str(caught.value)


def _split(overrides: str) -> list[str]:
    """At the blanks between overrides, not at those within a list."""
    return overrides.replace(", ", ",").split(" ")


def test_all_impossible_settings_are_in_one_error() -> None:
    with pytest.raises(ConfigError) as caught:
        load("pit_ti_224", ["data.batch_size=0", "model.name=pit_bb", "run.device=cpu", "run.precision=float16"])
    assert len(caught.value.details) == 3
    assert "3 reasons" in caught.value.summary


@pytest.mark.parametrize(
    "notation", ["rand-m9-mstd0.5-inc1", "rand", "rand-n3-p0.7-m7.5-mmax12", "rand-t3aw", "original", "v0r-mstd0.5"]
)
def test_the_notations_of_policies_are_known(notation: str) -> None:
    assert load("deit", [f"augmentation.auto={notation}"]).augmentation.auto == notation


def test_the_defaults_are_possible() -> None:
    validate(Config())


def test_distillation_from_any_model_is_possible() -> None:
    config = load("pit_ti_distilled_224", ["distillation.teacher=deit_base", "distillation.weights=x.pth"])
    assert config.distillation.teacher == "deit_base"
