"""Worker of one side of an alignment: runs the steps and writes the recordings.

`alignment.running` starts it with the path of a request. Standard output carries one JSON object a line and nothing
else: progress, then `done` or one `error`. What the frameworks print goes to standard error.
"""

from __future__ import annotations

import platform
import random
import sys
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime, timezone
from itertools import count, repeat
from pathlib import Path

import numpy as np

from alignment.arrays import HALVES, Array
from alignment.backends.base import Backend, Runtime
from alignment.backends.building import build_exact, build_model
from alignment.backends.half_precision import running_in
from alignment.errors import RefusedError
from alignment.pair import Origin, Pair, locate
from alignment.pair.inputs import Inputs
from alignment.processes.serving import Advance, serve
from alignment.recordings.kernels import CAST, KERNELS_FILE, Kernel, write_kernels
from alignment.recordings.recording import Manifest, Recorder
from alignment.running.kept_state import GlobalState
from alignment.running.request import Request
from alignment.steps import STEPS, Quantity, Trial, other_inputs

_NOISY_KINDS = ("output", "gradient", "loss")


@dataclass(frozen=True, slots=True)
class Job:
    """A request with its model in memory.

    Attributes:
        request: The request.
        pair: What is aligned.
        backend: The framework, its model built and loaded.
        inputs: The batch, float32.
        weights: The state dict.
        built: The state dict that the model was built with, where random weights leave its constants; else empty.
        kernels: Exact versions that building the model has used.
    """

    request: Request
    pair: Pair
    backend: Backend
    inputs: Inputs
    weights: Mapping[str, Array]
    built: Mapping[str, Array] = field(default_factory=dict)
    kernels: Mapping[str, Kernel] = field(default_factory=dict)

    def trial(self, dtype: str) -> Trial:
        """The model and its inputs in the precision that the backend uses now."""
        record = dtype == self.request.dtypes[0]
        inputs = self.inputs.cast(dtype)
        exact = dtype == "float64" and self.request.role == "reference"  # what the other's float32 is held against
        once = dtype == self.request.once or exact
        return Trial(*(self.backend, self.pair, self.request.role, inputs, self.weights, record, self.built), once=once)

    def perturbed(self, number: int, dtype: str) -> Trial:
        """The trial in a precision with inputs and weights moved by one unit in its last place."""
        return self.trial(dtype).moved(np.random.default_rng((self.request.seed, number, 2)))


def run(request: Request, advance: Advance, job: Job | None = None) -> None:
    """Carry out a request.

    Args:
        request: Steps, precisions, files.
        advance: Called after each part of the work.
        job: The request with its model in memory; by default it is built and loaded.

    Raises:
        AlignmentError: The framework, the pair, the weights or the inputs are not what the request says.
        PortingError: The weights' layout does not fit.
    """
    total = sum(len(request.steps) + _repeats(request, dtype) for dtype in request.dtypes) + 1
    numbers = count(1)

    def done(what: str) -> None:
        advance(what, next(numbers), total)

    jobs = fresh_jobs(load_job(request)) if job is None else repeat(job)
    done("model built, weights loaded")
    used: dict[str, Kernel] = {}
    for dtype in sorted(request.dtypes, reverse=bool(request.exact)):  # float64 first, as the model is built then
        for name, kernel in _record(next(jobs), dtype, done).items():
            used[name] = kernel.and_in(used.get(name))
    if request.exact:
        write_kernels(used.values(), Path(request.folder) / f"{request.label}-{KERNELS_FILE}")


def fresh_jobs(first: Job) -> Iterator[Job]:
    """A job, then the same with a new model each time, which keeps nothing of earlier calls.

    A table that a model makes on its first call is of that call's precision, and has no place in another's.
    """
    request, state = first.request, GlobalState()
    yield first
    del first
    while True:
        state.restore()
        yield load_job(request)


def _record(job: Job, dtype: str, done: Callable[[str], None]) -> Mapping[str, Kernel]:
    """Run all steps in one precision, and write the recording; returns the exact versions that were used.

    Raises:
        AlignmentError: The model does not run, or not in this half precision.
    """
    request, backend = job.request, job.backend
    with backend.exact(request.exact) if request.exact else nullcontext({}) as kernels:
        if dtype in HALVES:
            with running_in(dtype, request.role, backend.title, request.device):
                _run_steps(job, dtype, done)
        else:
            _run_steps(job, dtype, done)
    return {**job.kernels, **kernels}


def _run_steps(job: Job, dtype: str, done: Callable[[str], None]) -> None:
    request = job.request
    job.backend.use(dtype)
    recorder = Recorder(spool=request.folder)
    trial = job.trial(dtype)
    for step in request.steps:
        for quantity in STEPS[step].run(trial):
            recorder.add(quantity.key, quantity.array, quantity.entry)
        done(f"{step} {dtype}")
    if trial.once and other_inputs.STEP not in request.steps:
        for quantity in other_inputs.steadiness(trial, request.steps[0]):
            recorder.add(quantity.key, quantity.array, quantity.entry)
    if _repeats(request, dtype):
        note_spreads(recorder, _perturbed_quantities(job, dtype, done), _NOISY_KINDS, _change)
    recorder.write(Path(request.folder) / f"{request.label}-{dtype}", manifest_of(job, dtype)).close()


