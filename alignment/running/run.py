"""An alignment from end to end: prepare, run both sides at the same time, compare, judge, report."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from alignment.errors import AlignmentError
from alignment.judging.compare_paths import compare_paths
from alignment.pair import ROLES, Pair, Role
from alignment.processes.processes import Launch, Progress, started
from alignment.processes.settings import Settings
from alignment.results.report import Report, write_report
from alignment.running.exact import without_kernels
from alignment.running.known_differences import with_known_differences
from alignment.running.prepare import RECORDINGS, REPORT_FILE, Prepared, applicable, prepare, workspace
from alignment.steps import STEPS


def align(
    pair: Pair,
    out: str | os.PathLike[str],
    settings: Settings | None = None,
    *,
    progress: Progress | None = None,
    command: str = "",
    then: Callable[[Prepared, Report], Report] | None = None,
) -> Report:
    """Run both sides of a pair and judge whether they are the same function.

    Args:
        pair: From `alignment.pair.published.build` or `alignment.pair.load_pair`.
        out: Folder for everything that the run writes; what an earlier run left there is replaced.
        settings: Steps, precisions, device, weights and so on.
        progress: Called as the sides report.
        command: The command line, for manifests and report.
        then: Called with the run and its report while the folder is still held; returns the report to write instead.

    Returns:
        The report, which is in `out/report.json` as well. A run that ends early leaves none.

    Raises:
        AlignmentError: A side could not run, or no step applies to the pair.
        PortingError: The weights cannot be read or do not fit the model.
    """
    with _recorded(pair, ROLES, out, settings, progress, command) as prepared:
        report = report_on(prepared, official=prepared.settings.dtypes[0])
        report = with_known_differences(prepared, without_kernels(prepared, report, progress))
        if then is not None:
            report = then(prepared, report)
            write_report(report, prepared.folder / REPORT_FILE)
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
    with _recorded(pair, (role,), out, settings, progress, command) as prepared:
        return prepared.recordings(role)


@contextmanager
def _recorded(
    pair: Pair,
    roles: Sequence[Role],
    out: str | os.PathLike[str],
    settings: Settings | None,
    progress: Progress | None,
    command: str,
) -> Iterator[Prepared]:
    """A run whose sides have left their recordings; its folder is held until the context is left."""
    settings = settings or Settings()
    if pair.settled:  # what an earlier run left stays where nothing can be compared
        applicable(STEPS, settings.steps, pair)
    with workspace(Path(out).absolute()) as folder:
        prepared = prepare(pair, folder, settings, roles=roles, progress=progress, command=command)
        prepared.run_sides(progress)
        yield prepared


def report_on(prepared: Prepared, *, official: str | None, notes: Iterable[str] = ()) -> Report:
    """Judge the recordings of both sides, and write the report into the folder of the run.

    Args:
        prepared: A run that has left its recordings.
        official: The precision whose arrays go into the files of reprod_log; None writes none.
        notes: What the report says beside what stands in the recordings.
    """
    with _reprod_files(prepared, official) as problems:
        report = compare_paths(prepared.folder, prepared.folder, command=prepared.command)
    report = replace(report, notes=(*report.notes, *notes, *problems))
    write_report(report, prepared.folder / REPORT_FILE)
    return report


@contextmanager
def _reprod_files(prepared: Prepared, dtype: str | None) -> Iterator[list[str]]:
    """Write the official reprod_log files meanwhile, for those who exchange them; they decide nothing.

    Yields:
        A list that holds, once the context is left, why they were not written.
    """
    problems: list[str] = []
    if dtype is None:
        yield problems
        return
    if "paddle" not in [prepared.pair.side(role).framework for role in ROLES]:
        yield ["no reprod_log files were written: reprod_log needs Paddle, which neither side runs on"]
        return
    sides = [
        f"{label}={prepared.folder / RECORDINGS / f'{label}-{dtype}'}" for label in map(prepared.pair.label, ROLES)
    ]
    launch = Launch(
        name="reprod_log",
        python=prepared.settings.python("paddle"),
        module="alignment.recordings.reprod_write",
        arguments=("--pair", sides[0], "--pair", sides[1], "--out", str(prepared.folder)),
        log=prepared.folder / "workers" / "reprod_log.log",
        environment=prepared.settings.environment(prepared.sides),
        serves=False,
        imports=prepared.settings.imports("paddle"),
    )
    with started([launch]) as wait:
        yield problems
        try:
            wait()
        except AlignmentError as error:
            problems.append(f"no reprod_log files were written: {' '.join((error.summary, *error.details[-1:]))}")
