"""Run the self-test: put faults into correct candidates, and run correct candidates often."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path

from alignment.pair import Origin, Pair, Side, published
from alignment.processes.processes import Launch, Progress, run_all
from alignment.processes.settings import Settings
from alignment.running.prepare import RECORDINGS, prepare
from alignment.selftest import training
from alignment.selftest.faults import FAULTS, HELD_OUT, Fault
from alignment.selftest.results import (
    CorrectRun,
    FaultResult,
    Keys,
    Selftest,
    correct_file,
    fault_file,
    is_done,
    read_result,
)
from alignment.selftest.training import halves
from alignment.selftest.worker import Task
from alignment.steps import STEPS, hindrances
from porting.architectures import regnet
from porting.names import unknown

_SMALL = 32
_CLASSES = 10
MODELS = ("pit_micro_distilled", "pit_micro", "deit_tiny_distilled", "regnety_002")
"""Models that faults are put into."""
CORRECT = (
    ("pit_micro", 32),
    ("pit_micro_distilled", 48),
    ("pit_ti", 32),
    ("pit_ti_distilled", 64),
    ("deit_tiny", 32),
    ("deit_tiny_distilled", 48),
    ("regnety_002", 64),
)
"""Correct pairs that are run often, with their image sizes."""
_QUICK_SEEDS, _SEEDS = 1, 25
_BISECTED = 5
"""Correct pairs of seeds divisible by this are bisected as well."""


def pair_of(name: str, image_size: int = _SMALL) -> Pair:
    """Return a small pair of the self-test."""
    if name != "regnety_002":
        return published.build(name, image_size=image_size, num_classes=_CLASSES)
    options = {"name": name, "num_classes": _CLASSES}
    config = regnet.RegnetConfig((24, 56, 152, 368), (1, 1, 4, 7), 8, image_size=(64, 64), num_classes=_CLASSES)
    return Pair(
        name=name,
        reference=Side("torch", "reference_torch.regnet:create", "canonical", options),
        candidate=Side("paddle", "paddle_impl.regnet:create", "paddlevit", options),
        architecture=regnet.architecture(name, config),
        input_shape=(3, 64, 64),
        smooth=False,
        origin=Origin("alignment.selftest.run:pair_of", {"name": name}),
    )


@dataclass(frozen=True)
class SelftestPlan:
    """The work of a self-test.

    Attributes:
        faults: The faults to inject.
        seeds: Number of correct runs of each model.
        settings: The interpreters; everything else is fixed.
    """

    faults: tuple[Fault, ...] = FAULTS
    seeds: int = _SEEDS
    settings: Settings = field(default_factory=Settings)

    @classmethod
    def quick(cls, settings: Settings) -> SelftestPlan:
        """Return the plan of a few minutes: the faults that are marked, and one run of each of the smallest models."""
        return cls(tuple(fault for fault in FAULTS if fault.quick), _QUICK_SEEDS, settings)

    @classmethod
    def held_out(cls, settings: Settings) -> SelftestPlan:
        """Return the plan with the held-out faults in the place of the catalogue's, and without correct runs."""
        return cls(HELD_OUT, 0, settings)

    def of_steps(self, steps: Sequence[str]) -> SelftestPlan:
        """Return the plan with the faults of some steps only, so that a long run can be split.

        Raises:
            UnknownNameError: A step has no faults.
        """
        known = tuple(dict.fromkeys(fault.step for fault in self.faults))
        for step in steps:
            if step not in known:
                raise unknown("step", step, known)
        return replace(self, faults=tuple(fault for fault in self.faults if fault.step in steps))


def selftest(
    out: str | os.PathLike[str],
    plan: SelftestPlan | None = None,
    *,
    progress: Progress | None = None,
    command: str = "",
) -> Selftest:
    """Run the self-test; results in `out` are reused if their key matches the code, the versions and the fault.

    Args:
        out: Folder of the results, one file a fault or correct pair.
        plan: The work; everything by default.
        progress: Called as the sides report.
        command: The command line, for the result.

    Raises:
        AlignmentError: A side could not run.
        FileError: A file in the place of a result is none.
    """
    plan, folder = plan or SelftestPlan(), Path(out).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    keys = Keys.of(plan.settings)
    for model in MODELS:
        _inject(folder, plan, keys, model, progress)
    training.run(folder, plan.faults, plan.settings, progress, keys)
    _run_correct(folder, plan, keys, progress)
    faults = [read_result(FaultResult, fault_file(folder, fault), keys.of_fault(fault)) for fault in plan.faults]
    names = sorted({*(name for name, *_ in _correct_pairs(plan)), *training.correct_runs(plan.faults)})
    correct = [read_result(CorrectRun, correct_file(folder, name), keys.of_correct(name)) for name in names]
    return Selftest(tuple(faults), tuple(correct), command)


