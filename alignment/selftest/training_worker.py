"""One framework's side of the training part of the self-test, in a process of its own.

The candidate's process records each fault's check point, the reference's judges and explains it: what it runs once more
for a hypothesis, it keeps for the next fault.
"""

from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from alignment.arrays import Array
from alignment.errors import AlignmentError
from alignment.frameworks import FRAMEWORKS
from alignment.judging.judge import judge
from alignment.pair import Pair, Role, published
from alignment.processes.serving import Advance, serve
from alignment.recordings.recording import Manifest, Recorder, Recording, open_recording
from alignment.recordings.reprod_write import LEFT_OUT
from alignment.results.findings import Finding
from alignment.selftest.baselines import allclose_check, mean_check, stops
from alignment.selftest.faults import KNOWN, Fault
from alignment.selftest.faults.training import RECIPES
from alignment.selftest.results import (
    CorrectRun,
    FaultResult,
    correct_file,
    fault_file,
    slug,
    write_json,
)
from alignment.steps.training import TRAINING_STEPS
from alignment.training.explain import explain
from alignment.training.reruns import TrainingSide
from porting.checkpoint import open_checkpoint
from porting.fields import encode
from recipe.loading import load

UPDATES = {"train": 6, "distributed": 2}
_FAULTY = "alignment.selftest.inject.{framework}_training_data"


@dataclass(frozen=True, slots=True)
class Task:
    """What a worker does for one recipe.

    Attributes:
        recipe: A key of `alignment.selftest.faults.training.RECIPES`.
        work: Folder with the configuration, the weights, the pictures and the recordings.
        results: Folder of the results.
        faults: Names of the faults.
        steps: The check points that the right candidate runs.
        keys: Of the results, by the name of the fault or right run.
    """

    recipe: str
    work: Path
    results: Path
    faults: tuple[str, ...]
    steps: tuple[str, ...]
    keys: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Task:
        """Read what `write` wrote."""
        given = json.loads(path.read_text(encoding="utf-8"))
        work, results = Path(given["work"]), Path(given["results"])
        return cls(given["recipe"], work, results, tuple(given["faults"]), tuple(given["steps"]), given["keys"])

    def write(self, path: Path) -> None:
        """Write the task as JSON."""
        words = {"work": str(self.work), "results": str(self.results)}
        given = {"recipe": self.recipe, "faults": self.faults, "steps": self.steps, "keys": self.keys, **words}
        path.write_text(json.dumps(given, indent=1) + "\n", encoding="utf-8")

    def recorded(self, side: str, step: str) -> Path:
        """Where a step is recorded."""
        return self.work / "recordings" / f"{slug(side)}-{step}"


def right_name(recipe: str, step: str) -> str:
    """What the result of the right candidate of a recipe is called."""
    return f"training-{recipe}-{step}"


def pair_of(recipe: str) -> Pair:
    """The pair that a recipe trains."""
    return published.build(RECIPES[recipe].model, num_classes=RECIPES[recipe].classes)


def bench_of(task: Task, role: Role, pair: Pair, step: str) -> TrainingSide:
    """One side's training code with the recipe."""
    path = task.work / "weights" / f"{pair.label(role)}{FRAMEWORKS[pair.side(role).framework].suffix}"
    with open_checkpoint(path) as checkpoint:
        weights = {name: tensor.load() for name, tensor in checkpoint.tensors.items()}
    return TrainingSide(pair, role, load(task.work / "config.yaml"), weights, path, UPDATES.get(step))


def record(task: Task, role: Role, pair: Pair, step: str, target: Path) -> None:
    """Carry out one step of one side."""
    bench = bench_of(task, role, pair, step)
    recorder = Recorder(spool=task.work)
    for quantity in TRAINING_STEPS[step].run(bench.trial(step)):
        recorder.add(quantity.key, quantity.array, quantity.entry)
    side = pair.side(role)
    recorder.write(target, Manifest(side.framework, "float64", role, pair.name, steps=(step,))).close()


def reference_side(task: Task, advance: Advance) -> None:
    """Record the reference."""
    for number, step in enumerate(task.steps):
        record(task, "reference", pair_of(task.recipe), step, task.recorded("reference", step))
        advance(f"reference {step}", number + 1, len(task.steps))


