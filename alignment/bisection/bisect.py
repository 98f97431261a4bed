"""Where a candidate differs: every module of both sides, end to end and alone; and why, by known mistakes."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from alignment.frameworks import FRAMEWORKS
from alignment.pair import Pair
from alignment.processes.processes import Launch, Progress, run_all
from alignment.processes.settings import Settings
from alignment.results.findings import Bisection
from alignment.rules.settle import settle
from alignment.running.prepare import RECORDINGS, batch_of, launch_of, weights_of, workspace

RESULT_FILE = "bisection.json"
_STEPS = ("forward", "bp")


def bisect(
    pair: Pair,
    out: str | os.PathLike[str],
    settings: Settings | None = None,
    *,
    hypotheses: bool = False,
    progress: Progress | None = None,
    command: str = "",
) -> Bisection:
    """Run both sides with their modules tapped, and find what is wrong by itself.

    The candidate is judged in float64 where its framework has it and the settings allow it, else in float32.

    Args:
        pair: From `alignment.pair.published.build` or `alignment.pair.load_pair`.
        out: Folder for everything that the run writes; what an earlier run left there is replaced.
        settings: Precisions, device, weights and so on; steps mean nothing here.
        hypotheses: Try known mistakes on everything that is found.
        progress: Called as the sides report.
        command: The command line, for the result.

    Returns:
        The result, which is in `out/bisection.json` as well.

    Raises:
        AlignmentError: A side could not run.
        PortingError: The weights cannot be read or do not fit the model.
    """
    settings = replace(settings or Settings(), steps=_STEPS, perturbations=0)
    with workspace(Path(out).absolute()) as folder:
        result = folder / RESULT_FILE
        result.unlink(missing_ok=True)
        pair = settle(pair, folder, settings, progress)
        for launch in _launches(pair, folder, settings, "diagnose" if hypotheses else "localise", result, command):
            run_all([launch], progress)
        return Bisection.read(result)


def _launches(pair: Pair, folder: Path, settings: Settings, what: str, result: Path, command: str) -> list[Launch]:
    batch = batch_of(pair, settings)
    batch.write(folder / "inputs.safetensors")
    weights = weights_of(pair, ("reference", "candidate"), folder / "weights", settings)
    recorded = folder / RECORDINGS
    known = FRAMEWORKS[pair.candidate.framework].dtypes
    best = next((dtype for dtype in ("float64", "float32") if dtype in known and dtype in settings.dtypes), known[0])
    both = replace(settings, dtypes=("float32", "float64"))
    return [
        launch_of(
            *(pair, "reference", folder, both, batch, weights["reference"], 1, command),
            module="alignment.bisection.worker",
            arguments=("record", str(recorded)),
        ),
        launch_of(
            *(pair, "candidate", folder, replace(settings, dtypes=(best,)), batch, weights["candidate"], 1, command),
            module="alignment.bisection.worker",
            arguments=(what, str(recorded), str(result)),
        ),
    ]