def load_job(request: Request) -> Job:
    """Build and load the model that is asked for.

    Raises:
        AlignmentError: The framework, the pair, the weights or the inputs are not what the request says.
        PortingError: The weights' layout does not fit.
    """
    pair = locate(Origin(request.target, request.arguments))
    side = pair.side(request.role)
    inputs = Inputs.read(Path(request.inputs))
    if inputs.digest != request.inputs_digest:
        raise RefusedError(f"{request.inputs}: the inputs are not those of this run (digest {inputs.digest})")
    runtime = Runtime(request.device, request.threads, request.deterministic, request.tf32, request.seed)
    names = pair.contract.names(request.role) if pair.contract is not None else {}
    kernels: Mapping[str, Kernel] = {}
    np.random.seed(request.seed % 2**32)  # what a user's builder may draw from
    random.seed(request.seed)
    if request.exact and "float64" in request.dtypes:
        backend, kernels = build_exact(side, runtime, request.exact, names=names, single=not pair.own)
    else:
        backend = build_model(side, runtime, names=names, single=not pair.own)
    drawn = request.drawn and pair.contract is not None and bool(pair.contract.constants)
    built = _narrow(backend.state()) if drawn else {}
    if request.weights:
        backend.load(Path(request.weights))
    return Job(request, pair, backend, inputs, _narrow(backend.state()), built, kernels)


def _narrow(arrays: Mapping[str, Array]) -> Mapping[str, Array]:
    """Arrays of a model that may have been built in float64, as the weights of a step are given: in float32."""
    return {name: array.astype(np.float32) if array.dtype == np.float64 else array for name, array in arrays.items()}


def _repeats(request: Request, dtype: str) -> int:
    return request.perturbations * len(_noisy_steps(request, dtype))


def _noisy_steps(request: Request, dtype: str) -> Sequence[str]:
    """The steps of which the reference measures the rounding noise.

    In float64 that is backward, of which a gradient may be nothing but rounding, such as that of a key's bias; where
    there is a float32 run, its noise tells that too.
    """
    if request.role != "reference" or dtype == request.evidence:
        return ()
    if dtype != "float64":
        return request.steps
    return () if "float32" in request.dtypes else [step for step in request.steps if step == "bp"]


def _perturbed_quantities(job: Job, dtype: str, done: Callable[[str], None]) -> Iterator[Quantity]:
    for number in range(job.request.perturbations):
        trial = job.perturbed(number, dtype)
        for step in _noisy_steps(job.request, dtype):
            yield from STEPS[step].run(trial)
            done(f"{step} {dtype}, rounding noise {number + 1}/{job.request.perturbations}")


def note_spreads(
    recorder: Recorder,
    perturbed: Iterable[Quantity],
    kinds: Container[str],
    change: Callable[[Array, Array], tuple[float, float]],
) -> None:
    """Note for every result how far one-ulp changes of inputs and weights move it, at most.

    Args:
        recorder: Holds the unperturbed results, and takes the notes.
        perturbed: The results of all reruns.
        kinds: Kinds of quantities that are rounded.
        change: L2 norm and largest absolute value of the difference of two arrays.
    """
    spreads: dict[str, tuple[float, float]] = {}
    for quantity in perturbed:
        if quantity.entry.kind in kinds:
            norm, largest = change(recorder.get(quantity.key), quantity.array)
            previous = spreads.get(quantity.key, (0.0, 0.0))
            spreads[quantity.key] = max(previous[0], norm), max(previous[1], largest)
    for key, (norm, largest) in spreads.items():
        if np.isfinite(norm):  # not where a run ended in NaN
            recorder.annotate(key, spread=norm, spread_max=largest)


def _change(before: Array, after: Array) -> tuple[float, float]:
    difference = np.subtract(after, before, dtype=np.float64).reshape(-1)
    return float(np.linalg.norm(difference)), float(np.abs(difference).max(initial=0))


def manifest_of(job: Job, dtype: str) -> Manifest:
    """The manifest of a recording of the job."""
    request, description = job.request, job.backend.describe()
    return Manifest(
        backend=job.pair.side(request.role).framework,
        dtype=dtype,
        role=request.role,
        model=job.pair.name,
        device=request.device,
        steps=tuple(request.steps),
        batch_size=len(job.inputs.images),
        seeds={"run": request.seed},
        threads=description.threads,
        versions={**description.versions, "platform": platform.platform()},
        flags=description.flags,
        digests={"weights": request.weights_digest, "inputs": request.inputs_digest},
        command=request.command,
        python=sys.executable,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        notes=(*request.notes, *_lifted(job, dtype)),
    )


def _lifted(job: Job, dtype: str) -> Iterator[str]:
    """Yield a note of the casts without which alone a model runs in float64."""
    casts = job.backend.casts
    if dtype == "float64" and casts:
        places = ", ".join(name.removeprefix(CAST) for name in casts)
        yield (
            f"the {job.request.role} does not run in float64 with its casts to float32; in float64 it was run without "
            f"them: {places}"
        )


def main(arguments: list[str]) -> int:
    """Carry out the request in the file that is named, reporting on standard output; returns the exit code."""
    return serve(lambda advance: run(Request.read(Path(arguments[0])), advance))
