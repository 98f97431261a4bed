"""Worker that plants mistakes into the candidate, one after the other, in one process."""

from __future__ import annotations

from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from alignment.judging.compare_paths import open_side
from alignment.power.bench import Bench, subject_of
from alignment.power.catalogue import mistakes_of
from alignment.power.mistakes import Mistake
from alignment.processes.serving import Advance, JsonRequest, serve
from alignment.results.power import Planted, Power
from alignment.results.report import read_report
from alignment.running.request import Request
from alignment.running.worker import load_job
from alignment.text_files import to_json, write_text

_REPORTS = 20
"""About how often progress is reported."""


@dataclass(frozen=True)
class Task(JsonRequest):
    """What the worker does beside the candidate's request.

    Attributes:
        report: Path of the report of the proof.
        result: Path of the result.
        seconds: Time after which no further mistake is planted.
        limit: Largest number of mistakes; None for all that apply.
    """

    report: str
    result: str
    seconds: float
    limit: int | None = None


def run(request: Request, task: Task, advance: Advance) -> None:
    """Plant mistakes until they are used up, their number is reached, or the time is.

    Raises:
        AlignmentError: The candidate cannot be run, or does not repeat what the proof saw.
    """
    began = monotonic()
    report = read_report(task.report)
    job = load_job(request)
    dtype = "float64" if "float64" in request.dtypes else request.dtypes[0]
    with ExitStack() as stack:
        stack.enter_context(job.backend.exact(request.exact) if request.exact else nullcontext({}))
        subject = subject_of(job, dtype)
        reference = open_side(Path(request.folder), "reference", stack)
        bench = Bench(subject, reference)
        bench.start()
        mistakes = mistakes_of(subject)
        planted, unreached = _plant(bench, mistakes, task, began, advance)
        bench.finish()
    possible = len(mistakes) - len(unreached)
    power = Power(report.model, tuple(planted), possible, tuple(unreached), dtype, monotonic() - began)
    write_text(to_json(power), task.result)


def _plant(
    bench: Bench, mistakes: list[Mistake], task: Task, began: float, advance: Advance
) -> tuple[list[Planted], list[str]]:
    """Return the outcomes of the mistakes, and those that the model never came by."""
    planted: list[Planted] = []
    unreached: list[str] = []
    total = min(len(mistakes), task.limit or len(mistakes))
    for mistake in mistakes:
        if len(planted) >= total or monotonic() - began >= task.seconds:
            break
        outcome = bench.plant(mistake)
        if outcome is None:
            unreached.append(f"{mistake.kind}: {mistake.path or 'the model'}")
        else:
            planted.append(outcome)
        if len(planted) % max(1, total // _REPORTS) == 0:
            advance("mistakes planted", len(planted), total)
    return planted, unreached


def main(arguments: list[str]) -> int:
    """Carry out the request and the task in the files that are named; returns the exit code."""
    request, task = Request.read(Path(arguments[0])), Task.read(Path(arguments[1]))
    return serve(lambda advance: run(request, task, advance))
