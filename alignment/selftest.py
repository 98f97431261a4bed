"""Whether the toolkit itself can be trusted: faults are put into correct candidates, and correct ones are run often."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from alignment import pairs
from alignment.faults import FAULTS, HELD_OUT, Fault
from alignment.fields import decode
from alignment.pair import Origin, Pair, Side
from alignment.processes import Launch, Progress, run_all
from alignment.results import CorrectRun, FaultResult, Selftest, slug
from alignment.running import RECORDINGS, batch_of, launch_of, weights_of
from alignment.settings import Settings
from alignment.steps import hindrances
from alignment.training import selftest as training
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
        return pairs.build(name, image_size=image_size, num_classes=_CLASSES)
    options = {"name": name, "num_classes": _CLASSES}
    config = regnet.RegnetConfig((24, 56, 152, 368), (1, 1, 4, 7), 8, image_size=(64, 64), num_classes=_CLASSES)
    return Pair(
        name=name,
        reference=Side("torch", "reference_torch.regnet:create", "canonical", options),
        candidate=Side("paddle", "paddle_impl.regnet:create", "paddlevit", options),
        architecture=regnet.architecture(name, config),
        input_shape=(3, 64, 64),
        smooth=False,
        origin=Origin("alignment.selftest:pair_of", {"name": name}),
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
    """Run the self-test. What a run before left in `out` is taken as done.

    Args:
        out: Folder for the results, one file a fault or correct pair.
        plan: What to do; everything by default.
        progress: Called as the sides report.
        command: The command line, for the result.

    Raises:
        AlignmentError: A side could not run.
    """
    plan, folder = plan or Plan(), Path(out).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    for model in MODELS:
        _inject(folder, plan, model, progress)
    training.run(folder, plan.faults, plan.settings, progress)
    _run_correct(folder, plan, progress)
    faults = [_read(FaultResult, _fault_file(folder, fault)) for fault in plan.faults]
    correct = [_read(CorrectRun, path) for path in sorted((folder / "correct").glob("*.json"))]
    return Selftest(tuple(faults), tuple(correct), command)


def _inject(folder: Path, plan: Plan, model: str, progress: Progress | None) -> None:
    own = [fault for fault in plan.faults if fault.model == model and fault.place != "training"]
    faults = [fault for fault in own if not _fault_file(folder, fault).exists()]
    if not faults:
        return
    work = folder / "work" / model
    settings = _settings(plan, pair_of(model), 0, 1)
    paths = _prepare(pair_of(model), work, settings)
    run_all([_task(work, "reference", settings, [paths["reference"]], taps=True)], progress)
    right = _task(work, "correct", settings, [paths["candidate"]], results=folder / "unfaulted", keep=True)
    run_all([right], progress)
    names = [fault.name for fault in faults]
    halves = [names[0::2], names[1::2]] if len(names) > 8 else [names]
    launches = [
        _task(work, f"faults-{number}", settings, [paths["candidate"]], faults=half, results=folder / "faults")
        for number, half in enumerate(halves)
    ]
    run_all(launches, progress)


def _run_correct(folder: Path, plan: Plan, progress: Progress | None) -> None:
    models = CORRECT if plan.seeds > _QUICK_SEEDS else CORRECT[:2]
    for threads in (1, 2):
        work = folder / "work" / f"correct-{threads}"
        todo: dict[str, list[str]] = {"reference": [], "candidate": []}
        tapped: dict[str, list[str]] = {"reference": [], "candidate": []}
        settings = replace(plan.settings, threads=threads)
        for model, size in models:
            for seed in range(threads - 1, plan.seeds, 2):
                name = f"{model}-{size}-seed{seed}"
                if (folder / "correct" / f"{name}.json").exists():
                    continue
                pair = pair_of(model, size)
                settings = _settings(plan, pair, seed, threads)
                paths = _prepare(pair, work / name, settings)
                for role, path in paths.items():
                    (tapped if seed % _BISECTED == 0 else todo)[role].append(path)
        for lists, taps in ((tapped, True), (todo, False)):
            if lists["reference"]:
                run_all([_task(work, "reference", settings, lists["reference"], taps=taps)], progress)
                run_all([_task(work, "correct", settings, lists["candidate"], results=folder / "correct")], progress)


def _settings(plan: Plan, pair: Pair, seed: int, threads: int) -> Settings:
    steps = tuple(step for step in plan.settings.steps if step not in hindrances((step,), pair))
    batch = (4, 2, 3)[seed % 3]
    return replace(
        plan.settings, steps=steps, batch_size=batch, seed=seed, threads=threads, dtypes=("float32", "float64")
    )


def _prepare(pair: Pair, folder: Path, settings: Settings) -> dict[str, str]:
    """Write inputs, weights and the requests of both sides; returns the paths of the requests."""
    for name in (RECORDINGS, "weights", "workers"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    batch = batch_of(pair, settings)
    batch.write(folder / "inputs.safetensors")
    weights = weights_of(pair, ("reference", "candidate"), folder / "weights", settings)
    launches = {
        "reference": launch_of(pair, "reference", folder, settings, batch, weights["reference"], 2, ""),
        "candidate": launch_of(pair, "candidate", folder, settings, batch, weights["candidate"], 2, ""),
    }
    return {role: launch.arguments[0] for role, launch in launches.items()}


def _task(
    work: Path, name: str, settings: Settings, requests: Sequence[str], *, results: Path | None = None, **more: Any
) -> Launch:
    work.mkdir(parents=True, exist_ok=True)
    path = work / f"task-{name}.json"
    kind = name.partition("-")[0]
    task = {"kind": kind, "requests": list(requests), "results": str(results or work), "taps": False, **more}
    path.write_text(json.dumps(task), encoding="utf-8")
    framework = "torch" if kind == "reference" else "paddle"
    return Launch(
        name=f"{framework} {name}" if kind == "faults" else framework,
        python=settings.python(framework),
        module="alignment.selftest_worker",
        arguments=(str(path),),
        log=path.with_suffix(".log"),
        environment=settings.environment(2),
    )


def _fault_file(folder: Path, fault: Fault) -> Path:
    return folder / "faults" / f"{slug(fault.name)}.json"


def _read(kind: Any, path: Path) -> Any:
    return decode(kind, json.loads(path.read_text(encoding="utf-8")))
