"""Whether the toolkit itself can be trusted: faults are put into correct candidates, and correct ones are run often."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

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
from alignment.steps import STEPS, hindrances
from porting.architectures import regnet
from porting.names import unknown

_SMALL = 32
_CLASSES = 10
MODELS = ("pit_micro_distilled", "deit_tiny_distilled", "regnety_002")
"""The models that faults are put into."""
CORRECT = (
    ("pit_micro", 32),
    ("pit_micro_distilled", 48),
    ("pit_ti", 32),
    ("pit_ti_distilled", 64),
    ("deit_tiny", 32),
    ("deit_tiny_distilled", 48),
    ("regnety_002", 64),
)
"""The correct pairs that are run often, with their image sizes."""
_QUICK_SEEDS, _SEEDS = 1, 25
_BISECTED = 5
"""The seeds that this divides have their correct pairs bisected as well."""


def pair_of(name: str, image_size: int = _SMALL) -> Pair:
    """A small pair of the self-test."""
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
class Plan:
    """What a self-test is to do.

    Attributes:
        faults: The faults to inject.
        seeds: How many correct runs of each model.
        settings: Interpreters; all else is fixed.
    """

    faults: tuple[Fault, ...] = FAULTS
    seeds: int = _SEEDS
    settings: Settings = field(default_factory=Settings)

    @classmethod
    def quick(cls, settings: Settings) -> Plan:
        """What fits into some minutes: the faults that are marked, and one run of each of the smallest models."""
        return cls(tuple(fault for fault in FAULTS if fault.quick), _QUICK_SEEDS, settings)

    @classmethod
    def held_out(cls, settings: Settings) -> Plan:
        """The held-out faults in the place of the catalogue's; correct runs are the catalogue's business."""
        return cls(HELD_OUT, 0, settings)

    def of_steps(self, steps: Sequence[str]) -> Plan:
        """The same with the faults of some steps only, so that a long run can be split.

        Raises:
            UnknownNameError: No fault is of a step.
        """
        known = tuple(dict.fromkeys(fault.step for fault in self.faults))
        for step in steps:
            if step not in known:
                raise unknown("step", step, known)
        return replace(self, faults=tuple(fault for fault in self.faults if fault.step in steps))


def selftest(
    out: str | os.PathLike[str], plan: Plan | None = None, *, progress: Progress | None = None, command: str = ""
) -> Selftest:
    """Run the self-test. What a run before left in `out` is taken as done, where code, packages and fault are the same.

    Args:
        out: Folder for the results, one file a fault or correct pair.
        plan: What to do; everything by default.
        progress: Called as the sides report.
        command: The command line, for the result.

    Raises:
        AlignmentError: A side could not run.
        FileError: What lies in the place of a result is none.
    """
    plan, folder = plan or Plan(), Path(out).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    keys = Keys.of(plan.settings)
    for model in MODELS:
        _inject(folder, plan, keys, model, progress)
    training.run(folder, plan.faults, plan.settings, progress, keys)
    _run_correct(folder, plan, keys, progress)
    faults = [read_result(FaultResult, fault_file(folder, fault), keys.of_fault(fault)) for fault in plan.faults]
    names = sorted({*(name for name, *_ in _correct_pairs(plan)), *training.right_runs(plan.faults)})
    correct = [read_result(CorrectRun, correct_file(folder, name), keys.of_correct(name)) for name in names]
    return Selftest(tuple(faults), tuple(correct), command)


def _inject(folder: Path, plan: Plan, keys: Keys, model: str, progress: Progress | None) -> None:
    own = [fault for fault in plan.faults if fault.model == model and fault.place != "training"]
    faults = [fault for fault in own if not is_done(fault_file(folder, fault), keys.of_fault(fault))]
    if not faults:
        return
    work = folder / "work" / model
    settings = _settings(plan, pair_of(model), 0, 1)
    paths = _prepare(pair_of(model), work, settings)
    run_all([_task(work, "reference", settings, [paths["reference"]], {}, taps=True)], progress)
    right = _task(work, "correct", settings, [paths["candidate"]], {}, results=folder / "unfaulted", keep=True)
    run_all([right], progress)
    halves = [faults[0::2], faults[1::2]] if len(faults) > 8 else [faults]
    launches = [
        _task(
            *(work, f"faults-{number}", settings, [paths["candidate"]]),
            {fault.name: keys.of_fault(fault) for fault in half},
            results=folder / "faults",
        )
        for number, half in enumerate(halves)
    ]
    run_all(launches, progress)


def _correct_pairs(plan: Plan) -> Iterator[tuple[str, str, int, int]]:
    """The correct pairs that a plan has run: name of the result, model, image size and seed."""
    for model, size in CORRECT if plan.seeds > _QUICK_SEEDS else CORRECT[:2]:
        for seed in range(plan.seeds):
            yield f"{model}-{size}-seed{seed}", model, size, seed


def _run_correct(folder: Path, plan: Plan, keys: Keys, progress: Progress | None) -> None:
    """Run the correct pairs: those of even seeds with one thread, the others with two."""
    todo = [
        each for each in _correct_pairs(plan) if not is_done(correct_file(folder, each[0]), keys.of_correct(each[0]))
    ]
    for threads in (1, 2):
        work = folder / "work" / f"correct-{threads}"
        own = [each for each in todo if each[-1] % 2 == threads - 1]
        named = {name: keys.of_correct(name) for name, *_ in own}
        plain: dict[str, list[str]] = {"reference": [], "candidate": []}
        tapped: dict[str, list[str]] = {"reference": [], "candidate": []}
        settings = replace(plan.settings, threads=threads)
        for name, model, size, seed in own:
            pair = pair_of(model, size)
            settings = _settings(plan, pair, seed, threads)
            for role, path in _prepare(pair, work / name, settings).items():
                (tapped if seed % _BISECTED == 0 else plain)[role].append(path)
        for lists, taps in ((tapped, True), (plain, False)):
            if lists["reference"]:
                run_all([_task(work, "reference", settings, lists["reference"], {}, taps=taps)], progress)
                candidate = _task(work, "correct", settings, lists["candidate"], named, results=folder / "correct")
                run_all([candidate], progress)


def _settings(plan: Plan, pair: Pair, seed: int, threads: int) -> Settings:
    hindered = hindrances(STEPS, plan.settings.steps, pair)
    steps = tuple(step for step in plan.settings.steps if step not in hindered)
    batch = (4, 2, 3)[seed % 3]
    return replace(
        plan.settings, steps=steps, batch_size=batch, seed=seed, threads=threads, dtypes=("float32", "float64")
    )


def _prepare(pair: Pair, folder: Path, settings: Settings) -> dict[str, str]:
    """Write inputs, weights and the requests of both sides; returns the paths of the requests."""
    for name in (RECORDINGS, "weights", "workers"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    prepared = prepare(pair, folder, settings)
    return {role: str(prepared.write_request(role)) for role in prepared.weights}


def _task(
    work: Path,
    name: str,
    settings: Settings,
    requests: Sequence[str],
    keys: Mapping[str, str],
    *,
    results: Path | None = None,
    **more: Any,
) -> Launch:
    """A worker's task, `keys` those of its results by their names."""
    work.mkdir(parents=True, exist_ok=True)
    path = work / f"task-{name}.json"
    kind = name.partition("-")[0]
    given = {"kind": kind, "requests": list(requests), "results": str(results or work), "keys": dict(keys)}
    task = {**given, "taps": False, **more}
    path.write_text(json.dumps(task), encoding="utf-8")
    framework = "torch" if kind == "reference" else "paddle"
    return Launch(
        name=f"{framework} {name}" if kind == "faults" else framework,
        python=settings.python(framework),
        module="alignment.selftest.worker",
        arguments=(str(path),),
        log=path.with_suffix(".log"),
        environment=settings.environment(2),
    )
