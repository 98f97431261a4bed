"""Judges what both sides recorded in one precision: each quantity by the best evidence that there is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from functools import cached_property
from itertools import groupby

import numpy as np

from alignment.arrays import EPSILONS, HALVES, Array
from alignment.judging import apart, half_precision, training_mode, untaken, untrained
from alignment.judging.measuring import Measurement, compare_key, measure
from alignment.judging.noise import Noise, noise_floor, noise_in_float64
from alignment.judging.other_inputs import OtherInputs, twin
from alignment.judging.ranking import judge_metric, judge_ranking
from alignment.judging.special_kinds import BY_KIND
from alignment.judging.tolerance import (
    OUTPUT_LIMIT,
    Judgement,
    Tolerances,
    certify,
    default_tolerance,
    drifting,
    exact,
    hides_an_error,
    rounding,
    tolerate,
)
from alignment.recordings.recording import Entry, Recorded
from alignment.recordings.reprod_check import MeanCheck
from alignment.results.report import (
    DIVERGENCE,
    ROUNDING,
    SAME_FUNCTION,
    WITHIN_TOLERANCE,
    Row,
    Verdict,
)

_MOST = 0.9
"""Share of the jumping quantities of a pass that stay below its noise."""
_EXACT = {"parameter": "parameters", "input": "inputs", "count": "counts"}


class DtypeJudge:
    """Judges the keys of one dtype in order: a metric needs the ties of its step, a loss the noise of earlier ones.

    Args:
        dtype: The precision, which both sides have.
        reference: The reference's recordings by dtype.
        candidate: The candidate's; they may still grow.
        tolerances: Used where there is no float64 evidence.
        squeeze: Let shapes differ by axes of length one.
    """

    def __init__(
        self,
        dtype: str,
        reference: Mapping[str, Recorded],
        candidate: Mapping[str, Recorded],
        tolerances: Tolerances,
        squeeze: bool,
    ) -> None:
        self._dtype = dtype
        self._reference, self._candidate = reference[dtype], candidate[dtype]
        self._sides = self._reference, self._candidate
        self._half = dtype in HALVES
        self._rounded = dtype if self._half else "float32"
        self._reference64, self._reference_rounded = reference.get("float64"), reference.get(self._rounded)
        self._rounded_entries: Mapping[str, Entry] = (
            {} if self._reference_rounded is None else self._reference_rounded.manifest.entries
        )
        self._tolerances, self._squeeze = tolerances, squeeze
        self._loss_noise: dict[str, float] = {}
        self._pass_noise: dict[str, float] = {}
        self._errors: dict[str, Measurement] = {}
        self._ties: dict[str, tuple[int, int]] = {}
        self._others = OtherInputs(self._reference, self._candidate)

    def rows(self) -> Iterator[Row]:
        """Yield the rows of everything that both sides recorded."""
        entries = {**self._candidate.manifest.entries, **self._reference.manifest.entries}
        recorded = apart.before_updates(dict.fromkeys((*self._reference, *self._candidate)))
        keys = [key for key in recorded if not self._is_left_out(key)]
        judged = {key: self._row(key, entries[key]) for key in _metrics_last(keys, entries)}
        self._others.check(diverges=any(row.verdict == DIVERGENCE for row in judged.values()))
        yield from (judged[key] for key in keys)

    def first_divergence(self, step: str, but_for: str = "") -> Row | None:
        """Return the first row of a step that diverges, as `rows` has it; None if none does.

        Args:
            step: The step, which the candidate has recorded whole.
            but_for: Keys that begin so are passed over; none by default.
        """
        entries = {**self._candidate.manifest.entries, **self._reference.manifest.entries}
        own = [key for key in dict.fromkeys((*self._reference, *self._candidate)) if entries[key].step == step]
        keys = [key for key in own if not (but_for and key.startswith(but_for)) and not self._is_left_out(key)]
        rows = (self._row(key, entries[key]) for key in _metrics_last(keys, entries))
        return next((row for row in rows if row.verdict == DIVERGENCE), None)

    def _is_left_out(self, key: str) -> bool:
        if key in self._untaken or key in self._overflown or self._others.left_out(key):
            return True
        return any(room.left_out(key, *self._sides) for room in (training_mode, untrained, untaken, apart))

    def _known_reason(self, key: str) -> str:
        """Return why a key that one side lacks diverges, where that says more than that it is missing."""
        words = (room.reason(key, *self._sides) for room in (training_mode, untrained, untaken, apart))
        return next(filter(None, (*words, self._others.reason(key))), "")

    def left_out(self, rows: Iterable[Row]) -> Iterator[str]:
        """Yield notes on what neither side could compute, what was not exercised, and what further inputs show."""
        yield from self._others.causes([row.key for row in rows if row.verdict == DIVERGENCE])
        yield from (*training_mode.notes(*self._sides), *untaken.notes(*self._sides))
        yield from self._others.notes()
        yield from half_precision.notes_on_overflow(self._dtype, self._overflown)
        for step, losses in groupby(self._untaken, key=lambda key: key.partition("/")[0]):
            names = ", ".join(losses)
            yield f"left out in {self._dtype}, since no side gets a finite number in the step {step}: {names}"

    @cached_property
    def _overflown(self) -> tuple[str, ...]:
        """Quantities that the reference itself overflows in, in half precision."""
        return half_precision.overflown(self._dtype, self._reference, self._reference64)

    @cached_property
    def _untaken(self) -> tuple[str, ...]:
        """Losses that are finite on neither side, of logits of -inf or 1e30, and gradients of these that are not."""
        entries = self._reference.manifest.entries
        both = [key for key in entries if key in self._candidate and entries[key].kind in ("loss", "gradient")]
        finite = {key: [np.isfinite(side[key]).all() for side in (self._reference, self._candidate)] for key in both}
        losses = {key for key in both if entries[key].kind == "loss" and not any(finite[key])}
        steps = {entries[key].step for key in losses}
        gradients = {key for key in both if entries[key].kind == "gradient" and entries[key].step in steps}
        return tuple(key for key in both if key in losses or (key in gradients and not all(finite[key])))

    def _row(self, key: str, entry: Entry) -> Row:
        measured = compare_key(
            *(key, self._reference, self._candidate),
            squeeze=self._squeeze,
            mixed=self._half or entry.kind == "setting",
            infinities=entry.kind == "output",
        )
        judgement = self._judge(key, entry, measured)
        if judgement.verdict == DIVERGENCE and (words := training_mode.explained(key)):
            judgement = replace(judgement, reason=f"{words} {judgement.reason}")
        return row_of(key, entry.step, entry.kind, self._dtype, measured, judgement)

    def _judge(self, key: str, entry: Entry, measured: Measurement) -> Judgement:
        if measured.problem is not None:
            return Judgement(DIVERGENCE, self._known_reason(key) or measured.problem)
        if entry.kind in _EXACT:
            return exact(measured, SAME_FUNCTION, _EXACT[entry.kind])
        array = self._reference[key]
        if entry.kind in BY_KIND:
            return BY_KIND[entry.kind](measured, array, self._fitted(key))
        if entry.kind == "ranking":
            return self._judge_ranking(key, entry, measured)
        if entry.kind == "metric":
            return judge_metric(measured, *self._ties.get(entry.step, (0, 1)), self._discrete(key))
        if not is_float(array):
            return exact(measured, self._discrete(key), "integers")
        if array.dtype.name != self._dtype and not self._half:
            return Judgement(
                DIVERGENCE, f"{array.dtype.name} in a {self._dtype} recording: computed in the wrong precision"
            )
        return self._judge_float(key, entry, measured)

    def _judge_float(self, key: str, entry: Entry, measured: Measurement) -> Judgement:
        if self._dtype == "float64":
            certified = certify(entry.kind, measured, limit=entry.limit)
            unsettled = certified.verdict != SAME_FUNCTION or (
                entry.limit is None and hides_an_error(entry.kind, measured)
            )
            if not unsettled:
                return certified
            if entry.spread is not None:
                noise = noise_in_float64(measured, entry.spread, entry.spread_max or 0.0)
                return certify(entry.kind, measured, noise, limit=entry.limit)
            error = self._reference_error(twin(key) or key)
            if error is None or error.problem is not None:
                return certified
            return certify(entry.kind, measured, self._noise(key, entry, error), limit=entry.limit)
        error = self._reference_error(key) if self._dtype == self._rounded else None
        if error is None or self._reference64 is None:
            return self._tolerate(key, entry, measured)
        if error.problem is not None:
            own = f"the reference's own float64 and {self._dtype} results do not fit"
            return Judgement(DIVERGENCE, f"{own}: {error.problem}")
        infinities = entry.kind == "output"
        candidate_error = measure(self._reference64[key], self._fitted(key), mixed=True, infinities=infinities)
        return rounding(measured, candidate_error, self._noise(key, entry, error), self._dtype)

    def _tolerate(self, key: str, entry: Entry, measured: Measurement) -> Judgement:
        """Judge by the user's tolerance, or else by the default one or the drift that the reference recorded."""
        tolerance = self._tolerances.of(key, entry.kind, self._dtype)
        by_tolerance = tolerate(measured, tolerance)
        by_default = tolerance == default_tolerance(entry.kind, self._dtype)
        if by_tolerance.verdict != DIVERGENCE or not by_default or entry.spread is None:
            return by_tolerance
        by_drift = drifting(measured, entry.spread, entry.spread_max or 0.0)
        return by_drift if by_drift.verdict != DIVERGENCE else by_tolerance

    def _fitted(self, key: str) -> Array:
        """Return the candidate's array in the shape of the reference's; `--squeeze` lets the two differ."""
        return self._candidate[key].reshape(self._reference[key].shape)

    def _reference_error(self, key: str) -> Measurement | None:
        """Measure the reference's rounded result against its float64 one; None if it did not record both."""
        if self._reference64 is None or self._reference_rounded is None:
            return None
        if key not in self._reference64 or key not in self._reference_rounded:
            return None
        if key not in self._errors:
            infinities = self._reference64.manifest.entries[key].kind == "output"
            exact, rounded = self._reference64[key], self._reference_rounded[key]
            self._errors[key] = measure(exact, rounded, mixed=True, infinities=infinities)
        return self._errors[key]

    def _noise(self, key: str, entry: Entry, error: Measurement) -> Noise:
        """Return the measured noise of a quantity, in float32 or the half precision that is judged.

        The noise of a training run only grows, so a loss has at least the noise of the losses before it in its step. A
        scalar without a recorded spread has no reliable floor, and may be off by its tolerance.
        """
        recorded = self._rounded_entries.get(key, entry)
        noise = noise_floor(error, recorded.spread, recorded.spread_max, EPSILONS[self._rounded])
        if recorded.jumps:
            noise = noise.jumping(self._noise_of_pass(entry.step))
        if recorded.spread is None and noise.uncertain:
            noise = noise.at_least(self._tolerances.of(key, entry.kind, self._rounded).rtol / noise.limit)
        if entry.kind == "loss":
            noise = noise.at_least(self._loss_noise.get(entry.step, 0.0))
            self._loss_noise[entry.step] = noise.relative
        return noise

    def _noise_of_pass(self, step: str) -> float:
        """Return the relative noise that most of a step's jumping quantities stay below."""
        if step not in self._pass_noise:
            entries, epsilon = self._rounded_entries.items(), EPSILONS[self._rounded]
            jumping = {key: entry for key, entry in entries if entry.step == step and entry.jumps}
            floors = [
                noise_floor(error, entry.spread, entry.spread_max, epsilon).relative
                for key, entry in jumping.items()
                if (error := self._reference_error(key)) is not None and error.problem is None
            ]
            self._pass_noise[step] = float(np.quantile(floors, _MOST)) if floors else 0.0
        return self._pass_noise[step]

    def _judge_ranking(self, key: str, entry: Entry, measured: Measurement) -> Judgement:
        reference, candidate = self._reference[key], self._fitted(key)
        scores, gap = self._scores(entry)
        judgement, tied = judge_ranking(measured, reference, candidate, scores, gap, self._discrete(key))
        if tied:
            self._ties[entry.step] = (tied, len(reference))
        return judgement

    def _scores(self, entry: Entry) -> tuple[Array | None, float]:
        """Return the scores behind a ranking and the largest gap of a tie: both scores may move by their error."""
        key = entry.scores
        best = self._reference64 if self._reference64 is not None else self._reference
        if key is None or key not in best:
            return None, 0.0
        scores = best[key]
        error = self._reference_error(key) if self._dtype == self._rounded else None
        if error is not None and error.problem is None:
            return scores, 2 * self._noise(key, Entry("output", entry.step), error).allowed_max
        relative = OUTPUT_LIMIT if self._dtype == "float64" else self._tolerances.of(key, "output", self._dtype).rtol
        return scores, 2 * relative * float(np.max(np.abs(scores), initial=0.0, where=np.isfinite(scores)))

    def _discrete(self, key: str) -> Verdict:
        """Return the verdict on a counted quantity that is equal."""
        if self._dtype == "float64":
            return SAME_FUNCTION
        return ROUNDING if self._reference64 is not None and key in self._reference64 else WITHIN_TOLERANCE


def _metrics_last(keys: Iterable[str], entries: Mapping[str, Entry]) -> list[str]:
    """Return keys with those of metrics last, since a metric needs the ties of the rankings of its step."""
    return sorted(keys, key=lambda key: entries[key].kind == "metric")


def row_of(
    key: str,
    step: str,
    kind: str,
    dtype: str,
    measured: Measurement,
    judgement: Judgement,
    reprod_log: MeanCheck | None = None,
) -> Row:
    """The row of a report for one quantity; numbers that are none are left out."""
    numbers = (measured.mean_abs, measured.max_abs, measured.rel_l2)
    mean, largest, rel_l2 = (None if math.isnan(number) else number for number in numbers)
    return Row(key, step, kind, dtype, mean, largest, rel_l2, **asdict(judgement), reprod_log=reprod_log)


def is_float(array: Array) -> bool:
    """Whether an array holds numbers that rounding moves; integers and booleans are compared as they are."""
    return array.dtype.kind not in "biu"
