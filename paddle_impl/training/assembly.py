"""Makes the parts of a run from its configuration."""

from __future__ import annotations

from pathlib import Path

from paddle import nn

from paddle_impl.training.ema import Ema
from paddle_impl.training.losses import RecipeLoss
from paddle_impl.training.optimizer import AdamW
from paddle_impl.training.parallel import World
from paddle_impl.training.parts import EvalSource, Parts
from paddle_impl.training.precision import Precision
from paddle_impl.training.starting import load_teacher, start
from recipe.augmentation.loader import EvalLoader, TrainLoader
from recipe.config import Config, peak_rate, scaled_schedule
from recipe.draws import Randomness
from recipe.errors import ConfigError
from recipe.samples import Samples, check, find, fingerprint
from recipe.schedule import CosineSchedule
from recipe.weights import without_head


def assemble(config: Config, world: World, precision: Precision, randomness: Randomness) -> Parts:
    """The parts that a configuration names, for one of the ranks.

    Args:
        config: The whole configuration.
        world: The ranks; the learning rate grows with their number.
        precision: Precision of the run; the weights have the configuration's.
        randomness: Source of the draws of order, augmentation and mixing.

    Raises:
        DataError: The images cannot be used.
        TrainingError: The checkpoint to start from, or the teacher's, is of another model.
        CheckpointError: A checkpoint cannot be read.
    """
    images, held_out, remarks = _samples(config)
    begun = start(config)
    training = TrainLoader(config, images, randomness, world.size, world.rank)
    rates = scaled_schedule(config, world.size), peak_rate(config, world.size)
    schedule = CosineSchedule(*rates, updates=training.updates)
    validation = None if held_out is None else EvalLoader(config, held_out, world.size, world.rank)
    loaders = [training] if validation is None else [training, validation]

    def close() -> None:
        for loader in loaders:
            loader.close()

    return Parts(
        model=begun.model,
        loss=RecipeLoss(config, load_teacher(config)),
        optimizer=AdamW(begun.model, config.optimizer, schedule.rate(0, 0)),
        schedule=schedule,
        average=Ema(begun.model, config.ema.decay) if config.ema.decay else None,
        training=training,
        validation=validation,
        classes=images.classes,
        fingerprint=fingerprint(images, Path(config.data.path)),
        notes=(*begun.notes, *remarks),
        corrupt=lambda: {path: why for loader in loaders for path, why in loader.corrupt.problems.items()},
        close=close,
    )


def assemble_evaluation(config: Config, world: World, precision: Precision) -> tuple[nn.Layer, EvalSource]:
    """The model with the weights that a configuration names, and its validation images.

    Raises:
        ConfigError: The configuration names no weights, or weights that leave tensors as they were drawn.
        DataError: The images cannot be used.
        TrainingError: The checkpoint is of another model.
        CheckpointError: It cannot be read.
    """
    if config.model.weights is None:
        raise ConfigError("an evaluation needs weights: set model.weights to a checkpoint")
    held_out = find(config.data, "validation")
    check(held_out, config.model.num_classes)
    begun = start(config)
    if begun.fresh:
        raise without_head(config, begun.fresh)
    return begun.model, EvalLoader(config, held_out, world.size, world.rank)


def _samples(config: Config) -> tuple[Samples, Samples | None, tuple[str, ...]]:
    """Training images, validation images if any epoch is evaluated, and remarks on what is unusual about them."""
    images = find(config.data, "train")
    remarks = check(images, config.model.num_classes)
    if not config.run.validate_every:
        return images, None, remarks
    held_out = find(config.data, "validation")
    return images, held_out, (*remarks, *check(held_out, config.model.num_classes, images))