def candidate_side(task: Task, advance: Advance) -> None:
    """Record the right candidate, then each fault in its check point."""
    pair = pair_of(task.recipe)
    todo = [*((None, step) for step in task.steps), *((KNOWN[name], KNOWN[name].step) for name in task.faults)]
    for number, (fault, step) in enumerate(todo):
        target = task.recorded(fault.name if fault else "candidate", step)
        record(task, "candidate", pair if fault is None else faulty(pair, fault), step, target)
        advance(fault.name if fault else f"right {step}", number + 1, len(todo))


def faulty(pair: Pair, fault: Fault) -> Pair:
    """The pair whose candidate trains with a fault."""
    faults = importlib.import_module(_FAULTY.format(framework=pair.candidate.framework))
    return replace(pair, candidate=replace(pair.candidate, training=faults.target(fault.name)))


def judging_side(task: Task, advance: Advance) -> None:
    """Judge and explain what the candidate recorded."""
    benches = dict[str, TrainingSide]()
    for step in task.steps:
        name = right_name(task.recipe, step)
        outcome = replace(_right(task, step), key=task.keys.get(name, ""))
        write_json(correct_file(task.results, name), encode(outcome))
    for number, name in enumerate(task.faults):
        fault = KNOWN[name]
        if fault.step not in benches:
            benches[fault.step] = bench_of(task, "reference", pair_of(task.recipe), fault.step)
        found = replace(_outcome(task, fault, benches[fault.step]), key=task.keys.get(name, ""))
        write_json(fault_file(task.results, fault), encode(found))
        shutil.rmtree(task.recorded(name, fault.step), ignore_errors=True)
        advance(name, number + 1, len(task.faults))


def _outcome(task: Task, fault: Fault, bench: TrainingSide) -> FaultResult:
    paths = task.recorded("reference", fault.step), task.recorded(fault.name, fault.step)
    with open_recording(paths[0]) as reference, open_recording(paths[1]) as candidate:
        report = judge({"float64": reference}, {"float64": candidate})
        findings = explain(report, reference, candidate, bench)
        arrays = _official(reference), _official(candidate)
        return FaultResult(
            name=fault.name,
            step=fault.step,
            detected=bool(report.failures),
            localised=_localised(fault, findings),
            named=_named(fault, findings),
            misnamed=any(fault.contradicts(cause.name, cause.says) for each in findings for cause in each.causes[:1]),
            guilty=tuple(finding.path for finding in findings),
            causes=tuple(dict.fromkeys(each.causes[0].name if each.causes else "" for each in findings)),
            says=tuple(dict.fromkeys(each.causes[0].says if each.causes else "" for each in findings)),
            failed=tuple(row.key for row in report.failures)[:6],
            reprod_log=bool(arrays[0]) and mean_check(*arrays),
            allclose=bool(arrays[0]) and allclose_check(*arrays),
            gated=stops(report),
        )


def _localised(fault: Fault, findings: Sequence[Finding]) -> bool:
    """Whether all that is blamed is expected, and nothing that is expected is missing."""
    return {finding.path for finding in findings} == set(fault.expected)


def _named(fault: Fault, findings: Sequence[Finding]) -> bool:
    return bool(findings) and all(
        each.causes and fault.names(each.causes[0].name, each.causes[0].says) for each in findings
    )


def _right(task: Task, step: str) -> CorrectRun:
    """Whether the right candidate is accused in a step."""
    paths = task.recorded("reference", step), task.recorded("candidate", step)
    with open_recording(paths[0]) as reference, open_recording(paths[1]) as candidate:
        report = judge({"float64": reference}, {"float64": candidate})
    accused = tuple(f"{row.key} ({row.dtype}): {row.reason}" for row in report.failures)
    model = RECIPES[task.recipe].model
    return CorrectRun(f"training of {model}, {task.recipe}: {step}", model, 0, 1, 1, accused, 0.0)


def _official(recording: Recording) -> dict[str, Array]:
    """What the official files of a step hold; nothing of steps that record weights only."""
    entries: Mapping[str, Any] = recording.manifest.entries
    return {key: np.asarray(recording[key]) for key, entry in entries.items() if entry.kind not in LEFT_OUT}


def main(arguments: list[str]) -> int:
    """Carry out the task in the second file as the side that the first argument names; returns the exit code."""
    sides = {"reference": reference_side, "candidate": candidate_side, "judge": judging_side}
    if arguments[0] not in sides:
        raise AlignmentError(f"no side is called {arguments[0]!r}; known: {', '.join(sides)}")
    return serve(lambda advance: sides[arguments[0]](Task.read(Path(arguments[1])), advance))
