"""Optimizer: every parameter and both of its moments after each of some AdamW steps.

The gradients are the same drawn numbers on both sides, so that the optimiser is on trial and not the model: of a scale
of their own for each tensor, from 1e-8 to 1e-1, since a wrong epsilon shows in small gradients only.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from alignment.arrays import Array
from alignment.recordings.recording import Entry
from alignment.steps.base import Quantity, TrainingTrial
from porting.synthetic import random_weights

STEPS = 3
_LIMIT = 1e-12
_LARGEST, _DECADES = 0.1, 7.0
_WEIGHTS = Entry("weights", "optimizer", limit=_LIMIT)


def run(trial: TrainingTrial) -> Iterator[Quantity]:
    """Record `optimizer/step_<n>/parameter/<name>`, `.../first_moment/<name>` and `.../second_moment/<name>`."""
    trainer, buffers = trial.trainer, trial.pair.architecture.buffers
    trainer.start(trial.weights)
    for step in range(1, (trial.updates or STEPS) + 1):
        trainer.apply(gradients(trial, step), trial.config.optimizer.learning_rate)
        moments = {f"{kind}_moment": arrays for kind, arrays in trainer.moments().items()}
        for kind, arrays in {"parameter": trainer.weights(), **moments}.items():
            for name, array in trial.canonical(arrays).items():
                if name not in buffers:
                    yield Quantity(f"optimizer/step_{step}/{kind}/{name}", array, _WEIGHTS)


def gradients(trial: TrainingTrial, step: int) -> dict[str, Array]:
    """What the optimizer is given at a step, counted from 1, as this side's state dict has it."""
    generator = np.random.default_rng((trial.seed, step))
    drawn = random_weights(trial.pair.architecture, trial.seed + step)
    scaled = {name: array * (_LARGEST * 10.0 ** (-_DECADES * generator.random())) for name, array in drawn.items()}
    return trial.in_layout(scaled)
