"""Worker of one side of a bisection.

The reference records inputs and outputs of its modules. The candidate is compared with that recording in its own
process, since what is run next depends on what differs; the result is a JSON file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from alignment.arrays import Array
from alignment.backends.base import Tap, Taps, Visit
from alignment.bisection.criteria import LOGITS, function_quantities
from alignment.bisection.dropouts import has_dropouts
from alignment.bisection.modes import DROPOUTS, EVAL, MODES
from alignment.bisection.recorded import (
    ALIASES_FILE,
    MODULES_FILE,
    NOTES_FILE,
    REFERENCE_DTYPES,
    Deduplicator,
    ReferenceModules,
    add_input_gradients,
)
from alignment.bisection.search import localise
from alignment.bisection.watching import Watched, watch
from alignment.errors import AlignmentError
from alignment.pair.inputs import Inputs
from alignment.processes.serving import Advance, serve
from alignment.recordings.recording import Kind
from alignment.results.findings import Bisection, Cause, Finding, cause_line
from alignment.running.request import Request
from alignment.running.worker import Job, fresh_jobs, load_job, manifest_of
from alignment.steps.base import Trial
from porting.fields import encode

_KINDS: Mapping[str, Kind] = {"input_gradient": "gradient", "output_gradient": "gradient", "integers": "input"}


def record(job: Job, folder: Path, advance: Advance) -> None:
    """Run the reference with its modules tapped, and record everything that the taps see.

    Args:
        job: The reference, its model built and loaded.
        folder: Folder for the recordings, `float64` and `float32`, and for descriptions of the modules.
        advance: Called after each precision.
    """
    taps = job.backend.taps()
    modules = {path: encode(module) for path, module in taps.modules.items()}
    (folder / MODULES_FILE).write_text(json.dumps(modules), encoding="utf-8")
    aliases: dict[str, str] = {}
    notes: list[str] = []
    jobs = fresh_jobs(job)
    for number, dtype in enumerate(REFERENCE_DTYPES):
        job = next(jobs)
        taps = job.backend.taps()
        job.backend.use(dtype)
        recorder = Deduplicator(folder, dtype, aliases)
        # what the framework or a cast rounds to float32 inside is no part of the function that a port is to be
        with job.backend.exact("kernels") if dtype == "float64" else nullcontext():
            for mode in MODES:
                if mode != DROPOUTS or has_dropouts(job.backend, taps):
                    notes += _recorded_mode(job.trial(dtype), taps, mode, recorder)
        recorder.recorder.write(folder / dtype, manifest_of(job, dtype)).close()
        advance(f"modules {dtype}", number + 1, len(REFERENCE_DTYPES))
    (folder / ALIASES_FILE).write_text(json.dumps(aliases), encoding="utf-8")
    (folder / NOTES_FILE).write_text(json.dumps(list(dict.fromkeys(notes))), encoding="utf-8")


def _recorded_mode(trial: Trial, taps: Taps, mode: str, recorder: Deduplicator) -> tuple[str, ...]:
    """Record one mode; training mode may be left out where a model does not run in it, with a note."""
    mark = recorder.mark()
    try:
        return _record_mode(trial, taps, mode, recorder)
    except AlignmentError as error:
        if mode == "eval":
            raise
        recorder.rewind(mark)
        trial.reset()
        return (f"nothing is compared in {mode} mode: {error.summary}",)


def _record_mode(trial: Trial, taps: Taps, mode: str, recorder: Deduplicator) -> tuple[str, ...]:
    """Record one mode in one precision; returns notes for the reader."""
    watched = _record_taps(trial, taps, mode, recorder)
    if not watched.repeats:
        return *watched.notes, f"nothing is compared in {mode} mode"
    if mode == DROPOUTS and trial.backend.hides_dropouts:
        raise AlignmentError("places of dropouts cannot all be seen in the reference")
    results = watched.results
    if results.loss is not None:
        recorder.add(f"{mode}/loss", results.loss, "loss", mode)
    for name, array in trial.gradients(results.gradients).items():
        recorder.add(f"{mode}/gradient/{name}", array, "gradient", mode)
    if mode == "train":
        state = trial.canonical(results.state)
        for name in trial.pair.architecture.statistics:
            recorder.add(f"{mode}/statistic/{name}", state[name], "output", mode)
        _record_other_statistics(trial, mode, recorder)
        trial.reset()
    elif mode == EVAL:
        _record_whole(trial, mode, recorder)
    return watched.notes


def _record_other_statistics(trial: Trial, mode: str, recorder: Deduplicator) -> None:
    """Record the running statistics as the candidate's framework takes up those of the same batch."""
    if not trial.pair.architecture.statistics:
        return
    trial.reset()
    trial.backend.train(True)
    try:
        with trial.backend.exact(trial.pair.candidate.framework):
            trial.forward()
        state = trial.canonical(trial.backend.state())
    finally:
        trial.backend.train(False)
    for name in trial.pair.architecture.statistics:
        recorder.add(f"{mode}/other statistic/{name}", state[name], "output", mode)


