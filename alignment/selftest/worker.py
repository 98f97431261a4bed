"""One framework's side of the self-test, in a process of its own: many runs of small models, faulty and correct.

The reference's process records. The candidate's judges what it computed at once, and leaves one small file a fault or
run, so that a self-test that was interrupted goes on where it was.
"""

from __future__ import annotations

import importlib
import re
import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from alignment.arrays import Array
from alignment.bisection.recorded import ReferenceModules
from alignment.bisection.search import localise
from alignment.bisection.worker import record
from alignment.errors import AlignmentError
from alignment.judging.judge import judge, judge_arrays
from alignment.processes.serving import Advance, JsonRequest, serve
from alignment.recordings.recording import Recording, open_recording
from alignment.results.report import Report
from alignment.running.request import Request
from alignment.running.worker import Job, load_job, run
from alignment.selftest.baselines import allclose_check, mean_check
from alignment.selftest.faults import KNOWN, Fault
from alignment.selftest.faults import functions as function_faults
from alignment.selftest.faults.arrays import in_files, in_weights
from alignment.selftest.results import (
    CorrectRun,
    FaultResult,
    fault_result,
    objections,
    simple_checks,
    slug,
    write_json,
)
from porting.checkpoint.tensor import LazyTensor
from porting.conversion import translate
from porting.fields import encode

_DTYPES = ("float32", "float64")
_INJECTORS = "alignment.selftest.inject.{framework}_layers"


@dataclass(frozen=True)
class Task(JsonRequest):
    """What a worker does.

    Attributes:
        kind: A key of `TASKS`.
        requests: Paths of the requests of its side.
        results: Folder of the results.
        keys: Keys of the results, by the name of the fault or correct run.
        taps: Whether the reference's modules are recorded as well.
        keep: Whether the recordings of correct runs are kept.
    """

    kind: str
    requests: list[str]
    results: str
    keys: dict[str, str] = field(default_factory=dict)
    taps: bool = False
    keep: bool = False


def recorded(request: Request) -> Path:
    """Return the folder in which the reference's modules are recorded, beside its recordings."""
    return Path(request.folder).parent / "modules"


def reference_side(task: Task, requests: list[Request], advance: Advance) -> None:
    """Record every step of the reference, and with `taps` what goes through its modules."""
    for number, request in enumerate(requests, 1):
        run(request, _silent)
        if task.taps:
            recorded(request).mkdir(parents=True, exist_ok=True)
            record(load_job(request), recorded(request), _silent)
        advance(f"reference {Path(request.folder).parent.name}", number, len(requests))


def faulty_side(task: Task, requests: list[Request], advance: Advance) -> None:
    """Put each of the task's faults into the candidate, and write what the toolkit reports."""
    (request,) = requests
    seen = ReferenceModules.read(recorded(request))
    for number, (name, key) in enumerate(task.keys.items(), 1):
        fault = KNOWN[name]
        outcome = _file_result(fault, request) if fault.place == "files" else _result(fault, request, seen)
        write_json(Path(task.results) / f"{slug(name)}.json", encode(replace(outcome, key=key)))
        advance(name, number, len(task.keys))


def correct_side(task: Task, requests: list[Request], advance: Advance) -> None:
    """Run the correct candidate, and write what the toolkit reports of it."""
    for number, request in enumerate(requests, 1):
        name = Path(request.folder).parent.name
        run(request, _silent)
        outcome = replace(_correct(name, request), key=task.keys.get(name, ""))
        write_json(Path(task.results) / f"{name}.json", encode(outcome))
        if not task.keep:
            shutil.rmtree(Path(request.folder).parent, ignore_errors=True)
        advance(name, number, len(requests))


def _correct(name: str, request: Request) -> CorrectRun:
    with ExitStack() as stack:
        report = _judge(request, Path(request.folder), stack)
        checked = [check for step in request.steps for check in _simple_objections(step, request, stack)]
    runs, accused = len({(row.step, row.dtype) for row in report.rows}), objections(report)
    if recorded(request).is_dir():
        job = load_job(replace(request, dtypes=["float64"]))
        bisection = localise(job, ReferenceModules.read(recorded(request)), hypotheses=False)
        runs += 1
        accused += [f"bisect: {finding.path}" for finding in bisection.findings]
        accused += ["bisect: diverges"] if bisection.diverges and not bisection.findings else []
    margin = max((row.margin or 0.0 for row in report.rows if row.dtype == "float32"), default=0.0)
    model = request.arguments.get("name", "")
    return CorrectRun(name, model, request.seed, request.threads, runs, tuple(accused), margin, tuple(checked))


