"""One framework's side of the training part of the self-test, in a process of its own.

The candidate's process records each fault's check point, the reference's judges and explains it: what it runs once more
for a hypothesis, it keeps for the next fault.
"""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from alignment.arrays import Array
from alignment.errors import AlignmentError
from alignment.frameworks import FRAMEWORKS
from alignment.judging.judge import judge
from alignment.pair import Pair, Role, published
from alignment.processes.serving import Advance, JsonRequest, serve
from alignment.recordings.recording import Manifest, Recorder, Recording, open_recording
from alignment.recordings.reprod_write import LEFT_OUT
from alignment.selftest.faults import KNOWN, Fault
from alignment.selftest.faults.training import RECIPES
from alignment.selftest.results import (
    CorrectRun,
    FaultResult,
    correct_file,
    fault_file,
    fault_result,
    objections,
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


@dataclass(frozen=True)
class Task(JsonRequest):
    """What a worker does for one recipe.

    Attributes:
        recipe: A key of `alignment.selftest.faults.training.RECIPES`.
        work: Folder of the configuration, the weights, the images and the recordings.
        results: Folder of the self-test.
        faults: Names of the faults.
        steps: Check points that the correct candidate runs.
        keys: Keys of the results, by the name of the fault or correct run.
    """

    recipe: str
    work: str
    results: str
    faults: list[str] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    keys: dict[str, str] = field(default_factory=dict)

    def recorded(self, side: str, step: str) -> Path:
        """Return the folder in which a step is recorded."""
        return Path(self.work, "recordings") / f"{slug(side)}-{step}"


def correct_name(recipe: str, step: str) -> str:
    """Return the name of the result of a recipe's correct candidate."""
    return f"training-{recipe}-{step}"


def pair_of(recipe: str) -> Pair:
    """Return the pair that a recipe trains."""
    return published.build(RECIPES[recipe].model, num_classes=RECIPES[recipe].classes)


def side_of(task: Task, role: Role, pair: Pair, step: str) -> TrainingSide:
    """Return one side's training code with the recipe."""
    path = Path(task.work, "weights") / f"{pair.label(role)}{FRAMEWORKS[pair.side(role).framework].suffix}"
    with open_checkpoint(path) as checkpoint:
        weights = {name: tensor.load() for name, tensor in checkpoint.tensors.items()}
    return TrainingSide(pair, role, load(Path(task.work, "config.yaml")), weights, path, UPDATES.get(step))


def record(task: Task, role: Role, pair: Pair, step: str, target: Path) -> None:
    """Carry out one step of one side, and record it."""
    recorder = Recorder(spool=Path(task.work))
    for quantity in TRAINING_STEPS[step].run(side_of(task, role, pair, step).trial(step)):
        recorder.add(quantity.key, quantity.array, quantity.entry)
    framework = pair.side(role).framework
    recorder.write(target, Manifest(framework, "float64", role, pair.name, steps=(step,))).close()


def reference_side(task: Task, advance: Advance) -> None:
    """Record the reference in every step of the task."""
    for number, step in enumerate(task.steps):
        record(task, "reference", pair_of(task.recipe), step, task.recorded("reference", step))
        advance(f"reference {step}", number + 1, len(task.steps))


def candidate_side(task: Task, advance: Advance) -> None:
    """Record the correct candidate, then each fault in its check point."""
    pair = pair_of(task.recipe)
    todo = [*((None, step) for step in task.steps), *((KNOWN[name], KNOWN[name].step) for name in task.faults)]
    for number, (fault, step) in enumerate(todo):
        target = task.recorded(fault.name if fault else "candidate", step)
        record(task, "candidate", pair if fault is None else faulty(pair, fault), step, target)
        advance(fault.name if fault else f"right {step}", number + 1, len(todo))


def faulty(pair: Pair, fault: Fault) -> Pair:
    """Return the pair whose candidate trains with a fault."""
    faults = importlib.import_module(_FAULTY.format(framework=pair.candidate.framework))
    return replace(pair, candidate=replace(pair.candidate, training=faults.target(fault.name)))


def judging_side(task: Task, advance: Advance) -> None:
    """Judge and explain what the candidate recorded."""
    sides = dict[str, TrainingSide]()
    for step in task.steps:
        write_json(correct_file(Path(task.results), correct_name(task.recipe, step)), encode(_correct(task, step)))
    for number, name in enumerate(task.faults, 1):
        fault = KNOWN[name]
        if fault.step not in sides:
            sides[fault.step] = side_of(task, "reference", pair_of(task.recipe), fault.step)
        result = replace(_result(task, fault, sides[fault.step]), key=task.keys.get(name, ""))
        write_json(fault_file(Path(task.results), fault), encode(result))
        shutil.rmtree(task.recorded(name, fault.step), ignore_errors=True)
        advance(name, number, len(task.faults))


def _result(task: Task, fault: Fault, side: TrainingSide) -> FaultResult:
    paths = task.recorded("reference", fault.step), task.recorded(fault.name, fault.step)
    with open_recording(paths[0]) as reference, open_recording(paths[1]) as candidate:
        report = judge({"float64": reference}, {"float64": candidate})
        findings = explain(report, reference, candidate, side)
        return fault_result(fault, report, findings, _official(reference), _official(candidate))


def _correct(task: Task, step: str) -> CorrectRun:
    paths = task.recorded("reference", step), task.recorded("candidate", step)
    with open_recording(paths[0]) as reference, open_recording(paths[1]) as candidate:
        report = judge({"float64": reference}, {"float64": candidate})
    name, model = correct_name(task.recipe, step), RECIPES[task.recipe].model
    title, key = f"training of {model}, {task.recipe}: {step}", task.keys.get(name, "")
    return CorrectRun(title, model, 0, 1, 1, tuple(objections(report)), 0.0, key=key)


def _official(recording: Recording) -> dict[str, Array]:
    """Return the arrays of a step's official files; none for steps that record weights only."""
    entries: Mapping[str, Any] = recording.manifest.entries
    return {key: np.asarray(recording[key]) for key, entry in entries.items() if entry.kind not in LEFT_OUT}


def main(arguments: list[str]) -> int:
    """Carry out the task in the second file as the side that the first argument names; returns the exit code."""
    sides = {"reference": reference_side, "candidate": candidate_side, "judge": judging_side}
    if arguments[0] not in sides:
        raise AlignmentError(f"no side is called {arguments[0]!r}; known: {', '.join(sides)}")
    return serve(lambda advance: sides[arguments[0]](Task.read(Path(arguments[1])), advance))
