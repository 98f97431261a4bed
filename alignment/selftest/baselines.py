"""Checks that a fault's result is compared with: reprod_log's mean, NumPy's `allclose`, and the gate."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from alignment.arrays import Array
from alignment.gating.check import gate
from alignment.gating.config import GateConfig, Requirement
from alignment.gating.outputs import Outcome, to_annotations, to_junit
from alignment.recordings.reprod_check import check_key
from alignment.results.report import Report


def mean_check(reference: Mapping[str, Array], candidate: Mapping[str, Array]) -> bool:
    """Return whether reprod_log's default check objects, a mean absolute difference of 1e-6 that accepts much."""
    return not all(check_key(key, reference, candidate).passed for key in {**reference, **candidate})


def allclose_check(reference: Mapping[str, Array], candidate: Mapping[str, Array]) -> bool:
    """Return whether `np.allclose` with its default tolerances objects to any array that both sides have."""
    try:
        return not all(np.allclose(array, candidate[key]) for key, array in reference.items() if key in candidate)
    except ValueError:
        return True


def stops(report: Report) -> bool:
    """Return whether a gate without thresholds fails on a report, and both its outputs name what diverges.

    JUnit must name every quantity that diverges; the annotations, of which there are ten, at least one of them.
    """
    if not report.failures:
        return False
    places = dict.fromkeys((row.step, row.dtype) for row in report.rows)
    config = GateConfig(tuple(Requirement(step, dtype) for step, dtype in places))
    outcome = Outcome("report.json", report, gate(report, config))
    junit, annotations = to_junit([outcome]), "\n".join(to_annotations([outcome]))
    keys = {row.key for row in report.failures}
    named = all(f'name="{key}"' in junit for key in keys) and any(key in annotations for key in keys)
    return not outcome.result.passed and named
