"""Configuration that both sides train with: that of a recipe, with the batch, seed and device of an alignment."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from alignment.errors import AlignmentError
from alignment.pair import Pair
from alignment.processes.settings import Settings
from porting.checkpoint import open_checkpoint
from porting.conversion import identify_checkpoint
from recipe.config import Config, peak_rate, scaled_schedule
from recipe.loading import load, override, preset_names

_PRESET = "deit"
_TEACHER_LATER = "to be drawn"


def configuration(
    pair: Pair,
    settings: Settings,
    *,
    source: str | os.PathLike[str] | None = None,
    overrides: Sequence[str] = (),
    teacher: Path | None = None,
) -> Config:
    """A recipe's configuration for a pair, with the batch, seed and device of an alignment.

    The learning rate stays that of the recipe's own batch, and is constant within an epoch; images are read without
    workers.

    Args:
        pair: Its architecture determines model, image size and classes.
        settings: Batch size, seed, device.
        source: A YAML file or a shipped configuration; by default the shipped one of the model, or else `deit`.
        overrides: Changes, `section.setting=value` each, which are applied last.
        teacher: Checkpoint of the teacher, where the configuration distils; it may hold any known model.

    Raises:
        ConfigError: There is no such configuration, or it cannot be carried out.
        CheckpointError: The teacher's checkpoint cannot be read.
        AlignmentError: The images are not square, or the batch is odd and to be mixed.
    """
    source, changes = source or _shipped(pair), _form(pair)
    weights = f"distillation.weights={_TEACHER_LATER}"  # without a name, one that distils would not be loaded
    if load(source, [*changes, weights, *overrides]).distillation.kind != "none":
        changes.append(f"distillation.weights={teacher or _TEACHER_LATER}")
        changes += [] if teacher is None else [f"distillation.teacher={_model_of(teacher)}"]
    config = load(source, [*changes, *overrides])
    if config.mixing.active and settings.batch_size % 2:
        raise AlignmentError(
            f"the batch size is {settings.batch_size}, and timm mixes even batches only: give an even --batch-size, or "
            "--set mixing.probability=0"
        )
    rate = peak_rate(config)
    return replace(
        config,
        optimizer=replace(config.optimizer, learning_rate=rate, base_batch=0),
        schedule=replace(scaled_schedule(config), per_update=False),
        data=replace(config.data, batch_size=settings.batch_size, workers=0, train=None, validation=None),
        run=replace(config.run, seed=settings.seed, device=settings.device),
    )


def needs_teacher(config: Config) -> bool:
    """True if the configuration distils from a teacher whose weights are still to be drawn."""
    return config.distillation.kind != "none" and config.distillation.weights in (None, _TEACHER_LATER)


def with_precision(config: Config, dtype: str, accumulation: int = 1) -> Config:
    """The configuration in a precision, its number of micro-batches multiplied by `accumulation`."""
    run = replace(config.run, precision=dtype, accumulation=config.run.accumulation * accumulation)
    return replace(config, run=run)


def _form(pair: Pair) -> list[str]:
    architecture = pair.architecture
    height, width = architecture.image_size
    if height != width:
        raise AlignmentError(f"{pair.name}: training is for square images, these are {height} x {width}")
    return [
        f"model.name={architecture.name}",
        f"model.image_size={height}",
        f"model.num_classes={architecture.num_classes}",
    ]


def _shipped(pair: Pair) -> str:
    """The name of the shipped configuration of a model, that of its image size if there are several."""
    name, size = pair.architecture.name, pair.architecture.image_size[0]
    names = preset_names()
    candidates = (f"{name}_{size}", f"{name}_224", f"{name}_digits")
    return next((candidate for candidate in candidates if candidate in names), _PRESET)


def _model_of(teacher: Path) -> str:
    with open_checkpoint(teacher) as checkpoint:
        return identify_checkpoint(checkpoint).architecture.name


def with_teacher(config: Config, weights: Path) -> Config:
    """The configuration with the teacher's checkpoint."""
    return override(config, [f"distillation.weights={weights}"])
