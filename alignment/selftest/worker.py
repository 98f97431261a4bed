"""One framework's side of the self-test, in a process of its own: many runs of small models, faulty and correct.

The reference's process records. The candidate's judges what it computed at once, and leaves one small file a fault or
run, so that a self-test that was interrupted goes on where it was.
"""

from __future__ import annotations

import importlib
import json
import re
import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from alignment.arrays import Array
from alignment.bisection.worker import ReferenceModules, localise, record
from alignment.errors import AlignmentError
from alignment.judging.judge import judge, judge_arrays
from alignment.processes.serving import Advance, serve
from alignment.recordings.recording import Recording, open_recording
from alignment.results.findings import Bisection
from alignment.results.report import Report
from alignment.running.request import Request
from alignment.running.worker import Job, load_job, run
from alignment.selftest.baselines import allclose_check, mean_check, stops
from alignment.selftest.faults import KNOWN, Fault
from alignment.selftest.faults import functions as function_faults
from alignment.selftest.faults.arrays import in_files, in_weights
from alignment.selftest.results import CorrectRun, FaultResult, slug, write_json
from porting.checkpoint.tensor import LazyTensor
from porting.conversion import translate
from porting.fields import encode

_DTYPES = ("float32", "float64")
_INJECTORS = "alignment.selftest.inject.{framework}_layers"


def recorded(request: Request) -> Path:
    """Where the reference's modules are recorded, beside its recordings."""
    return Path(request.folder).parent / "modules"


def reference_side(requests: list[Request], advance: Advance, *, taps: bool) -> None:
    """Record the reference: every step, and what goes through its modules if that is asked for."""
    for number, request in enumerate(requests):
        run(request, _silent)
        if taps:
            recorded(request).mkdir(parents=True, exist_ok=True)
            record(load_job(request), recorded(request), _silent)
        advance(f"reference {Path(request.folder).parent.name}", number + 1, len(requests))


def faulty_side(request: Request, keys: Mapping[str, str], results: Path, advance: Advance) -> None:
    """Put each of these faults into the candidate, and note what the toolkit says; `keys` has the results' by fault."""
    seen = ReferenceModules.read(recorded(request))
    for number, (name, key) in enumerate(keys.items()):
        fault = KNOWN[name]
        outcome = _file_result(fault, request) if fault.place == "files" else _result(fault, request, seen)
        write_json(results / f"{slug(name)}.json", encode(replace(outcome, key=key)))
        advance(name, number + 1, len(keys))


def correct_side(
    requests: list[Request], keys: Mapping[str, str], results: Path, advance: Advance, *, keep: bool = False
) -> None:
    """Run the correct candidate, and note whether it is accused; `keep` leaves its recordings."""
    for number, request in enumerate(requests):
        run(request, _silent)
        name = Path(request.folder).parent.name
        with ExitStack() as stack:
            report = _judge(request, Path(request.folder), stack)
            runs = len({(row.step, row.dtype) for row in report.rows})
            accused = [f"{row.key} ({row.dtype}): {row.reason}" for row in report.failures]
            objections = [each for step in request.steps for each in _objections(step, request, stack)]
        if recorded(request).is_dir():
            found = localise(
                load_job(replace(request, dtypes=["float64"])),
                ReferenceModules.read(recorded(request)),
                hypotheses=False,
            )
            runs += 1
            accused += [f"bisect: {finding.path}" for finding in found.findings]
            accused += ["bisect: diverges"] if found.diverges and not found.findings else []
        model = request.arguments.get("name", "")
        margin = max((row.margin or 0.0 for row in report.rows if row.dtype == "float32"), default=0.0)
        outcome = CorrectRun(
            *(name, model, request.seed, request.threads, runs, tuple(accused), margin, tuple(objections)),
            key=keys.get(name, ""),
        )
        write_json(results / f"{name}.json", encode(outcome))
        if not keep:
            shutil.rmtree(Path(request.folder).parent, ignore_errors=True)
        advance(name, number + 1, len(requests))


def _result(fault: Fault, request: Request, seen: ReferenceModules) -> FaultResult:
    folder = Path(request.folder).parent / "faults" / slug(fault.name)
    folder.mkdir(parents=True, exist_ok=True)
    request = replace(request, folder=str(folder))
    injectors = importlib.import_module(_INJECTORS.format(framework=request.label))
    try:
        job = _injected(fault, load_job(request), injectors)
        run(request, _silent, job)
        found = localise(replace(job, request=replace(request, dtypes=["float64"])), seen, hypotheses=True)
        with ExitStack() as stack:
            report = _judge(request, folder, stack, Path(request.inputs).parent / "recordings")
            arrays = _official(fault.step, request, folder, stack)
            return _outcome(fault, report, found, *arrays)
    finally:
        injectors.restore()
        shutil.rmtree(folder, ignore_errors=True)


