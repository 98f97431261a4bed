"""Runs a candidate with a mistake in it, and judges it as the proof does, until something diverges."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from alignment.arrays import Array
from alignment.backends.base import Tap, Taps
from alignment.errors import AlignmentError
from alignment.judging.dtype_judge import DtypeJudge
from alignment.judging.tolerance import Tolerances
from alignment.power.mistakes import Mistake, Passed, Subject, Witness
from alignment.recordings.recording import Held, Manifest, Recorded
from alignment.results.power import Planted
from alignment.results.report import Row
from alignment.running.worker import Job, manifest_of
from alignment.steps import STEPS, Trial
from porting.errors import ExpectedError

_PARAMETERS = "forward/parameters/"
_LONGEST = 200


@dataclass
class _Run:
    """One run of all steps, as far as it got.

    Attributes:
        held: What it computed.
        row: The first row that diverges; None where none does.
    """

    held: Held
    row: Row | None = None


@dataclass
class Bench:
    """Holds a candidate against the recordings of its reference, again and again.

    Attributes:
        subject: The candidate.
        reference: The reference's recordings by precision.
    """

    subject: Subject
    reference: Mapping[str, Recorded]
    _digests: Mapping[str, bytes] = field(default_factory=dict)

    @cached_property
    def _manifest(self) -> Manifest:
        return manifest_of(self.subject.job, self.subject.trial.inputs.dtype)

    def start(self) -> None:
        """Run the candidate as it is, which nothing may accuse.

        Raises:
            AlignmentError: Something diverges, although the proof passed.
        """
        self._digests = {key: _digest(array) for key, array in self._unchanged("once more").items()}

    def finish(self) -> None:
        """Run the candidate as it is once more, to show that every mistake was taken out again.

        Raises:
            AlignmentError: It was not.
        """
        self._unchanged("after the mistakes were taken out of it")

    def plant(self, mistake: Mistake) -> Planted | None:
        """Plant a mistake, judge the candidate, and take it out; None if the model never came by it."""
        witness, outcome = Witness(), Planted(mistake.kind, mistake.path, mistake.of, mistake.says, noticed=True)
        with ExitStack() as stack:
            try:
                trial = mistake.plant(replace(self.subject.trial), stack, witness)
            except (AttributeError, TypeError, ValueError):  # a module that does not let itself be changed
                return None
            try:
                run = self._run(trial, mistake.first)
            except MemoryError:
                raise
            except Exception as failure:  # whatever a wrong model raises, it is no candidate that passes
                return replace(outcome, fails=_words(failure))
        row = run.row or self._wrong_weight(trial)
        if row is not None:
            return replace(outcome, by=row.key, error=row.rel_l2 if row.error is None else row.error)
        if not witness.reached:
            return None
        changes = any(self._digests.get(key) != _digest(array) for key, array in run.held.items())
        return replace(outcome, noticed=False, changes=changes, needs=mistake.needs)

    def _unchanged(self, when: str) -> Held:
        run = self._run(replace(self.subject.trial))
        if run.row is not None:
            raise AlignmentError(
                f"the candidate passed, and does not when it runs {when}: {run.row.key} diverges ({run.row.reason})"
            )
        return run.held

    def _run(self, trial: Trial, first: str = "") -> _Run:
        """Run the steps of the proof until a row diverges; the order of steps decides nothing."""
        dtype, held = trial.inputs.dtype, Held(self._manifest)
        for step in sorted(self.subject.job.request.steps, key=lambda step: step != first):
            for quantity in STEPS[step].run(trial):
                held.add(quantity.key, quantity.array, quantity.entry)
            judge = DtypeJudge(dtype, self.reference, {dtype: held}, Tolerances(), False)
            row = judge.first_divergence(step, but_for=_PARAMETERS)
            if row is not None:
                return _Run(held, row)
        return _Run(held)

    def _wrong_weight(self, trial: Trial) -> Row | None:
        """Return the first tensor of the weights themselves that is not the reference's; the proof compares them."""
        if trial.weights is self.subject.trial.weights:
            return None
        for dtype, recording in self.reference.items():
            keys = {key.removeprefix(_PARAMETERS): key for key in recording if key.startswith(_PARAMETERS)}
            right, wrong = Held(recording.manifest), Held(recording.manifest)
            for name, array in trial.canonical(trial.weights, keys).items() if keys else ():
                key = keys[name]
                right.add(key, recording[key], recording.manifest.entries[key])
                wrong.add(key, array.astype(recording[key].dtype), recording.manifest.entries[key])
            if keys:
                judge = DtypeJudge(dtype, {dtype: right}, {dtype: wrong}, Tolerances(), False)
                return judge.first_divergence("forward")
        return None


def subject_of(job: Job, dtype: str) -> Subject:
    """Look at a candidate in a precision: its modules, what passes through them, and tied tensors."""
    job.backend.use(dtype)
    trial = job.trial(dtype)
    taps = job.backend.taps()
    tied: dict[str, tuple[str, ...]] = {name: (name,) for name in trial.weights}
    for name, first in job.backend.tied().items():
        tied[first] += tied.pop(name)
    trial.reset()
    return Subject(job, trial, taps, dict(taps.modules), passed_through(trial, taps), tied)


def passed_through(trial: Trial, taps: Taps) -> dict[str, Passed]:
    """Watch one forward pass; return of every module that it calls what goes in and comes out at the first call."""
    inputs_of: dict[str, list[Array]] = {}
    passed: dict[str, Passed] = {}

    def visit(tap: Tap, array: Array) -> None:
        if tap.call:
            return
        if tap.what == "input":
            inputs_of.setdefault(tap.path, []).append(array)
        elif tap.what == "output":
            inputs = inputs_of.pop(tap.path, [])
            same = len(inputs) == 1 and tap.index == 0 and inputs[0].shape == array.shape
            passed[tap.path] = Passed(same, same and np.array_equal(inputs[0], array))

    with taps.watch(visit):
        trial.forward()
    return passed


def _digest(array: Array) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(array).tobytes(), digest_size=16).digest()


def _words(error: Exception) -> str:
    text = error.summary if isinstance(error, ExpectedError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())[:_LONGEST]
