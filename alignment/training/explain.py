"""Where a training run begins to differ, and why: findings of the check points of training.

What follows from something else is not blamed: of a run, the first update that differs is, and of an optimizer's steps
the first. On what is to blame known mistakes are tried, until one gives what the candidate has, down to rounding.
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
from alignment.training.first_difference import Blame, blames
from alignment.training.reruns import TrainingSide

_LIMITS = {"float32": 1e-6}
_LIMIT = 1e-9
"""How far apart, as relative L2, a prediction and what it explains may be."""


def explain(report: Report, reference: Recording, candidate: Recording, side: TrainingSide) -> tuple[Finding, ...]:
    """The findings of a report on check points of training, with their likely causes.

    Args:
        report: On both recordings.
        reference: The reference's recording.
        candidate: The candidate's, in the same precision.
        side: The reference, which hypotheses may run again.
    """
    rows = [row for row in report.failures if row.dtype == reference.manifest.dtype and row.step in TRAINING_STEPS]
    findings = [_explained(blame, reference, candidate, side) for blame in blames(rows)]
    return tuple(findings)


def _explained(blame: Blame, reference: Recording, candidate: Recording, side: TrainingSide) -> Finding:
    finding = _finding(blame)
    if blame.step == "init":
        there = all(key in side for key in blame.keys for side in (reference, candidate))
        return _of_sample(finding, reference, candidate, side) if there else finding
    sides = [
        {key: side[key] for key, entry in side.manifest.entries.items() if entry.step == blame.step}
        for side in (reference, candidate)
    ]
    case = RecipeCase(
        finding=finding,
        keys=tuple(key for key in blame.keys if all(key in side for side in sides)),
        kin=tuple(key for key in blame.kin(sides[0]) if key in sides[1]),
        expected=sides[0],
        found=sides[1],
        config=side.config_of(blame.step),
        rerun=lambda change: side.rerun(blame.step, replace(change, updates=change.updates or blame.updates)),
        weights=side.canonical(),
        buffers=frozenset(side.pair.architecture.buffers),
        gradients=side.gradients,
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
    given = [case.found[key] for key in case.keys]
    found = given if prediction.found is None else prediction.found
    if prediction.before is None:
        before = _apart([case.expected[key] for key in case.keys], given)
    else:
        before = _apart(prediction.before, found)
    after, limit = _apart(prediction.arrays, found), max(_limit(array) for array in found)
    return cause_of(prediction, before, after, limit=limit, smallest=limit / 100)


def _apart(some: Sequence[Array], others: Sequence[Array]) -> float:
    """The largest relative L2 of all pairs: each has to fit."""
    return max(distance([np.asarray(a)], [np.asarray(b)]) for a, b in zip(some, others, strict=True))


def _limit(array: Array) -> float:
    return _LIMITS.get(array.dtype.name, _LIMIT)


def _finding(blame: Blame) -> Finding:
    evidence = tuple(
        Evidence(row.key, None if row.rel_l2 is None or not np.isfinite(row.rel_l2) else row.rel_l2, row.reason)
        for row in blame.rows
    )
    return Finding("quantity", blame.path, blame.path, "train", "forward", evidence)


def _of_sample(finding: Finding, reference: Recording, candidate: Recording, side: TrainingSide) -> Finding:
    if finding.path == "init/repeated":
        right, found = int(reference[finding.path]), int(candidate[finding.path])
        says = f"{found} tensors are the same under two seeds: the seed is not used"
        cause = Cause("seed ignored", says, "where the framework's generator is seeded", float(found - right), 0.0)
        return replace(finding, causes=(cause,) if found > right else (), tried=1)
    if finding.path == "init/alike":
        return finding
    key, name = f"init/sample/{finding.path.removeprefix('init/')}", finding.path.removeprefix("init/")
    shape = side.pair.architecture.tensors[name].shape
    return replace(finding, causes=explain_sample(name, shape, reference[key], candidate[key]), tried=1)
