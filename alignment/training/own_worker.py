"""Worker of one side of the check points of training of a pair of one's own; see `alignment.training.worker`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from alignment.arrays import Array
from alignment.backends.base import Runtime
from alignment.backends.stand_ins.training import exact_training
from alignment.backends.trainers.plain import create_plain
from alignment.judging.measuring import measure
from alignment.pair import Pair
from alignment.pair.inputs import Inputs, finished, perturb
from alignment.processes.serving import Advance, serve
from alignment.recordings.kernels import KERNELS_FILE, write_kernels
from alignment.recordings.recording import Recorder
from alignment.running.request import Request
from alignment.running.worker import Job, load_job, manifest_of, note_spreads
from alignment.steps.base import PlainTrial, Quantity
from alignment.steps.training import TRAINING_STEPS, dtype_of_once
from alignment.text_files import decode_from, read_json, to_json, write_text
from alignment.training.worker import TrainingRequest

SETTINGS_FILE = "optimizer.json"
"""End of the name of the file in which a side says what its optimizer says of itself."""
_NOISY_KINDS = ("output", "loss", "weights")


@dataclass(frozen=True)
class SideSettings:
    """What the optimizer of a side says of itself: its kind, and settings by canonical name of the parameter.

    See `alignment.backends.trainers.plain.OptimizerSettings`.
    """

    kind: str
    values: Mapping[str, Mapping[str, float]]

    @classmethod
    def read(cls, path: Path) -> SideSettings:
        """Read what `write` wrote."""
        value = read_json(path, unreadable="the settings cannot be read: {}", malformed="no settings: {}")
        return decode_from(path, cls, value)

    def write(self, path: Path) -> None:
        """Write the settings as JSON."""
        write_text(to_json(self), path, "the settings")


def run(request: Request, training: TrainingRequest, advance: Advance) -> None:
    """Carry out check points of training in the precisions of a side's request.

    Args:
        request: The side; its own steps are not run.
        training: The check points, their updates and the size of a batch.
        advance: Called after each check point.

    Raises:
        ExpectedError: Something that the user can act on; what is wrong with a `Training` included.
    """
    request = replace(request, steps=training.steps)
    job = load_job(request)
    once = dtype_of_once(request.dtypes, job.pair)
    steps = {step: TRAINING_STEPS[step] for step in training.steps}
    work = [(dtype, step) for dtype in request.dtypes for step in steps if steps[step].once is None or dtype == once]
    recorders = {dtype: Recorder(spool=request.folder) for dtype in dict(work)}
    with exact_training(job.backend, job.pair.side(request.role).framework, request.exact) as kernels:
        trial = _trial(job, training)
        for done, (dtype, step) in enumerate(work, 1):
            check_point = steps[step]
            at = _in_precision(trial, job.inputs, training, _possible(trial, check_point.once or dtype))
            run_step = _plain(step)
            for quantity in run_step(at):
                recorders[dtype].add(quantity.key, quantity.array, quantity.entry)
            if dtype == "float32" and check_point.once is None and request.role == "reference":
                note_spreads(recorders[dtype], _perturbed(job, at, run_step), _NOISY_KINDS, _change)
            advance(f"{step} {dtype}", done, len(work))
        at = _in_precision(trial, job.inputs, training, trial.trainer.finest)
    folder = Path(request.folder)
    if request.exact:
        write_kernels(kernels, folder / f"{request.label}-{KERNELS_FILE}")
    _settings_of(at).write(folder / f"{request.label}-{SETTINGS_FILE}")
    at.trainer.use("float32")
    for dtype, recorder in recorders.items():
        manifest = replace(manifest_of(job, dtype), batch_size=training.batch_size)
        recorder.write(folder / f"{request.label}-{dtype}", manifest).close()


def _possible(trial: PlainTrial, dtype: str) -> str:
    """A precision, or the most exact one of a framework that has not so much."""
    return dtype if trial.trainer.finest == "float64" else trial.trainer.finest


def _plain(step: str) -> Callable[[PlainTrial], Iterator[Quantity]]:
    plain = TRAINING_STEPS[step].plain
    assert plain is not None  # noqa: S101 - a step that has none does not apply to such a pair
    return plain


def _trial(job: Job, training: TrainingRequest) -> PlainTrial:
    request, pair = job.request, job.pair
    runtime = Runtime(request.device, request.threads, request.deterministic, request.tf32, request.seed)
    names = pair.contract.names(request.role) if pair.contract is not None else {}
    trainer = create_plain(pair.side(request.role), runtime, names)
    return PlainTrial(trainer, pair, request.role, job.weights, (), request.seed, "float32", training.updates)


def _in_precision(trial: PlainTrial, inputs: Inputs, training: TrainingRequest, dtype: str) -> PlainTrial:
    """The trial in a precision, with the batches of its updates."""
    trial.trainer.use(dtype)
    batches = tuple(batch.cast(dtype) for batch in batches_of(trial.pair, inputs, training.batch_size, trial.seed))
    return replace(trial, precision=dtype, batches=batches)


def batches_of(pair: Pair, inputs: Inputs, size: int, seed: int) -> Iterator[Inputs]:
    """Cut a batch into several of a size, each with labels and targets; what is left over is not used.

    Args:
        pair: What is aligned, its rules settled.
        inputs: All inputs, drawn or given; fewer than `size` are one batch.
        size: Inputs of a batch.
        seed: Seed of the targets.
    """
    total = len(inputs.images)
    size = min(size, total)
    for number in range(total // size):
        rows = slice(number * size, (number + 1) * size)
        batch: Any = {name: array[rows] for name, array in inputs.named.items()} or inputs.images[rows]
        labels = inputs.labels[rows] if pair.classifies else None
        yield finished(pair, batch, labels, seed=seed + number)


def _settings_of(trial: PlainTrial) -> SideSettings:
    trial.trainer.start(trial.weights)
    settings = trial.trainer.settings()
    named = {setting: trial.numbers(values) for setting, values in settings.values.items()}
    known = {s: {name: one for name, one in values.items() if not np.isnan(one)} for s, values in named.items()}
    return SideSettings(settings.kind, known)


def _perturbed(job: Job, trial: PlainTrial, run_step: Callable[[PlainTrial], Iterator[Quantity]]) -> Iterator[Quantity]:
    """What a step records when its weights, and the optimizer's coefficients, are one float32 unit off."""
    for number in range(job.request.perturbations):
        generator = np.random.default_rng((job.request.seed, number, 5))
        weights = {
            name: perturb(array, generator) if array.dtype == np.float32 else array
            for name, array in trial.weights.items()
        }
        trial.trainer.nudge(generator)
        yield from run_step(replace(trial, weights=weights))
    trial.trainer.nudge(None)


def _change(before: Array, after: Array) -> tuple[float, float]:
    moved = measure(before, after)
    return moved.l2, moved.max_abs


def main(arguments: list[str]) -> int:
    """Carry out the request in the first file with that of training in the second; returns the exit code."""
    request, training = (Path(argument) for argument in arguments)
    return serve(lambda advance: run(Request.read(request), TrainingRequest.read(training), advance))
