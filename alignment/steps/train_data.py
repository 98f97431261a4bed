"""Training data: order, crop, flip, RandAugment and erasing sample by sample, mixup and cutmix batch by batch.

Both sides draw from one tape, so that the same sample is to come out, not one of the same distribution.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from alignment.recordings.recording import Entry
from alignment.steps.base import Quantity, TrainingTrial

EPOCHS, SAMPLES, BATCHES = 2, 24, 6
_COUNT, _PICTURE = Entry("count", "train_data"), Entry("picture", "train_data")


def run(trial: TrainingTrial) -> Iterator[Quantity]:
    """Record `train_data/order_<epoch>`, `/sample_<i>`, and `/mixed_<i>` with `/targets_<i>`.

    The batches that are mixed are of drawn images, those of the samples being compared by themselves.
    """
    trainer, size = trial.trainer, trial.config.model.image_size
    for epoch in range(EPOCHS):
        order = trainer.order(epoch)
        yield Quantity(f"train_data/order_{epoch}", np.asarray(order), _COUNT)
    positions = range(min(SAMPLES, len(order)))
    for at, image in enumerate(trainer.augmented(0, positions)):
        yield Quantity(f"train_data/sample_{at}", np.asarray(image), _PICTURE)
    generator = np.random.default_rng((trial.seed, 3))
    for update in range(BATCHES):
        images = generator.standard_normal((trial.config.data.batch_size, 3, size, size), np.float32)
        labels = generator.integers(0, trial.config.model.num_classes, len(images))
        mixed, targets = trainer.mixed(images, labels, update)
        yield Quantity(f"train_data/mixed_{update}", np.asarray(mixed), _PICTURE)
        kind = _PICTURE if np.issubdtype(targets.dtype, np.floating) else _COUNT
        yield Quantity(f"train_data/targets_{update}", np.asarray(targets), kind)
