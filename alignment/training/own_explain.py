"""Findings of the check points of training of a pair of one's own; no framework is needed for them.

See `alignment.training.explain`: a difference that follows from another one is no finding.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from alignment.arrays import Array
from alignment.hypotheses.base import DO_NOT_APPLY, Prediction, cause_of, distance
from alignment.hypotheses.training.initial import explain_sample
from alignment.hypotheses.training.plain_optimizer import UpdateCase, optimizer
from alignment.hypotheses.training.plain_settings import decays, reductions, relative_rates, schedules
from alignment.judging.judge import judge
from alignment.pair import ROLES, Origin, Pair, Role, locate
from alignment.recordings.recording import Recording, open_recording
from alignment.results.findings import Evidence, Finding
from alignment.results.report import Report
from alignment.running.request import Request
from alignment.steps.base import PlainTrial
from alignment.steps.plain import RATE, STEPS, TURNS, gradients
from alignment.steps.training import TRAINING_STEPS, dtype_of_once
from alignment.training.first_difference import FirstDifference, first_differences
from alignment.training.own_worker import SETTINGS_FILE, SideSettings
from alignment.training.worker import TrainingRequest
from porting.checkpoint import open_checkpoint

_LIMITS = {"float32": 1e-6}
_LIMIT = 1e-9
"""Largest relative L2 between a prediction and what it explains, in float32 and in float64."""
Sides: TypeAlias = tuple[Recording, Recording]


def explain_own(requests: Mapping[Role, Path], training: Path) -> tuple[Finding, ...]:
    """The findings of a run of a pair of one's own, with their likely causes.

    Args:
        requests: The request of each role.
        training: What both sides were asked for beside it.
    """
    asked = {role: Request.read(requests[role]) for role in ROLES}
    request = TrainingRequest.read(training)
    pair = locate(Origin(asked["reference"].target, asked["reference"].arguments))
    dtype = dtype_of_once(asked["reference"].dtypes, pair)
    folders = [Path(asked[role].folder) / f"{asked[role].label}-{dtype}" for role in ROLES]
    files = [Path(asked[role].folder) / f"{asked[role].label}-{SETTINGS_FILE}" for role in ROLES]
    settings = SideSettings.read(files[0]), SideSettings.read(files[1])
    with ExitStack() as stack:
        reference, candidate = (stack.enter_context(open_recording(folder)) for folder in folders)
        sides, references = (reference, candidate), {dtype: reference}
        exact = Path(asked["reference"].folder) / f"{asked['reference'].label}-float64"
        if dtype != "float64" and exact.exists():  # what the other's float32 is held against
            references["float64"] = stack.enter_context(open_recording(exact))
        report = judge(references, {dtype: candidate})
        finest = references.get("float64", reference), candidate  # formulas are tried on the reference's float64
        case = _case(asked["reference"], pair, request, settings, finest)
        return _explained(report, case, sides)


def _case(
    request: Request,
    pair: Pair,
    training: TrainingRequest,
    settings: tuple[SideSettings, SideSettings],
    sides: Sides,
) -> UpdateCase:
    trainer: Any = None
    with open_checkpoint(request.weights) as checkpoint:
        weights = {name: tensor.load() for name, tensor in checkpoint.tensors.items()}
    trial = PlainTrial(trainer, pair, "reference", weights, (), request.seed, "float64", training.updates)
    steps = range(1, (training.updates or STEPS) + 1) if "optimizer" in training.steps else ()
    computed = [{key: side[key] for key in side if key.startswith("optimizer/")} for side in sides]
    return UpdateCase(
        kinds=(settings[0].kind, settings[1].kind),
        expected=settings[0].values,
        found=settings[1].values,
        weights=trial.canonical(weights, trial.parameters) if steps else {},
        gradients=[gradients(trial, step) for step in steps],
        rates=[RATE * TURNS[(step - 1) % len(TURNS)] for step in steps],
        computed=(computed[0], computed[1]),
        batch_size=training.batch_size,
        classes=pair.architecture.num_classes,
        shapes={name: spec.shape for name, spec in pair.architecture.tensors.items()},
    )


def _explained(report: Report, case: UpdateCase, sides: Sides) -> tuple[Finding, ...]:
    rows = [row for row in report.failures if row.step in TRAINING_STEPS]
    steps = {row.step for row in rows}
    return tuple(
        _finding(difference, case, sides) for difference in first_differences(rows) if not _follows(difference, steps)
    )


def _follows(difference: FirstDifference, steps: set[str]) -> bool:
    """True if a difference of a run follows from one of another check point: rates, and all after the first update."""
    if difference.step != "train":
        return False
    if "/lr_" in difference.path:
        return "schedule" in steps
    return not difference.path.endswith("_0") and bool(steps & {"schedule", "regularisation", "optimizer"})


def _finding(difference: FirstDifference, case: UpdateCase, sides: Sides) -> Finding:
    evidence = tuple(
        Evidence(row.key, None if row.rel_l2 is None or not np.isfinite(row.rel_l2) else row.rel_l2, row.reason)
        for row in difference.rows
    )
    finding = Finding("quantity", difference.path, difference.path, "train", "forward", evidence)
    keys = tuple(key for key in difference.keys if all(key in side for side in sides))
    if not keys:
        return finding
    if difference.step == "init":
        return _of_sample(finding, case, sides)
    expected, found = ({key: side[key] for key in keys} for side in sides)
    tried = 0
    with suppress(*DO_NOT_APPLY):
        for prediction in _predictions(difference, keys, case, sides):
            tried += 1
            before = prediction.before or [expected[key] for key in keys]
            computed = prediction.found or [found[key] for key in keys]
            limit = max(_LIMITS.get(array.dtype.name, _LIMIT) for array in computed)
            cause = cause_of(
                prediction,
                _apart(before, computed),
                _apart(prediction.arrays, computed),
                limit=limit,
                smallest=limit / 100,
            )
            if cause is not None:
                return replace(finding, causes=(cause,), tried=tried)
    return replace(finding, tried=tried)


def _predictions(
    difference: FirstDifference, keys: tuple[str, ...], case: UpdateCase, sides: Sides
) -> Iterable[Prediction]:
    reference, candidate = sides
    if difference.step == "optimizer":
        names = tuple(dict.fromkeys(key.split("/", 3)[3] for key in keys))
        return optimizer(replace(case, differing=names))
    if difference.step == "regularisation":
        prefix = "regularisation/decay/"
        every = {key: reference[key] for key in reference if key.startswith(prefix)}
        own = tuple(key for key in keys if key.startswith(prefix))
        return decays(case, own, every) if own else ()
    if difference.step == "schedule":
        if keys == ("schedule/lr",):
            return schedules(reference[keys[0]], candidate[keys[0]])
        return relative_rates(case, keys, {key: candidate[key] for key in keys})
    if "/lr_" in difference.path:
        series = [f"train/lr_{number}" for number in range(sum(key.startswith("train/lr_") for key in reference))]
        rates = [np.array([float(side[key]) for key in series]) for side in sides]
        return schedules(rates[0], rates[1])
    return reductions(case, keys[0], reference[keys[0]])


def _of_sample(finding: Finding, case: UpdateCase, sides: Sides) -> Finding:
    if finding.path in ("init/repeated", "init/alike"):
        return finding
    name = finding.path.removeprefix("init/")
    key = f"init/sample/{name}"
    return replace(finding, causes=explain_sample(name, case.shapes[name], sides[0][key], sides[1][key]), tried=1)


def _apart(some: Iterable[Array], others: Iterable[Array]) -> float:
    """The largest relative L2 of all pairs of arrays, since each has to fit."""
    return max(distance([np.asarray(a)], [np.asarray(b)]) for a, b in zip(some, others, strict=True))