def _injected(fault: Fault, job: Job, injectors: Any) -> Job:
    given = dict(fault.arguments)
    if fault.place == "module":
        injectors.inject(job.backend, fault.kind, fault.path, given)
    elif fault.place == "function":
        function_faults.inject(job.backend, fault.kind, fault.path)
    else:
        right = job.trial("float32").canonical(job.backend.state())
        tensors, counters = job.pair.architecture.tensors, job.pair.architecture.counters
        wrong = in_weights(right, fault.kind, fault.path, given)
        lazy = {name: LazyTensor.of(np.ascontiguousarray(array)) for name, array in wrong.items()}
        lazy |= {name: LazyTensor.of(np.zeros(tensors[name].shape, np.int64)) for name in counters}
        layout = job.pair.side("candidate").layout
        translated = translate(lazy, job.pair.architecture, "canonical", layout)
        return replace(job, weights={name: np.asarray(tensor.load()) for name, tensor in translated.items()})
    return job


def _outcome(
    fault: Fault, report: Report, found: Bisection, reference: Mapping[str, Array], candidate: Mapping[str, Array]
) -> FaultResult:
    guilty = tuple(dict.fromkeys(finding.path for finding in found.findings))
    said = [(each.causes[0].name, each.causes[0].says) if each.causes else ("", "") for each in found.findings]
    expected, blamed = set(fault.expected), set(guilty)
    exact = bool(blamed) and (blamed <= expected if fault.step == "metric" else blamed == expected)
    return FaultResult(
        name=fault.name,
        step=fault.step,
        detected=bool(report.failures),
        localised=exact,
        named=bool(said) and all(fault.names(*each) for each in said),
        misnamed=any(fault.contradicts(*each) for each in said),
        guilty=guilty,
        causes=tuple(dict.fromkeys(cause for cause, _ in said)),
        failed=tuple(row.key for row in report.failures)[:6],
        reprod_log=mean_check(reference, candidate),
        allclose=allclose_check(reference, candidate),
        gated=stops(report),
        says=tuple(dict.fromkeys(says for _, says in said)),
    )


def _file_result(fault: Fault, request: Request) -> FaultResult:
    with ExitStack() as stack:
        sides = [
            dict(stack.enter_context(open_recording(_recordings(request) / f"{label}-float32")))
            for label in ("torch", request.label)
        ]
        for side in sides:
            for key in [key for key in side if "/parameters/" in key]:
                del side[key]
        wrong = in_files(sides[1], fault.kind, fault.path)
        report = judge_arrays(sides[0], wrong)
        failures = {row.key: row.reason for row in report.failures}
        reasons = tuple(failures.values())
        return FaultResult(
            name=fault.name,
            step=fault.step,
            detected=bool(failures),
            localised=set(failures) == {fault.path},
            named=bool(reasons) and all(fault.names(_word(reason), reason) for reason in reasons),
            guilty=tuple(failures),
            causes=tuple(reason[:80] for reason in reasons),
            failed=tuple(failures),
            reprod_log=mean_check(sides[0], wrong),
            allclose=allclose_check(sides[0], wrong),
            gated=stops(report),
            says=reasons,
        )


def _word(reason: str) -> str:
    """The word that says what is wrong with an array: `shape`, `NaN`, `missing`; a number may stand before it."""
    found = re.match(r"(?:\d+ )?([A-Za-z]+)", reason)
    return found[1] if found else ""


def _official(step: str, request: Request, folder: Path, stack: ExitStack) -> tuple[dict[str, Array], dict[str, Array]]:
    """What the official float32 files of a step hold, on both sides."""
    paths = _recordings(request) / "torch-float32", folder / f"{request.label}-float32"
    sides = [stack.enter_context(open_recording(path)) for path in paths]
    left_out = ("parameter", "input")
    reference, candidate = (
        {
            key: np.asarray(side[key])
            for key, entry in side.manifest.entries.items()
            if entry.step == step and entry.kind not in left_out
        }
        for side in sides
    )
    return reference, candidate


def _objections(step: str, request: Request, stack: ExitStack) -> list[str]:
    """The simple checks that object to a step of a correct pair."""
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


def main(arguments: list[str]) -> int:
    """Carry out the task in the file that is named; returns the exit code."""
    task = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))

    def work(advance: Advance) -> None:
        requests = [Request.read(Path(path)) for path in task["requests"]]
        results = Path(task["results"])
        if task["kind"] == "reference":
            reference_side(requests, advance, taps=task["taps"])
        elif task["kind"] == "faults":
            faulty_side(requests[0], task["keys"], results, advance)
        elif task["kind"] == "correct":
            correct_side(requests, task["keys"], results, advance, keep=task.get("keep", False))
        else:
            raise AlignmentError(f"{arguments[0]}: no task is called {task['kind']!r}")

    return serve(work)
