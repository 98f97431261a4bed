"""Findings of the check points of training: where a run begins to differ, and because of which known mistake.

A difference that follows from another one is no finding: of a run, only the first update that differs is one, and of
the optimizer's steps only the first. Known mistakes are tried until one gives what the candidate has, down to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np

from alignment.arrays import Array
from alignment.hypotheses.base import DO_NOT_APPLY, Prediction, cause_of, distance, predictions
from alignment.hypotheses.training import TRAINING_HYPOTHESES, RecipeCase, explain_sample
from alignment.recordings.recording import Recording
from alignment.results.findings import Cause, Evidence, Finding
from alignment.results.report import Report
from alignment.steps.training import TRAINING_STEPS
from alignment.training.first_difference import FirstDifference, first_differences
from alignment.training.reruns import TrainingSide

_LIMITS = {"float32": 1e-6}
_LIMIT = 1e-9
"""Largest relative L2 between a prediction and what it explains, in float32 and in other precisions."""
_AS_NEAR = 1.1
"""How far off a prediction of a quantity that agrees may be, in distances of the candidate from the reference there."""


def explain(report: Report, reference: Recording, candidate: Recording, side: TrainingSide) -> tuple[Finding, ...]:
    """The findings of a report on check points of training, with their likely causes.

    Args:
        report: Report on both recordings.
        reference: The reference's recording.
        candidate: The candidate's recording, in the same precision.
        side: The reference, which hypotheses may run again.
    """
    rows = [row for row in report.failures if row.dtype == reference.manifest.dtype and row.step in TRAINING_STEPS]
    diverging = frozenset(row.key for row in rows)
    return tuple(
        _explained(difference, reference, candidate, side, diverging) for difference in first_differences(rows)
    )


def _explained(
    difference: FirstDifference,
    reference: Recording,
    candidate: Recording,
    side: TrainingSide,
    diverging: frozenset[str],
) -> Finding:
    evidence = tuple(
        Evidence(row.key, None if row.rel_l2 is None or not np.isfinite(row.rel_l2) else row.rel_l2, row.reason)
        for row in difference.rows
    )
    finding = Finding("quantity", difference.path, difference.path, "train", "forward", evidence)
    recordings = reference, candidate
    if difference.step == "init":
        recorded = all(key in recording for key in difference.keys for recording in recordings)
        return _of_sample(finding, reference, candidate, side) if recorded else finding
    expected, computed = (
        {key: recording[key] for key, entry in recording.manifest.entries.items() if entry.step == difference.step}
        for recording in recordings
    )
    case = RecipeCase(
        finding=finding,
        keys=tuple(key for key in difference.keys if key in expected and key in computed),
        kin=tuple(key for key in difference.kin(expected) if key in computed),
        expected=expected,
        found=computed,
        config=side.config_of(difference.step),
        rerun=lambda change: side.rerun(difference.step, replace(change, updates=change.updates or difference.updates)),
        weights=side.canonical(),
        buffers=frozenset(side.pair.architecture.buffers),
        gradients=side.gradients,
        diverging=diverging,
    )
    return _tried(case)


def _tried(case: RecipeCase) -> Finding:
    """The finding with the first known mistake that explains it."""
    tried = 0
    for prediction in predictions(TRAINING_HYPOTHESES[case.finding.path.partition("/")[0]], case):
        tried += 1
        with suppress(*DO_NOT_APPLY):
            cause = _cause(case, prediction)
            if cause is not None:
                return replace(case.finding, causes=(cause,), tried=tried)
    return replace(case.finding, tried=tried)


def _cause(case: RecipeCase, prediction: Prediction) -> Cause | None:
    own = [case.found[key] for key in case.keys]
    computed = own if prediction.found is None else prediction.found
    if prediction.before is None:
        before = _apart([case.expected[key] for key in case.keys], own)
    else:
        before = _apart(prediction.before, computed)
    limit = max(_LIMITS.get(array.dtype.name, _LIMIT) for array in computed)
    after = _apart(prediction.arrays, computed)
    for at, key in enumerate(prediction.keys):  # what agrees is off by rounding, such as that of 1 - 0.999 in float32
        if key not in case.diverging and after[at] <= _AS_NEAR * before[at]:
            after[at] = 0.0
    return cause_of(prediction, max(before), max(after), limit=limit, smallest=limit / 100)


def _apart(some: Sequence[Array], others: Sequence[Array]) -> list[float]:
    """The relative L2 of each pair of arrays, all of which have to fit."""
    return [distance([np.asarray(a)], [np.asarray(b)]) for a, b in zip(some, others, strict=True)]


def _of_sample(finding: Finding, reference: Recording, candidate: Recording, side: TrainingSide) -> Finding:
    if finding.path == "init/repeated":
        expected, repeated = int(reference[finding.path]), int(candidate[finding.path])
        says = f"{repeated} tensors are the same under two seeds: the seed is not used"
        excess = float(repeated - expected)
        cause = Cause("seed ignored", says, "where the framework's generator is seeded", excess, 0.0)
        return replace(finding, causes=(cause,) if repeated > expected else (), tried=1)
    if finding.path == "init/alike":
        return finding
    key, name = f"init/sample/{finding.path.removeprefix('init/')}", finding.path.removeprefix("init/")
    shape = side.pair.architecture.tensors[name].shape
    return replace(finding, causes=explain_sample(name, shape, reference[key], candidate[key]), tried=1)