def _result(fault: Fault, request: Request, seen: ReferenceModules) -> FaultResult:
    folder = Path(request.folder).parent / "faults" / slug(fault.name)
    folder.mkdir(parents=True, exist_ok=True)
    request = replace(request, folder=str(folder))
    injectors = importlib.import_module(_INJECTORS.format(framework=request.label))
    try:
        job = _injected(fault, load_job(request), injectors)
        run(request, _silent, job)
        bisection = localise(replace(job, request=replace(request, dtypes=["float64"])), seen, hypotheses=True)
        with ExitStack() as stack:
            report = _judge(request, folder, stack, _recordings(request))
            return fault_result(fault, report, bisection.findings, *_official(fault.step, request, folder, stack))
    finally:
        injectors.restore()
        shutil.rmtree(folder, ignore_errors=True)


def _injected(fault: Fault, job: Job, injectors: Any) -> Job:
    if fault.place == "module":
        injectors.inject(job.backend, fault.kind, fault.path, fault.arguments)
        return job
    if fault.place == "function":
        function_faults.inject(job.backend, fault.kind, fault.path)
        return job
    weights = job.trial("float32").canonical(job.backend.state())
    tensors, counters = job.pair.architecture.tensors, job.pair.architecture.counters
    wrong = in_weights(weights, fault.kind, fault.path, fault.arguments)
    lazy = {name: LazyTensor.of(np.ascontiguousarray(array)) for name, array in wrong.items()}
    lazy |= {name: LazyTensor.of(np.zeros(tensors[name].shape, np.int64)) for name in counters}
    translated = translate(lazy, job.pair.architecture, "canonical", job.pair.side("candidate").layout)
    return replace(job, weights={name: np.asarray(tensor.load()) for name, tensor in translated.items()})


def _file_result(fault: Fault, request: Request) -> FaultResult:
    with ExitStack() as stack:
        paths = [_recordings(request) / f"{label}-float32" for label in ("torch", request.label)]
        sides = [stack.enter_context(open_recording(path)) for path in paths]
        reference, candidate = ({key: side[key] for key in side if "/parameters/" not in key} for side in sides)
        wrong = in_files(candidate, fault.kind, fault.path)
        report = judge_arrays(reference, wrong)
        failures = {row.key: row.reason for row in report.failures}
        reasons = tuple(failures.values())
        return FaultResult(
            **simple_checks(fault, report, reference, wrong),
            localised=set(failures) == {fault.path},
            named=bool(reasons) and all(fault.names(_word(reason), reason) for reason in reasons),
            guilty=tuple(failures),
            causes=tuple(reason[:80] for reason in reasons),
            failed=tuple(failures),
            says=reasons,
        )


def _word(reason: str) -> str:
    """Return the word that names what is wrong with an array: `shape`, `NaN`, `missing`; a number may precede it."""
    match = re.match(r"(?:\d+ )?([A-Za-z]+)", reason)
    return match[1] if match else ""


def _official(step: str, request: Request, folder: Path, stack: ExitStack) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return the arrays of a step's official float32 files, of both sides."""
    paths = _recordings(request) / "torch-float32", folder / f"{request.label}-float32"
    reference, candidate = (_outputs(step, stack.enter_context(open_recording(path))) for path in paths)
    return reference, candidate


def _outputs(step: str, side: Recording) -> dict[str, Array]:
    entries: Mapping[str, Any] = side.manifest.entries
    return {
        key: np.asarray(side[key])
        for key, entry in entries.items()
        if entry.step == step and entry.kind not in ("parameter", "input")
    }


def _simple_objections(step: str, request: Request, stack: ExitStack) -> list[str]:
    """Return the simple checks that object to a step of a correct pair."""
    arrays = _official(step, request, Path(request.folder), stack)
    checks = {"reprod_log": mean_check, "np.allclose": allclose_check}
    return [f"{name} {step}" for name, check in checks.items() if check(*arrays)]


def _recordings(request: Request) -> Path:
    return Path(request.inputs).parent / "recordings"


def _judge(request: Request, folder: Path, stack: ExitStack, reference: Path | None = None) -> Report:
    def both(where: Path, label: str) -> dict[str, Recording]:
        return {dtype: stack.enter_context(open_recording(where / f"{label}-{dtype}")) for dtype in _DTYPES}

    return judge(both(reference or folder, "torch"), both(folder, request.label))


def _silent(what: str, done: int, total: int) -> None:
    pass


TASKS = {"reference": reference_side, "faults": faulty_side, "correct": correct_side}


def main(arguments: list[str]) -> int:
    """Carry out the task in the file that is named; returns the exit code."""
    task = Task.read(Path(arguments[0]))

    def work(advance: Advance) -> None:
        if task.kind not in TASKS:
            raise AlignmentError(f"{arguments[0]}: no task is called {task.kind!r}")
        TASKS[task.kind](task, [Request.read(Path(path)) for path in task.requests], advance)

    return serve(work)
