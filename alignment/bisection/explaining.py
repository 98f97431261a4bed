"""The cause of a divergence that a run found: its models bisected, and known mistakes tried."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from alignment.bisection.bisect import bisect
from alignment.errors import AlignmentError
from alignment.pair import Pair
from alignment.processes.processes import Progress
from alignment.processes.settings import DTYPES, Settings
from alignment.results.findings import DIAGNOSIS
from alignment.results.report import DIVERGENCE, Report, write_report
from alignment.rules.settle import CONTRACT_FILE, settled
from alignment.running.prepare import REPORT_FILE


def with_cause(
    report: Report,
    pair: Pair,
    out: str | os.PathLike[str],
    settings: Settings,
    *,
    progress: Progress | None = None,
) -> Report:
    """The report of a run with the cause of its divergence, which is written to the run's folder again.

    Args:
        report: What `alignment.running.run.align` returned; one that does not diverge is returned as it is.
        pair: What was aligned.
        out: Folder of the run; the diagnosis goes to `diagnosis/` in it.
        settings: Settings of the run.
        progress: Called as the sides report.
    """
    if report.verdict != DIVERGENCE:
        return report
    folder = Path(out).absolute()
    rules = folder / "workers" / CONTRACT_FILE
    if not pair.settled and pair.origin is not None and rules.is_file():
        pair = settled(pair.origin.target, pair.origin.arguments, str(rules))
    settings = replace(settings, dtypes=DTYPES)
    try:
        found = bisect(pair, folder / DIAGNOSIS, settings, hypotheses=True, progress=progress, command=report.command)
    except AlignmentError as error:
        explained = replace(report, notes=(*report.notes, f"no cause could be looked for: {error.summary}"))
    else:
        explained = replace(report, cause=found.cause)
    write_report(explained, folder / REPORT_FILE)
    return explained
