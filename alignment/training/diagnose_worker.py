"""Explanation of a training run's divergences, by known mistakes; the reference's process reruns training with them."""

from __future__ import annotations

import os
from pathlib import Path

from alignment.backends.stand_ins.training import exact_training
from alignment.judging.judge import judge
from alignment.pair import ROLES, Pair
from alignment.processes.processes import Launch, Progress, run_all
from alignment.processes.serving import serve
from alignment.processes.settings import Settings
from alignment.recordings.recording import open_recording
from alignment.results.findings import DIAGNOSIS_FILE, Finding, read_findings, write_findings
from alignment.results.report import read_report
from alignment.running.prepare import REPORT_FILE
from alignment.running.request import Request
from alignment.running.worker import load_job
from alignment.steps.training import dtype_of_once
from alignment.training.explain import explain
from alignment.training.own_explain import explain_own
from alignment.training.reruns import TrainingSide
from alignment.training.worker import TrainingRequest
from recipe.loading import load


def explain_run(
    pair: Pair, out: str | os.PathLike[str], settings: Settings, *, progress: Progress | None = None
) -> tuple[Finding, ...]:
    """Find where and why a run that `alignment.training.run.align` left begins to differ.

    Args:
        pair: What was aligned.
        out: Folder of the run; the findings are written to its `diagnosis.json`.
        settings: Settings of the run.
        progress: Called as the reference's process reports.

    Raises:
        AlignmentError: The reference could not run.
    """
    folder = Path(out).absolute()
    result, workers = folder / DIAGNOSIS_FILE, folder / "workers"
    exact = "-exact" if read_report(folder / REPORT_FILE).kernels else ""  # the run that the report is of
    request = workers / f"{pair.label('reference')}{exact}.json"
    if pair.own:
        requests = {role: workers / f"{pair.label(role)}{exact}.json" for role in ROLES}
        findings = explain_own(requests, workers / "training.json")
        write_findings(findings, result)
        return findings
    arguments, log = (str(request), str(workers / "training.json"), str(result)), workers / "diagnosis.log"
    framework = pair.reference.framework
    python, environment, imports = settings.python(framework), settings.environment(1), settings.imports(framework)
    run_all([Launch("diagnosis", python, __name__, arguments, log, environment, imports=imports)], progress)
    return read_findings(result)


def work(request: Request, training: TrainingRequest, result: Path) -> None:
    """Judge both recordings of a run again, explain what diverges, and write the findings."""
    job, config = load_job(request), load(training.config)
    dtype = dtype_of_once(request.dtypes, job.pair)
    recordings = Path(request.folder)
    side = TrainingSide.of(job, config, training.updates, dtype)
    labels = (job.pair.label("reference"), job.pair.label("candidate"))
    reference, candidate = (open_recording(recordings / f"{label}-{dtype}") for label in labels)
    exact = exact_training(job.backend, job.pair.reference.framework, request.exact)
    with reference, candidate, exact:
        findings = explain(judge({dtype: reference}, {dtype: candidate}), reference, candidate, side)
    write_findings(findings, result)


def main(arguments: list[str]) -> int:
    """Read the side's request and that of training from the first two files, and write the findings to the third."""
    request, training, result = (Path(argument) for argument in arguments)
    return serve(lambda _: work(Request.read(request), TrainingRequest.read(training), result))
