"""Bisection of a pair: which modules of the candidate are wrong by themselves, and because of which mistake."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from alignment.bisection.bench import SECONDS
from alignment.frameworks import FRAMEWORKS
from alignment.pair import Pair, Role
from alignment.processes.processes import Progress, run_all
from alignment.processes.settings import DTYPES, Settings
from alignment.results.findings import BISECTION_FILE, Bisection
from alignment.running.prepare import RECORDINGS, prepare, workspace

_STEPS = ("forward", "bp")


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
        result, what = folder / BISECTION_FILE, "diagnose" if hypotheses else "localise"
        result.unlink(missing_ok=True)
        prepared = prepare(pair, folder, settings, sides=1, progress=progress, command=command)
        recorded, earlier = str(folder / RECORDINGS), (() if before is None else (str(before),))
        sides: tuple[tuple[Role, tuple[str, ...], tuple[str, ...]], ...] = (
            ("reference", DTYPES, ("record", recorded)),
            ("candidate", (_judged_dtype(pair, settings),), (what, recorded, str(result), str(seconds), *earlier)),
        )
        launches = []
        for role, dtypes, arguments in sides:
            side = replace(prepared, settings=replace(prepared.settings, dtypes=dtypes))
            side.write_request(role)
            launches.append(side.launch(role, "alignment.bisection.worker", arguments))
        for launch in launches:
            run_all([launch], progress)
        return Bisection.read(result)


def _judged_dtype(pair: Pair, settings: Settings) -> str:
    known = FRAMEWORKS[pair.candidate.framework].dtypes
    return next((dtype for dtype in ("float64", "float32") if dtype in known and dtype in settings.dtypes), known[0])
