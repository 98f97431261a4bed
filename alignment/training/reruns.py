"""One side's training, which can be rerun with a change to try a hypothesis."""

from __future__ import annotations

import importlib
import importlib.util
import traceback
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from alignment.arrays import Array
from alignment.backends.trainers import base as trainers
from alignment.hypotheses.training import Change
from alignment.pair import Pair, Role
from alignment.running.worker import Job
from alignment.steps import optimizer
from alignment.steps.base import TrainingTrial
from alignment.steps.training import TRAINING_STEPS
from alignment.training.configuring import with_precision
from porting.errors import ExpectedError
from recipe.config import Config
from recipe.loading import override

_MISTAKES = "alignment.backends.trainers.{framework}_mistakes"


@dataclass
class TrainingSide:
    """One side's training code with its weights and recipe.

    Attributes:
        pair: What is aligned.
        role: The side.
        config: The recipe.
        weights: The state dict.
        weights_file: The file of `weights`.
        updates: Number of updates; None for each step's own number.
        precision: Precision of the steps that run in every precision.
    """

    pair: Pair
    role: Role
    config: Config
    weights: Mapping[str, Array]
    weights_file: Path
    updates: int | None = None
    precision: str = "float64"
    _seen: dict[tuple[str, Change], Mapping[str, Array]] = field(default_factory=dict)

    @classmethod
    def of(cls, job: Job, config: Config, updates: int | None, precision: str) -> TrainingSide:
        """The side of a request whose model is in memory."""
        weights_file = Path(job.request.weights)
        return cls(job.pair, job.request.role, config, job.weights, weights_file, updates, precision)

    def config_of(self, step: str) -> Config:
        """The configuration that a step runs with."""
        check_point = TRAINING_STEPS[step]
        return with_precision(self.config, check_point.once or self.precision, check_point.accumulation)

    def trial(self, step: str, change: Change | None = None) -> TrainingTrial:
        """A step's training code, its model built.

        Raises:
            AlignmentError: The model cannot be built.
            ConfigError: The change is not possible.
        """
        change, config = change or Change(), self.config_of(step)
        config = override(config, change.settings) if change.settings else config
        side, updates = self.pair.side(self.role), change.updates or self.updates
        trainer = trainers.create(side, config)
        return TrainingTrial(trainer, self.pair, self.role, config, self.weights, self.weights_file, updates)

    def rerun(self, step: str, change: Change) -> Mapping[str, Array]:
        """The arrays that a step records with a change, by key; empty where the change is not possible. Cached.

        If a framework fails with the change (an assertion of timm's, a shape that torch refuses), the candidate did not
        make this mistake either; the traceback goes to the log.
        """
        if (step, change) not in self._seen:
            try:
                self._seen[step, change] = self._record(step, change)
            except Exception as error:
                if not isinstance(error, ExpectedError):  # a setting that the recipe refuses is not the mistake
                    traceback.print_exc()
                self._seen[step, change] = {}
        return self._seen[step, change]

    def _record(self, step: str, change: Change) -> Mapping[str, Array]:
        trial = self.trial(step, change)
        with self._with_mistake(trial, change.mistake) as able:
            if able is False:
                return {}
            check_point = TRAINING_STEPS[step]
            return {quantity.key: quantity.array for quantity in (check_point.again or check_point.run)(trial)}

    def _with_mistake(self, trial: TrainingTrial, mistake: str) -> Any:
        name = _MISTAKES.format(framework=trial.side.framework)
        if not mistake:
            return nullcontext()
        if importlib.util.find_spec(name) is None:
            return nullcontext(False)
        return importlib.import_module(name).with_mistake(trial.trainer, mistake)

    def canonical(self) -> dict[str, Array]:
        """The weights under canonical names."""
        return self._plain.canonical(self.weights)

    def gradients(self, step: int) -> Mapping[str, Array]:
        """The gradients that the optimizer's check point uses at a step, under canonical names."""
        return self._plain.canonical(optimizer.gradients(self._plain, step))

    @property
    def _plain(self) -> TrainingTrial:
        """A trial for names only: nothing is built."""
        trainer: Any = None
        return TrainingTrial(trainer, self.pair, self.role, self.config, self.weights, self.weights_file)
