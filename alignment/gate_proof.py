"""Whether a gate stops a faulty port and says where: asked of the report on every fault of the self-test."""

from __future__ import annotations

from alignment.gate_check import gate
from alignment.gate_config import GateConfig, Requirement
from alignment.report.gate_outputs import Outcome, to_annotations, to_junit
from alignment.report.model import Report


def stops(report: Report) -> bool:
    """Whether a gate that only wants what a report holds fails on it, and both its outputs name what diverges.

    JUnit has to name every quantity that diverges, and the annotations, of which there are ten, one of them at least.
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
