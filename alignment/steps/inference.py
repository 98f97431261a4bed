"""Inference: image files in, classes and probabilities out, by the program that users run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from alignment.recordings.recording import Entry
from alignment.steps.base import Quantity, TrainingTrial

IMAGES = 8
_BEST = 5


def run(trial: TrainingTrial) -> Iterator[Quantity]:
    """Record `inference/probabilities`, `(images, classes)`, and `inference/top5_classes`, of the validation images."""
    root = Path(trial.config.data.path)
    listing = trial.trainer.listing("list" if (root / "val_list.txt").is_file() else "folder")
    paths = [root / name for name in listing.names[:IMAGES]]
    shares = trial.trainer.probabilities(paths, trial.weights_file)
    yield Quantity("inference/probabilities", shares.astype(trial.config.run.precision), Entry("output", "inference"))
    best = np.argsort(-shares, axis=1, kind="stable")[:, :_BEST]
    ranking = Entry("ranking", "inference", scores="inference/probabilities")
    yield Quantity("inference/top5_classes", best, ranking)