def _record_taps(trial: Trial, taps: Taps, mode: str, recorder: Deduplicator) -> Watched:
    """Record what the taps see, or of a model that does not bear them its outputs alone.

    Raises:
        AlignmentError: The model gives something else every time in evaluation mode.
    """
    mark = recorder.mark()

    def visit(tap: Tap, array: Array) -> None:
        recorder.add(f"{mode}/tap/{tap}", array, _KINDS.get(tap.what, "output"), mode)

    def start() -> Visit:
        recorder.rewind(mark)
        return visit

    watched = watch(trial, taps, mode, start, backward=True)
    if not watched.repeats and mode == "eval":
        raise AlignmentError(
            "the reference gives something else every time, so nothing can be compared with it; make it repeat itself",
            watched.notes,
        )
    if not (watched.usable and watched.repeats):
        recorder.rewind(mark)
        for index, array in enumerate(watched.results.outputs if watched.repeats else ()):
            visit(Tap("", 0, "output", index), array)
    elif not watched.apart and taps.gradients:
        add_input_gradients(trial, taps, mode, recorder)
    return watched


def _record_whole(trial: Trial, mode: str, recorder: Deduplicator) -> None:
    """Record the weights, and what losses and metrics make of the logits."""
    for name, array in trial.canonical(trial.backend.state()).items():
        recorder.add(f"{mode}/parameter/{name}", array, "parameter", mode)
    if trial.outputs.named:
        recorder.add(f"{mode}/{LOGITS}", trial.outputs.logits, "output", mode)
    for quantity in function_quantities(trial, trial.outputs.logits):
        entry = replace(quantity.entry, step=mode, scores=None)
        recorder.recorder.add(f"{mode}/{quantity.key}", quantity.array, entry)


def after_a_call(job: Job, batch: Path, recorded: ReferenceModules, *, hypotheses: bool, seconds: float) -> Bisection:
    """What is wrong with a candidate that has been run on another batch before, with a note if that makes it differ.

    Args:
        job: The candidate, just built and loaded.
        batch: The other batch, written by `Inputs.write`.
        recorded: As for `localise`, and so are the others.
        hypotheses: Try known mistakes on every finding.
        seconds: Time for those that run modules again and again.
    """
    dtype = job.request.dtypes[0]
    job.backend.use(dtype)
    job.backend.forward(Inputs.read(batch).cast(dtype).batch, None)
    bisection = localise(job, recorded, hypotheses=hypotheses, seconds=seconds)
    if not bisection.diverges:
        return bisection
    note = "it differs only after a call with other inputs, of which the candidate keeps something"
    findings = tuple(one if one.causes else replace(one, causes=(_keeps(one),)) for one in bisection.findings)
    return replace(bisection, findings=findings, cause=cause_line(findings), notes=(note, *bisection.notes))


def _keeps(finding: Finding) -> Cause:
    """The cause of what agrees in the first call of a model, and not after one with other inputs."""
    says = "it keeps something of an earlier call: the first agrees, one after other inputs does not"
    before = max((evidence.error or 0.0 for evidence in finding.evidence), default=0.0)
    return Cause("state kept", says, f"{finding.candidate or 'the model'}: what its forward stores", before, 0.0)


def main(arguments: list[str]) -> int:
    """Carry out one side: REQUEST record FOLDER, or REQUEST localise|diagnose FOLDER RESULT SECONDS [BATCH].

    Returns:
        The exit code.
    """
    request, what, folder, *rest = arguments

    def work(advance: Advance) -> None:
        asked = Request.read(Path(request))
        job = load_job(asked)
        if what == "record":
            record(job, Path(folder), advance)
            return
        advance("model built, weights loaded", 1, 2)
        seen, seconds = ReferenceModules.read(Path(folder)), float(rest[1])
        hypotheses = what == "diagnose"
        bisection = localise(job, seen, hypotheses=hypotheses, seconds=seconds)
        if len(rest) > 2 and not bisection.diverges:
            bisection = after_a_call(load_job(asked), Path(rest[2]), seen, hypotheses=hypotheses, seconds=seconds)
        bisection.write(rest[0])
        advance("modules compared", 2, 2)

    return serve(work)
