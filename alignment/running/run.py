"""An alignment from end to end: prepare, run both sides at the same time, compare, judge, report."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from alignment.judging.compare_paths import compare_paths
from alignment.pair import ROLES, Pair, Role
from alignment.processes.processes import Progress, run_all
from alignment.processes.settings import Settings
from alignment.results.report import Report, write_report
from alignment.rules.settle import settle
from alignment.running.prepare import (
    RECORDINGS,
    REPORT_FILE,
    _applicable,
    batch_of,
    launch_of,
    reprod_files,
    weights_of,
    workspace,
)


def align(
    pair: Pair,
    out: str | os.PathLike[str],
    settings: Settings | None = None,
    *,
    progress: Progress | None = None,
    command: str = "",
) -> Report:
    """Run both sides of a pair and judge whether they are the same function.

    Args:
        pair: From `alignment.pair.published.build` or `alignment.pair.load_pair`.
        out: Folder for everything that the run writes; what an earlier run left there is replaced.
        settings: Steps, precisions, device, weights and so on.
        progress: Called as the sides report.
        command: The command line, for manifests and report.

    Returns:
        The report, which is in `out/report.json` as well. A run that ends early leaves none.

    Raises:
        AlignmentError: A side could not run, or no step applies to the pair.
        PortingError: The weights cannot be read or do not fit the model.
    """
    settings = settings or Settings()
    if pair.settled:
        _applicable(pair, settings.steps)
    with workspace(Path(out).absolute()) as folder:
        pair = settle(pair, folder, settings, progress)
        _run_sides(pair, ROLES, folder, settings, progress, command)
        with reprod_files(pair, folder, settings) as problems:
            report = compare_paths(folder, folder, command=command)
        report = replace(report, notes=(*report.notes, *problems))
        write_report(report, folder / REPORT_FILE)
    return report


def record(
    pair: Pair,
    role: Role,
    out: str | os.PathLike[str],
    settings: Settings | None = None,
    *,
    progress: Progress | None = None,
    command: str = "",
) -> list[Path]:
    """Run one side alone, to be compared with the other on another machine.

    Args:
        pair: What is aligned.
        role: The side to run; `settings.weights` are its weights.
        out: Folder for everything that the run writes.
        settings: Steps, precisions, device, weights and so on.
        progress: Called as the side reports.
        command: The command line, for the manifests.

    Returns:
        The recordings, one a precision.

    Raises:
        AlignmentError: The side could not run.
        PortingError: The weights cannot be read or do not fit the model.
    """
    settings = settings or Settings()
    if pair.settled:
        _applicable(pair, settings.steps)
    with workspace(Path(out).absolute()) as folder:
        pair = settle(pair, folder, settings, progress)
        _run_sides(pair, (role,), folder, settings, progress, command)
        return [folder / RECORDINGS / f"{pair.label(role)}-{dtype}" for dtype in settings.dtypes]


def _run_sides(
    pair: Pair, roles: Sequence[Role], folder: Path, settings: Settings, progress: Progress | None, command: str
) -> None:
    _applicable(pair, settings.steps)
    batch = batch_of(pair, settings)
    batch.write(folder / "inputs.safetensors")
    weights = weights_of(pair, roles, folder / "weights", settings)
    launches = [launch_of(pair, role, folder, settings, batch, weights[role], len(roles), command) for role in roles]
    run_all(launches, progress)
