"""Bisection of a pair: which modules of the candidate are wrong by themselves, and because of which mistake."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from alignment.bisection.bench import SECONDS
from alignment.frameworks import FRAMEWORKS
from alignment.pair import Pair, Role
from alignment.processes.processes import Progress, run_all
from alignment.processes.settings import DTYPES, Settings
from alignment.results.findings import BISECTION_FILE, Bisection
from alignment.running.prepare import Prepared, prepare, workspace

_STEPS = ("forward", "bp")
_SMALL = 1e-5
"""Relative L2 of what a table in float32 makes differ, such as one of positions, at most."""
_TABLES = "tables that a model makes in float32 when it is built are float64 here, on both sides"


def bisect(
    pair: Pair,
    out: str | os.PathLike[str],
    settings: Settings | None = None,
    *,
    hypotheses: bool = False,
    seconds: float = SECONDS,
    progress: Progress | None = None,
    command: str = "",
    before: Path | None = None,
) -> Bisection:
    """Run both sides with their modules tapped, and find what is wrong by itself.

    The candidate is judged in float64 where its framework has it and the settings allow it, else in float32.

    Args:
        pair: From `alignment.pair.published.build` or `alignment.pair.load_pair`.
        out: Folder for everything that the run writes; what an earlier run left there is replaced.
        settings: Precisions, device, weights and so on; its steps are ignored.
        hypotheses: Try known mistakes on every finding.
        seconds: Time for those of them that run modules again and again, in all.
        progress: Called as the sides report.
        command: The command line, for the result.
        before: A batch, written by `Inputs.write`, on which the candidate is run first if nothing differs without that.

    Returns:
        The result, which is in `out/bisection.json` as well.

    Raises:
        AlignmentError: A side could not run.
        PortingError: The weights cannot be read or do not fit the model.
    """
    settings = replace(settings or Settings(), steps=_STEPS, perturbations=0)
    with workspace(Path(out).absolute()) as folder:
        (folder / BISECTION_FILE).unlink(missing_ok=True)
        prepared = prepare(pair, folder, settings, sides=1, progress=progress, command=command)
        what = "diagnose" if hypotheses else "localise"
        more = (str(seconds), *(() if before is None else (str(before),)))
        result = _searched(prepared, what, more, progress)
        if _may_be_tables(result):
            exact = _searched(replace(prepared, exact="kernels"), what, more, progress)
            result = result if exact.diverges else replace(exact, notes=(*exact.notes, _TABLES))
            result.write(folder / BISECTION_FILE)
        return result


def _searched(prepared: Prepared, what: str, more: Sequence[str], progress: Progress | None) -> Bisection:
    """What a search finds, with tables in float64 where a run with exact kernels is prepared.

    Args:
        prepared: The run.
        what: What the candidate's worker does.
        more: What else that is given.
        progress: Called as the sides report.
    """
    result, recorded = prepared.folder / BISECTION_FILE, prepared.recorded
    recorded.mkdir(exist_ok=True)
    pair, settings = prepared.pair, prepared.settings
    sides: tuple[tuple[Role, tuple[str, ...], tuple[str, ...]], ...] = (
        ("reference", DTYPES, ("record", str(recorded))),
        ("candidate", (_judged_dtype(pair, settings),), (what, str(recorded), str(result), *more)),
    )
    launches = []
    for role, dtypes, arguments in sides:
        side = replace(prepared, settings=replace(settings, dtypes=dtypes))
        side.write_request(role)
        launches.append(side.launch(role, "alignment.bisection.worker", arguments))
    for launch in launches:
        run_all([launch], progress)
    return Bisection.read(result)


def _may_be_tables(result: Bisection) -> bool:
    """True if all that differs in float64, and that nothing explains, is as small as what float32 makes of a table."""
    if result.dtype != "float64" or not result.diverges or not result.findings:
        return False
    errors = [
        evidence.error for finding in result.findings for evidence in finding.evidence if evidence.what != "blame"
    ]
    small = all(error is not None and error < _SMALL for error in errors)
    return small and not any(finding.causes for finding in result.findings)


def _judged_dtype(pair: Pair, settings: Settings) -> str:
    known = FRAMEWORKS[pair.candidate.framework].dtypes
    return next((dtype for dtype in ("float64", "float32") if dtype in known and dtype in settings.dtypes), known[0])
