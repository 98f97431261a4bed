"""Worker of one side of the check points of training; see `alignment.running.worker`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from alignment.arrays import Array
from alignment.backends.stand_ins.training import exact_training
from alignment.backends.trainers import base as trainers
from alignment.judging.measuring import measure
from alignment.pair.inputs import perturb
from alignment.processes.serving import Advance, JsonRequest, serve
from alignment.recordings.kernels import KERNELS_FILE, write_kernels
from alignment.recordings.recording import Recorder
from alignment.running.request import Request
from alignment.running.worker import Job, load_job, manifest_of, note_spreads
from alignment.steps.base import Quantity, TrainingTrial
from alignment.steps.training import TRAINING_STEPS, TrainingStep, dtype_of_once
from alignment.training.reruns import TrainingSide
from recipe.loading import load

_NOISY_KINDS = ("output", "loss", "weights")


@dataclass(frozen=True)
class TrainingRequest(JsonRequest):
    """What both sides are asked to do beside what their own requests say.

    Attributes:
        steps: Names in `alignment.steps.training.TRAINING_STEPS`.
        config: File of the configuration.
        updates: Updates to compare; None for each step's own number.
        data_digest: Digest of the images.
        batch_size: Inputs of an update, in a pair of one's own.
    """

    steps: list[str]
    config: str
    updates: int | None
    data_digest: str
    batch_size: int = 0


def run(request: Request, training: TrainingRequest, advance: Advance) -> None:
    """Carry out check points of training in the precisions of a side's request.

    Args:
        request: The side; its own steps are not run.
        training: The check points and their configuration.
        advance: Called after each check point.

    Raises:
        ExpectedError: Something that the user can act on; what the recipe finds wrong included.
    """
    request = replace(request, steps=training.steps)
    job, config = load_job(request), load(training.config)
    once = dtype_of_once(request.dtypes, job.pair)
    work = [
        (dtype, step)
        for dtype in request.dtypes
        for step in training.steps
        if TRAINING_STEPS[step].once is None or dtype == once
    ]
    recorders = {dtype: Recorder(spool=request.folder) for dtype in dict(work)}
    with exact_training(job.backend, job.pair.side(request.role).framework, request.exact) as kernels:
        for done, (dtype, step) in enumerate(work, 1):
            check_point = TRAINING_STEPS[step]
            if request.exact:
                job.backend.use(dtype)  # the exact versions compute in float64 where that is the default
            side = TrainingSide.of(job, config, training.updates, dtype)
            trial = side.trial(step)
            for quantity in check_point.run(trial):
                recorders[dtype].add(quantity.key, quantity.array, quantity.entry)
            if dtype == "float32" and check_point.once is None and request.role == "reference":
                note_spreads(recorders[dtype], _perturbed_quantities(job, trial, check_point), _NOISY_KINDS, _change)
            advance(f"{step} {dtype}", done, len(work))
    if request.exact:
        write_kernels(kernels, Path(request.folder) / f"{request.label}-{KERNELS_FILE}")
    for dtype, recorder in recorders.items():
        manifest = manifest_of(job, dtype)
        digests = {**manifest.digests, "inputs": f"{request.inputs_digest} {training.data_digest}"}
        folder = Path(request.folder) / f"{request.label}-{dtype}"
        recorder.write(folder, replace(manifest, digests=digests, batch_size=config.data.batch_size)).close()


def _perturbed_quantities(job: Job, trial: TrainingTrial, check_point: TrainingStep) -> Iterator[Quantity]:
    """What a check point records when all that it is given in float32 is one unit in the last place off.

    That is the weights, and the betas of the optimiser: Paddle's kernel holds 0.999 in float32, which leaves five
    digits of 1 - 0.999, and the second moment is no better.
    """
    for number in range(job.request.perturbations):
        generator = np.random.default_rng((job.request.seed, number, 5))
        yield from check_point.run(_perturbed(trial, generator))


def _change(before: Array, after: Array) -> tuple[float, float]:
    moved = measure(before, after)
    return moved.l2, moved.max_abs


def _perturbed(trial: TrainingTrial, generator: np.random.Generator) -> TrainingTrial:
    def nudged(array: Array) -> Array:
        return perturb(array, generator) if array.dtype == np.float32 else array

    first, second = (float(beta) for beta in perturb(np.array(trial.config.optimizer.betas, np.float32), generator))
    config = replace(trial.config, optimizer=replace(trial.config.optimizer, betas=(first, second)))
    weights = {name: nudged(array) for name, array in trial.weights.items()}
    return replace(trial, trainer=trainers.create(trial.side, config), config=config, weights=weights)


def main(arguments: list[str]) -> int:
    """Carry out the request in the first file with that of training in the second; returns the exit code."""
    request, training = (Path(argument) for argument in arguments)
    return serve(lambda advance: run(Request.read(request), TrainingRequest.read(training), advance))
