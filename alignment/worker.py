"""One framework's side of an alignment, in a process of its own: runs the steps and writes the recordings.

`alignment.running` starts it with the path of a request. Standard output carries one JSON object a line and nothing
else: progress, then `done` or one `error`. What the frameworks print goes to standard error.
"""

from __future__ import annotations

import io
import json
import os
import platform
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from alignment import backends, targets
from alignment.backends.base import Array, Backend, Runtime
from alignment.errors import AlignmentError, RefusedError
from alignment.inputs import Inputs, perturb
from alignment.pair import Origin, Pair, Role, Side, locate
from alignment.recording import Manifest, Recorder
from alignment.steps import STEPS, Trial
from porting.errors import PortingError

PROTOCOL = 3
_NOISY_KINDS = ("output", "gradient", "loss")


@dataclass(frozen=True)
class Request:
    """What a worker is asked to do; plain JSON values, files as absolute paths.

    Attributes:
        target: Where the pair is declared, see `alignment.pair.Origin`.
        arguments: Arguments of the declaration, if it is a function.
        role: `reference` or `candidate`.
        label: What this side's recordings are named after.
        steps: Names in `alignment.steps.STEPS`.
        dtypes: `float32`, `float64`.
        device: `cpu` or `gpu`.
        threads: CPU threads.
        deterministic: Use deterministic algorithms only.
        tf32: Allow TensorFloat-32.
        seed: What the run is seeded with.
        perturbations: How many times the float32 steps are repeated with inputs and weights one ulp off; 0 for none.
        weights: The side's weight file; empty where it has no weights.
        drawn: Whether the weights are drawn, so that a file which somebody ships says nothing of the constants.
        weights_digest: Digest of the canonical weights.
        inputs: The batch, as `Inputs.write` wrote it.
        inputs_digest: The digest that the batch must have.
        folder: Where the recordings go, as `<label>-<dtype>`.
        command: The command line, for the manifests.
        notes: What the reader of a report must know, for the manifests.
        protocol: Version of this exchange.
    """

    target: str
    arguments: Mapping[str, Any]
    role: Role
    label: str
    steps: list[str]
    dtypes: list[str]
    device: str
    threads: int
    deterministic: bool
    tf32: bool
    seed: int
    perturbations: int
    weights: str
    drawn: bool
    weights_digest: str
    inputs: str
    inputs_digest: str
    folder: str
    command: str = ""
    notes: list[str] = field(default_factory=list)
    protocol: int = field(default=PROTOCOL)

    def write(self, path: Path) -> None:
        """Write the request as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Request:
        """Read a request.

        Raises:
            AlignmentError: Another version of the toolkit wrote it.
        """
        values = json.loads(path.read_text(encoding="utf-8"))
        if values.get("protocol") != PROTOCOL:
            raise AlignmentError(
                f"{sys.executable} holds another version of pit-port than the one that started it: "
                "install the same one in both environments"
            )
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Job:
    """A request with its model in memory.

    Attributes:
        request: What to do.
        pair: What is aligned.
        backend: The framework, its model built and loaded.
        inputs: The batch, float32.
        weights: The state dict.
        built: Those of its constants that the model was built with, where the weights are drawn.
    """

    request: Request
    pair: Pair
    backend: Backend
    inputs: Inputs
    weights: Mapping[str, Array]
    built: Mapping[str, Array] = field(default_factory=dict)

    def trial(self, dtype: str) -> Trial:
        """The model and its inputs in a precision that the backend uses already."""
        record = dtype == self.request.dtypes[0]
        inputs = self.inputs.cast(dtype)
        return Trial(self.backend, self.pair, self.request.role, inputs, self.weights, record, self.built)

    def perturbed(self, number: int) -> Trial:
        """The float32 trial with inputs and weights moved by one unit in the last place."""
        generator = np.random.default_rng((self.request.seed, number, 2))
        images = self.inputs.images
        moved = perturb(images, generator) if images.dtype == np.float32 else images
        inputs = replace(self.inputs, images=moved)
        weights = {
            name: perturb(array, generator) if array.dtype == np.float32 else array
            for name, array in self.weights.items()
        }
        return replace(self.trial("float32"), inputs=inputs, weights=weights, record_parameters=False)


def run(request: Request, report: Callable[[Mapping[str, Any]], None], job: Job | None = None) -> None:
    """Carry out a request.

    Args:
        request: What to do.
        report: Called with `{"event": "progress", ...}` after each part of the work.
        job: The request with its model in memory; by default it is built and loaded.

    Raises:
        AlignmentError: The framework, the pair, the weights or the inputs are not what the request says.
        PortingError: The weights' layout does not fit.
    """
    total = sum(1 + _repeats(request, dtype) for dtype in request.dtypes) * len(request.steps) + 1
    done = 0

    def advance(what: str) -> None:
        nonlocal done
        done += 1
        report({"event": "progress", "what": what, "done": done, "total": total})

    job = prepare(request) if job is None else job
    advance("model built, weights loaded")
    for dtype in request.dtypes:
        job.backend.use(dtype)
        recorder = Recorder(spool=request.folder)
        trial = job.trial(dtype)
        for step in request.steps:
            for quantity in STEPS[step](trial):
                recorder.add(quantity.key, quantity.array, quantity.entry)
            advance(f"{step} {dtype}")
        if _repeats(request, dtype):
            _measure_noise(job, recorder, advance)
        recorder.write(Path(request.folder) / f"{request.label}-{dtype}", manifest_of(job, dtype)).close()


def prepare(request: Request) -> Job:
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
    backend = backends.create(side.framework, runtime)
    backend.use("float32")
    build_model(backend, side)
    backend.use("float32")  # a model may be built in another precision
    drawn = request.drawn and pair.contract is not None and bool(pair.contract.constants)
    built = backend.state() if drawn else {}
    if request.weights:
        backend.load(Path(request.weights))
    return Job(request, pair, backend, inputs, backend.state(), built)


def build_model(backend: Backend, side: Side) -> None:
    """Make the model of a side, or take its function for one.

    Raises:
        AlignmentError: There is nothing of this name, or it makes something else than a model.
    """
    if side.function:
        backend.wrap(targets.resolve(side.function), side.options)
    else:
        backend.build(targets.resolve(side.build), side.options)


def _repeats(request: Request, dtype: str) -> int:
    return request.perturbations if request.role == "reference" and dtype == "float32" else 0


def _measure_noise(job: Job, recorder: Recorder, advance: Callable[[str], None]) -> None:
    """Note for every floating-point result how far one-ulp changes of inputs and weights move it, at most."""
    spreads: dict[str, tuple[float, float]] = {}
    for number in range(job.request.perturbations):
        trial = job.perturbed(number)
        for step in job.request.steps:
            for quantity in STEPS[step](trial):
                if quantity.entry.kind in _NOISY_KINDS:
                    change = _change(recorder.get(quantity.key), quantity.array)
                    previous = spreads.get(quantity.key, (0.0, 0.0))
                    spreads[quantity.key] = max(previous[0], change[0]), max(previous[1], change[1])
            advance(f"{step} float32, rounding noise {number + 1}/{job.request.perturbations}")
    for key, (norm, largest) in spreads.items():
        if np.isfinite(norm):
            recorder.annotate(key, spread=norm, spread_max=largest)


def _change(before: Array, after: Array) -> tuple[float, float]:
    difference = np.subtract(after, before, dtype=np.float64).reshape(-1)
    return float(np.linalg.norm(difference)), float(np.abs(difference).max(initial=0))


def manifest_of(job: Job, dtype: str) -> Manifest:
    """What a recording of the job says of how it was made."""
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
        notes=tuple(request.notes),
    )


def main(arguments: list[str]) -> int:
    """Carry out the request in the file that is named, reporting on standard output; returns the exit code."""
    return serve(lambda report: run(Request.read(Path(arguments[0])), report))


def serve(work: Callable[[Callable[[Mapping[str, Any]], None]], None]) -> int:
    """Do the work of a worker's process, which reports on standard output; returns the exit code."""
    report = _claim_stdout()
    _die_with_parent()
    try:
        work(report)
    except (AlignmentError, PortingError) as error:
        report({"event": "error", "expected": True, "summary": error.summary, "details": list(error.details)})
    except Exception as error:
        traceback.print_exc()
        summary = f"{type(error).__name__}: {str(error).strip() or 'no message'}"
        report({"event": "error", "expected": False, "summary": summary.splitlines()[0], "details": []})
    else:
        report({"event": "done"})
        return 0
    return 3


def _claim_stdout() -> Callable[[Mapping[str, Any]], None]:
    """Keep standard output for reports; from here on whatever else writes to it writes to standard error, at once."""
    sys.stdout.flush()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # what a process that dies has printed is its log's last words
    stream = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)

    def report(event: Mapping[str, Any]) -> None:
        stream.write(json.dumps(event) + "\n")

    return report


def _die_with_parent() -> None:
    """End this process when the one that started it closes our standard input, be it by dying."""

    def watch() -> None:
        while os.read(0, 1):
            pass
        os._exit(3)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
