"""Numerical alignment: two frameworks run the same model, and what they compute is recorded, compared and judged.

    pair = alignment.build_pair("pit_ti")
    report = alignment.run(pair, "logs/pit_ti", alignment.Settings(weights="pit_ti.pth"))
    alignment.write_html([report], "pit_ti.html")

What is listed in `__all__` is imported when it is first used, so that `import alignment` costs nothing.
"""

from typing import TYPE_CHECKING

from porting.exporting import exporting

if TYPE_CHECKING:
    from alignment.comparison import compare_paths as compare
    from alignment.differences import CheckpointDiff, diff
    from alignment.errors import AlignmentError
    from alignment.gating import hold as gate
    from alignment.pair import Pair, Side, load_pair
    from alignment.pairs import build as build_pair
    from alignment.report.gate_outputs import Outcome
    from alignment.report.html import write_html
    from alignment.report.model import Report, Row, read_report
    from alignment.running import align as run
    from alignment.running import record
    from alignment.settings import Settings
    from alignment.tolerance import Tolerances
    from alignment.verification import Verification, verify

__all__ = [
    "AlignmentError",
    "CheckpointDiff",
    "Outcome",
    "Pair",
    "Report",
    "Row",
    "Settings",
    "Side",
    "Tolerances",
    "Verification",
    "build_pair",
    "compare",
    "diff",
    "gate",
    "load_pair",
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
            "CheckpointDiff": "alignment.differences",
            "Outcome": "alignment.report.gate_outputs",
            "Pair": "alignment.pair",
            "Report": "alignment.report.model",
            "Row": "alignment.report.model",
            "Settings": "alignment.settings",
            "Side": "alignment.pair",
            "Tolerances": "alignment.tolerance",
            "Verification": "alignment.verification",
            "build_pair": "alignment.pairs:build",
            "compare": "alignment.comparison:compare_paths",
            "diff": "alignment.differences",
            "gate": "alignment.gating:hold",
            "load_pair": "alignment.pair",
            "read_report": "alignment.report.model",
            "record": "alignment.running",
            "run": "alignment.running:align",
            "verify": "alignment.verification",
            "write_html": "alignment.report.html",
        },
    )
