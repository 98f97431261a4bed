"""Numerical alignment: two frameworks run the same model, and what they compute is recorded, compared and judged.

    pair = alignment.build_pair("pit_ti")
    report = alignment.run(pair, "logs/pit_ti", alignment.Settings(weights="pit_ti.pth"))
    alignment.write_html([report], "pit_ti.html")

What is listed in `__all__` is imported when it is first used, so that `import alignment` costs nothing.
"""

from typing import TYPE_CHECKING

from porting.exporting import exporting, renamed

if TYPE_CHECKING:
    from alignment.errors import AlignmentError, DivergenceError
    from alignment.gating.outputs import Outcome
    from alignment.gating.reports import hold as gate
    from alignment.judging.comparing import compare
    from alignment.judging.tolerance import Tolerances
    from alignment.pair import Floats, Mask, Pair, Side, Tokens, Training, load_pair
    from alignment.pair.published import build as build_pair
    from alignment.power.run import Budget
    from alignment.power.run import measure as measure_power
    from alignment.processes.settings import Settings
    from alignment.report.html import write_html
    from alignment.results.power import Power
    from alignment.results.report import Report, Row, read_report
    from alignment.results.verdicts import Verdict
    from alignment.running.differences import CheckpointDiff, diff
    from alignment.running.in_memory import align
    from alignment.running.run import align as run
    from alignment.running.run import record
    from alignment.running.verification import Verification, verify
    from alignment.testing import assert_aligned

__all__ = [
    "AlignmentError",
    "Budget",
    "CheckpointDiff",
    "DivergenceError",
    "Floats",
    "Mask",
    "Outcome",
    "Pair",
    "Power",
    "Report",
    "Row",
    "Settings",
    "Side",
    "Tokens",
    "Tolerances",
    "Training",
    "Verdict",
    "Verification",
    "align",
    "assert_aligned",
    "build_pair",
    "compare",
    "diff",
    "gate",
    "load_pair",
    "measure_power",
    "read_report",
    "record",
    "run",
    "verify",
    "write_html",
]

if not TYPE_CHECKING:  # a type-checker would take any name for one that such a module has
    __getattr__, __dir__ = exporting(
        __name__,
        {
            "AlignmentError": "alignment.errors",
            "Budget": "alignment.power.run",
            "CheckpointDiff": "alignment.running.differences",
            "DivergenceError": "alignment.errors",
            "Floats": "alignment.pair",
            "Mask": "alignment.pair",
            "Outcome": "alignment.gating.outputs",
            "Pair": "alignment.pair",
            "Power": "alignment.results.power",
            "Report": "alignment.results.report",
            "Row": "alignment.results.report",
            "Settings": "alignment.processes.settings",
            "Side": "alignment.pair",
            "Tokens": "alignment.pair",
            "Tolerances": "alignment.judging.tolerance",
            "Training": "alignment.pair",
            "Verdict": "alignment.results.verdicts",
            "Verification": "alignment.running.verification",
            "align": "alignment.running.in_memory",
            "assert_aligned": "alignment.testing",
            "build_pair": "alignment.pair.published:build",
            "compare": "alignment.judging.comparing",
            "diff": "alignment.running.differences",
            "gate": "alignment.gating.reports:hold",
            "load_pair": "alignment.pair",
            "measure_power": "alignment.power.run:measure",
            "read_report": "alignment.results.report",
            "record": "alignment.running.run",
            "run": "alignment.running.run:align",
            "verify": "alignment.running.verification",
            "write_html": "alignment.report.html",
        },
    )

renamed(
    {
        "alignment.backends.mindcv": "mindspore_impl.mindcv",
        "alignment.backends.paddle_training": "alignment.backends.trainers.paddle",
        "alignment.backends.paddle_training_faults": "alignment.selftest.inject.paddle_training_data",
        "alignment.backends.torch_training": "alignment.backends.trainers.torch",
        "alignment.backends.trainer": "alignment.backends.trainers.base",
        "alignment.comparison": "alignment.judging.compare_paths",
        "alignment.faults": "alignment.selftest.faults",
        "alignment.faults.base": "alignment.selftest.faults.base",
        "alignment.gate_check": "alignment.gating.check",
        "alignment.inputs": "alignment.pair.inputs",
        "alignment.judge": "alignment.judging.judge",
        "alignment.pairs": "alignment.pair.published",
        "alignment.recording": "alignment.recordings.recording",
        "alignment.report.model": "alignment.results.report",
        "alignment.settings": "alignment.processes.settings",
        "alignment.targets": "alignment.pair.targets",
        "alignment.tolerance": "alignment.judging.tolerance",
    }
)