def _inject(folder: Path, plan: SelftestPlan, keys: Keys, model: str, progress: Progress | None) -> None:
    own = [fault for fault in plan.faults if fault.model == model and fault.place != "training"]
    faults = keys.pending(folder, own)
    if not faults:
        return
    work, settings = folder / "work" / model, _settings(plan, pair_of(model), 0, 1)
    paths = _prepare(pair_of(model), work, settings)
    _launch(work, Task("reference", [paths["reference"]], str(work), taps=True), settings, progress)
    correct = Task("correct", [paths["candidate"]], str(folder / "unfaulted"), keep=True)
    _launch(work, correct, settings, progress)
    tasks = [
        Task(
            "faults", [paths["candidate"]], str(folder / "faults"), {fault.name: keys.of_fault(fault) for fault in half}
        )
        for half in halves(faults)
    ]
    run_all([_task(work, task, settings, f"-{number}") for number, task in enumerate(tasks)], progress)


def _correct_pairs(plan: SelftestPlan) -> Iterator[tuple[str, str, int, int]]:
    """Yield name of the result, model, image size and seed of the correct pairs that a plan runs."""
    for model, size in CORRECT if plan.seeds > _QUICK_SEEDS else CORRECT[:2]:
        for seed in range(plan.seeds):
            yield f"{model}-{size}-seed{seed}", model, size, seed


def _run_correct(folder: Path, plan: SelftestPlan, keys: Keys, progress: Progress | None) -> None:
    """Run the correct pairs: those of even seeds with one thread, the others with two."""
    pairs = list(_correct_pairs(plan))
    todo = [pair for pair in pairs if not is_done(correct_file(folder, pair[0]), keys.of_correct(pair[0]))]
    for threads, taps in product((1, 2), (True, False)):
        work = folder / "work" / f"correct-{threads}"
        own = [pair for pair in todo if pair[-1] % 2 == threads - 1 and (pair[-1] % _BISECTED == 0) == taps]
        requests: dict[str, list[str]] = {"reference": [], "candidate": []}
        settings = plan.settings
        for name, model, size, seed in own:
            pair = pair_of(model, size)
            settings = _settings(plan, pair, seed, threads)
            for role, path in _prepare(pair, work / name, settings).items():
                requests[role].append(path)
        if own:
            named = {name: keys.of_correct(name) for name, *_ in own}
            _launch(work, Task("reference", requests["reference"], str(work), taps=taps), settings, progress)
            task = Task("correct", requests["candidate"], str(folder / "correct"), named)
            _launch(work, task, settings, progress)


def _settings(plan: SelftestPlan, pair: Pair, seed: int, threads: int) -> Settings:
    hindered = hindrances(STEPS, plan.settings.steps, pair)
    steps = tuple(step for step in plan.settings.steps if step not in hindered)
    batch = (4, 2, 3)[seed % 3]
    return replace(
        plan.settings, steps=steps, batch_size=batch, seed=seed, threads=threads, dtypes=("float32", "float64")
    )


def _prepare(pair: Pair, folder: Path, settings: Settings) -> dict[str, str]:
    """Write inputs, weights and the requests of both sides; return the paths of the requests by role."""
    for name in (RECORDINGS, "weights", "workers"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    prepared = prepare(pair, folder, settings)
    return {role: str(prepared.write_request(role)) for role in prepared.weights}


def _launch(work: Path, task: Task, settings: Settings, progress: Progress | None) -> None:
    run_all([_task(work, task, settings)], progress)


def _task(work: Path, task: Task, settings: Settings, number: str = "") -> Launch:
    work.mkdir(parents=True, exist_ok=True)
    path = work / f"task-{task.kind}{number}.json"
    task.write(path)
    framework = "torch" if task.kind == "reference" else "paddle"
    name = f"{framework} {task.kind}{number}" if task.kind == "faults" else framework
    return training.launch(name, framework, "alignment.selftest.worker", (str(path),), settings)
