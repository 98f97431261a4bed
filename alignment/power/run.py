"""Proves a pair, then measures what the proof is worth: mistakes are planted into the candidate of this very run."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic

from alignment.errors import AlignmentError, NothingComparedError
from alignment.pair import Pair
from alignment.power.worker import Task
from alignment.processes.processes import Progress, run_all
from alignment.processes.settings import Settings
from alignment.results.power import Power
from alignment.results.report import Report
from alignment.results.summary import headline
from alignment.running.prepare import REPORT_FILE, Prepared
from alignment.running.run import align
from alignment.text_files import decode_from, read_json

BUDGET = 3.0
"""How many times the time of the proof planting may take by default."""


@dataclass(frozen=True)
class Budget:
    """How many mistakes are planted, and for how long.

    Attributes:
        limit: Largest number of mistakes; None for all that apply.
        seconds: Time after which no further one is planted; None for `BUDGET` times that of the proof.

    Raises:
        AlignmentError: One of them is not above zero.
    """

    limit: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        for name in ("limit", "seconds"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise AlignmentError(f"the {name} of planted mistakes: {value:g}, expected more than 0")


def measure(
    pair: Pair,
    out: str | os.PathLike[str],
    settings: Settings | None = None,
    budget: Budget | None = None,
    *,
    progress: Progress | None = None,
    command: str = "",
) -> Report:
    """Prove a pair as `alignment.run` does, and plant mistakes into its candidate where it passes.

    Args:
        pair: What is aligned.
        out: Folder for everything that the run writes; what an earlier run left there is replaced.
        settings: Steps, precisions, device, weights and so on.
        budget: How many mistakes, and for how long.
        progress: Called as the workers report.
        command: The command line, for manifests and report.

    Returns:
        The report, whose `power` says what was noticed; it is in `out/report.json` as well. Where the pair differs,
        nothing is planted, and `power.problem` says so.

    Raises:
        NothingComparedError: No mistake applies to the candidate, or the time is too short for one.
        AlignmentError: A side could not run.
        PortingError: The weights cannot be read or do not fit the model.
    """
    began = monotonic()

    def then(prepared: Prepared, report: Report) -> Report:
        return replace(report, power=power_of(prepared, report, budget or Budget(), monotonic() - began, progress))

    return align(pair, out, settings, progress=progress, command=command, then=then)


def power_of(
    prepared: Prepared, report: Report, budget: Budget, took: float, progress: Progress | None = None
) -> Power:
    """Plant mistakes into the candidate of a run that has left its recordings.

    Args:
        prepared: The run; its folder is still held.
        report: Its report. Where it does not pass, nothing is planted.
        budget: How many mistakes, and for how long.
        took: Seconds that the proof took.
        progress: Called as the worker reports.

    Raises:
        NothingComparedError: No mistake applies to the candidate, or the time is too short for one.
        AlignmentError: The candidate could not run.
    """
    if not report.passed:
        problem = f"nothing was planted, since the pair differs: {headline(report)}"
        return Power(report.model, proof_seconds=took, problem=problem)
    seconds = BUDGET * took if budget.seconds is None else budget.seconds
    workers = prepared.folder / "workers"
    task, result = workers / "power-task.json", workers / "power.json"
    Task(str(prepared.folder / REPORT_FILE), str(result), seconds, budget.limit).write(task)
    again = replace(prepared, exact="kernels" if report.kernels else "", sides=1)
    launch = again.launch("candidate", "alignment.power.worker", (str(task),))
    run_all([replace(launch, log=workers / "power.log")], progress)
    power = _read(result)
    if not power.planted:
        raise NothingComparedError(*_nothing(power, seconds))
    return replace(power, proof_seconds=took)


def _read(path: Path) -> Power:
    value = read_json(path, unreadable="what was planted cannot be read: {}", malformed="no result of planting: {}")
    return decode_from(path, Power, value)


def _nothing(power: Power, seconds: float) -> tuple[str, list[str]]:
    """Return why nothing was planted, and what to do."""
    if not power.possible:
        return f"{power.model}: no mistake can be planted into this candidate: it has no module that runs", []
    return (
        f"{power.model}: no mistake was planted within {seconds:.3g} s: building the model and running it once took "
        f"{power.seconds:.3g} s",
        [f"{power.possible} mistakes could be planted; give --seconds {2 * power.seconds:.0f} or more"],
    )
