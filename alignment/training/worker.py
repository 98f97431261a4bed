"""One framework's side of the check points of training, in a process of its own; see `alignment.running.worker`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from alignment.arrays import Array
from alignment.backends.trainers import base as trainers
from alignment.errors import AlignmentError
from alignment.judging.measuring import measure
from alignment.pair.inputs import perturb
from alignment.processes.serving import serve
from alignment.recordings.recording import Recorder
from alignment.running.request import Request
from alignment.running.worker import Job, manifest_of, prepare
from alignment.steps.base import TrainingTrial
from alignment.steps.training import TRAINING_STEPS, TrainingStep, dtype_of_once
from alignment.training.configuring import with_precision
from porting.errors import ExpectedError
from recipe.config import Config
from recipe.loading import load

_NOISY_KINDS = ("output", "loss", "weights")
Report = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True)
class Plan:
    """What the workers are told beside their requests.

    Attributes:
        steps: Names in `alignment.steps.training.TRAINING_STEPS`.
        config: File of the configuration.
        updates: Updates to compare; None for each step's own number.
        data_digest: Of the images.
    """

    steps: list[str]
    config: str
    updates: int | None
    data_digest: str

    def write(self, path: Path) -> None:
        """Write the plan as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Plan:
        """Read what `write` wrote."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))


def run(request: Request, plan: Plan, report: Report) -> None:
    """Carry out the steps of a plan in the precisions of a request.

    Args:
        request: The side; its own steps are left aside.
        plan: The steps and their configuration.
        report: Called with `{"event": "progress", ...}` after each step.

    Raises:
        AlignmentError: Something that the user can act on; what the recipe finds wrong included.
    """
    try:
        _run(replace(request, steps=plan.steps), plan, report)
    except AlignmentError:
        raise
    except ExpectedError as error:
        raise AlignmentError(error.summary, error.details) from error


def _run(request: Request, plan: Plan, report: Report) -> None:
    job, config = prepare(request), load(plan.config)
    once = dtype_of_once(request.dtypes)
    work = [
        (dtype, step)
        for dtype in request.dtypes
        for step in plan.steps
        if TRAINING_STEPS[step].once is None or dtype == once
    ]
    recorders = {dtype: Recorder(spool=request.folder) for dtype in dict(work)}
    for done, (dtype, step) in enumerate(work, 1):
        check_point = TRAINING_STEPS[step]
        trial = _trial(job, plan, config, check_point, check_point.once or dtype)
        for quantity in check_point.run(trial):
            recorders[dtype].add(quantity.key, quantity.array, quantity.entry)
        if dtype == "float32" and check_point.once is None and request.role == "reference":
            _measure_noise(job, trial, check_point, recorders[dtype])
        report({"event": "progress", "what": f"{step} {dtype}", "done": done, "total": len(work)})
    for dtype, recorder in recorders.items():
        manifest = manifest_of(job, dtype)
        digests = {**manifest.digests, "inputs": f"{request.inputs_digest} {plan.data_digest}"}
        folder = Path(request.folder) / f"{request.label}-{dtype}"
        recorder.write(folder, replace(manifest, digests=digests, batch_size=config.data.batch_size)).close()


def _trial(job: Job, plan: Plan, config: Config, check_point: TrainingStep, dtype: str) -> TrainingTrial:
    request = job.request
    side, config = job.pair.side(request.role), with_precision(config, dtype, check_point.accumulation)
    return TrainingTrial(
        trainer=trainers.create(side, config),
        pair=job.pair,
        role=request.role,
        config=config,
        weights=job.weights,
        weights_file=Path(request.weights),
        updates=plan.updates,
    )


def _measure_noise(job: Job, trial: TrainingTrial, check_point: TrainingStep, recorder: Recorder) -> None:
    """Note how far the results move, at most, when all that is given in float32 is one unit in the last place off.

    That is the weights, and the betas of the optimiser: Paddle's kernel holds 0.999 in float32, which leaves five
    digits of 1 - 0.999, and the second moment is no better.
    """
    spreads: dict[str, tuple[float, float]] = {}
    for number in range(job.request.perturbations):
        generator = np.random.default_rng((job.request.seed, number, 5))
        for quantity in check_point.run(_perturbed(trial, generator)):
            if quantity.entry.kind in _NOISY_KINDS:
                moved = measure(recorder.get(quantity.key), quantity.array)
                before = spreads.get(quantity.key, (0.0, 0.0))
                spreads[quantity.key] = max(before[0], moved.l2), max(before[1], moved.max_abs)
    for key, (norm, largest) in spreads.items():
        if np.isfinite(norm):  # not where a run ended in NaN
            recorder.annotate(key, spread=norm, spread_max=largest)


def _perturbed(trial: TrainingTrial, generator: np.random.Generator) -> TrainingTrial:
    def nudged(array: Array) -> Array:
        return perturb(array, generator) if array.dtype == np.float32 else array

    first, second = (float(each) for each in perturb(np.array(trial.config.optimizer.betas), generator))
    config = replace(trial.config, optimizer=replace(trial.config.optimizer, betas=(first, second)))
    weights = {name: nudged(array) for name, array in trial.weights.items()}
    return replace(trial, trainer=trainers.create(trial.side, config), config=config, weights=weights)


def main(arguments: list[str]) -> int:
    """Carry out the request in the first file by the plan in the second; returns the exit code."""
    request, plan = (Path(each) for each in arguments)
    return serve(lambda report: run(Request.read(request), Plan.read(plan), report))


if __name__ == "__main__":
    import sys

    sys.exit(main(sys.argv[1:]))
