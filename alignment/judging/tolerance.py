"""Measurements in, judgements out: the same function, rounding, within tolerance, or a divergence.

**Float64 settles the function.** The same float32 weights and inputs run in float64 on both sides. A correct port then
agrees to about 1e-14 (outputs) or 2e-14 (gradients), and to 3e-11 in the losses after AdamW updates; the smallest
mistake tried, an eps of 1e-5 for 1e-6 in the last of 13 LayerNorms, stands at 3e-8 and more. `OUTPUT_LIMIT` and
`GRADIENT_LIMIT` lie between.

**Float32 settles the rounding.** The candidate's float32 result may be no farther from the reference's float64 result
than `ROUNDING_LIMIT` times the noise floor: the largest of the reference's own float32 error, its spread under
perturbations of one unit in the last place, and one such unit of the result itself.

How `ROUNDING_LIMIT` was chosen: torch against Paddle on the CPU, 73 draws of pit_ti, pit_s and pit_xs, plain and
distilled (images of 64 to 224 pixels, batches of 1 to 4, weights scaled by 0.5 to 1.5), three perturbations each. The
error of the correct candidate reached 1.1 floors in outputs and 1.9 in 11773 gradients in L2 norm, 1.4 and 3.0 in the
largest element. A wrong eps in every norm gave 5.3 to 39 (logits), a tanh GELU 148 and more, a lost bias 10000. So 4 in
L2 and 8 in the largest element accuse none of the correct ones, with a factor of two to spare, and see those mistakes.

Where units switch (ReLU), gradients jump: of some 10^7 units of a RegNetY-160 a dozen are within rounding of zero, and
each that is on in one framework and off in the other moves the gradients below it by 1e-4 and more, of which neither
the reference's own error nor three perturbations know. Such gradients get the floor that 90 percent of their pass stay
below, four carriers (11.5 floors), and no tighter limit for one element. They are off by up to 0.3 percent then, which
is what float32 can say; float64 certifies them to 1e-9 like all others.

A floor of few elements is itself uncertain: the error of a scalar may be zero by luck. Its limit is therefore wider, by
`1 + 15 / n ** 1.5` for `n` elements that carry the noise. For a scalar that is 64: of normally distributed errors, four
samples of noise (one error, three perturbations) are that much too small once in ten million draws, three once in
300,000, and one unit in the last place catches most of these. The largest margin of a correct loss was 14.
`benchmarks/noise.py` measures margins again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Literal

import numpy as np

from alignment.errors import AlignmentError
from alignment.judging.measuring import Measurement
from alignment.judging.noise import (
    EPS64_OVER_EPS32,
    MAX_OVER_L2,
    Noise,
    limit_of_carriers,
    noise_floor,
    ratio,
)
from alignment.judging.wide_range import EPS32, Hidden, hidden
from alignment.results.report import DIVERGENCE, ROUNDING, SAME_FUNCTION, WITHIN_TOLERANCE, Verdict
from porting.names import nearest

OUTPUT_LIMIT = 1e-10
GRADIENT_LIMIT = 1e-9
_SMALL_FLOORS = 64.0
"""Largest error in float32, or half precision, of the small elements beside large ones, in units in the last place."""
_FEWEST_SMALL = 8
"""Fewest small elements that float32 judges: one sample of the noise of so many is not small by luck."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What follows from the measurements of one quantity; the fields are those of `alignment.results.report.Row`."""

    verdict: Verdict
    reason: str
    error: float | None = None
    floor: float | None = None
    margin: float | None = None
    limit: float | None = None


def certify(kind: str, measured: Measurement, noise: Noise | None = None, *, limit: float | None = None) -> Judgement:
    """Judge two float64 results: the same function or not.

    Args:
        kind: `gradient` has a limit of its own.
        measured: The candidate's float64 result against the reference's.
        noise: The float32 noise of the quantity, if measured. A gradient that is zero in exact arithmetic (of a key's
            bias under softmax) is noise in float64 too, and a loss that vanishes loses its digits. So an error also
            passes if it is as small as this noise scaled to float64.
        limit: The admissible relative L2 error; by default that of the kind. Only by default the error is also held
            without the elements that dominate the norm, see `alignment.judging.wide_range`.
    """
    small = None
    if limit is None:
        limit = _limit_of(kind)
        small = _small_elements(measured, noise, limit, EPS64_OVER_EPS32 * EPS32)
    if measured.problem is not None:
        return Judgement(DIVERGENCE, measured.problem, limit=limit)
    error, margin = measured.rel_l2, measured.rel_l2 / limit
    floor = 0.0 if noise is None else noise.relative * EPS64_OVER_EPS32
    explained = noise is not None and max(_multiples(measured, noise)) <= noise.limit * EPS64_OVER_EPS32
    if error > limit and not explained:
        reason = f"differs in float64 by {error:.1e} relative L2, {limit:.0e} is admissible; {worst(measured)}"
        return Judgement(DIVERGENCE, reason, error, None, margin, limit)
    if small is not None and error <= limit:  # what is above it is rounding altogether, as the noise has explained
        return _of_small_elements(small, "float64")
    if error <= limit or noise is None:
        return Judgement(SAME_FUNCTION, f"equal in float64 to {error:.1e}", error, None, margin, limit)
    reason = f"equal up to the rounding noise of float64, {floor:.1e} of a norm of {measured.reference_l2:.1e}"
    return Judgement(SAME_FUNCTION, reason, error, floor, ratio(error, floor), noise.limit)


def rounding(measured: Measurement, candidate_error: Measurement, noise: Noise, dtype: str = "float32") -> Judgement:
    """Judge a result in float32, or half precision, by the reference's float64 result and the measured noise.

    Args:
        measured: The candidate's result against the reference's in the same precision.
        candidate_error: The candidate's result against the reference's float64 result.
        noise: The floor, of this precision.
        dtype: Name of the precision.
    """
    problem = measured.problem or candidate_error.problem
    if problem is not None:
        return Judgement(DIVERGENCE, problem, floor=noise.relative, limit=noise.limit)
    in_l2, of_an_element = _multiples(candidate_error, noise)
    decisive = max(in_l2, of_an_element)
    fields = (candidate_error.rel_l2, noise.relative, decisive, noise.limit)
    if decisive <= noise.limit:
        small = None
        if noise.arrays is not None:
            small = _small_in_proportion(candidate_error, noise)
        if small is not None:
            return _of_small_elements(small, dtype)
        return Judgement(ROUNDING, f"{in_l2:.2g} times the rounding noise", *fields)
    what, factor = ("L2 error", 1.0) if decisive == in_l2 else ("largest error of an element", MAX_OVER_L2)
    times, allowed = decisive * factor, noise.limit * factor
    reason = f"the {what} is {times:.3g} times the rounding noise, {allowed:.2g} is admissible; {worst(measured)}"
    return Judgement(DIVERGENCE, reason, *fields)


def _limit_of(kind: str) -> float:
    return GRADIENT_LIMIT if kind == "gradient" else OUTPUT_LIMIT


def hides_an_error(kind: str, measured: Measurement) -> bool:
    """Return True if elements that larger ones hide are off by more than the limit of the kind, noise or not."""
    return _small_elements(measured, None, _limit_of(kind), 0.0) is not None


def _small_elements(measured: Measurement, noise: Noise | None, limit: float, epsilon: float) -> Hidden | None:
    """Return the worst error of small elements that is more than `limit` and the noise explain."""
    if measured.arrays is None:
        return None
    return hidden(
        measured.arrays,
        None if noise is None else noise.arrays,
        limit=limit,
        error=measured.max_abs,
        largest=measured.reference_max,
        epsilon=epsilon,
        of_noise=EPS32 if noise is None else noise.epsilon,
        moved=noise.max_abs * epsilon / noise.epsilon if noise is not None and noise.arrays is None else 0.0,
        noise_limit=limit_of_carriers,
        fewest=_FEWEST_SMALL if epsilon >= EPS32 else 0,
    )


def _small_in_proportion(error: Measurement, noise: Noise) -> Hidden | None:
    """Return the worst error of small elements that is no factor which all elements have in common.

    A coefficient that one side holds in float32, such as 1 - 0.999 of a moment, multiplies all elements alike. Whether
    the factor is admissible, the whole says, by the noise that was measured with the coefficient moved.
    """
    limit = _SMALL_FLOORS * noise.epsilon
    small = _small_elements(error, noise, limit, noise.epsilon)
    if small is None or error.arrays is None or not error.reference_l2:
        return small
    reference, candidate = (array.astype(np.float64) for array in error.arrays)
    scaled = reference / error.reference_l2
    factor = float(scaled @ (candidate / error.reference_l2))
    if not 0 < factor < math.inf:
        return small
    return _small_elements(replace(error, arrays=(reference, candidate / factor)), noise, limit, noise.epsilon)


def _of_small_elements(small: Hidden, dtype: str) -> Judgement:
    """Return the divergence of elements that larger ones hide."""
    rest, norm = small.rest, small.rest.reference_l2
    reason = (
        f"differs in {dtype} by {rest.relative:.1e} relative L2 in {rest.words}; {ratio(small.allowed, norm):.0e} is "
        "admissible"
    )
    return Judgement(DIVERGENCE, reason, rest.relative, None, ratio(rest.l2, small.allowed), ratio(small.allowed, norm))


def exact(measured: Measurement, verdict: Verdict, what: str) -> Judgement:
    """Judge what must be equal element by element; zeros of either sign are equal.

    Args:
        measured: The candidate against the reference.
        verdict: What equality proves.
        what: What must be equal, for the reason: `parameters`.
    """
    if (settled := settled_by_equality(measured, verdict)) is not None:
        return settled
    reason = f"{measured.differing} of {measured.count} elements differ, {what} must be equal; {worst(measured)}"
    return Judgement(DIVERGENCE, reason, error=measured.rel_l2)


def settled_by_equality(measured: Measurement, verdict: Verdict) -> Judgement | None:
    """Return the judgement of arrays that cannot be compared or are equal; None if the numbers must decide."""
    if measured.problem is not None:
        return Judgement(DIVERGENCE, measured.problem)
    return Judgement(verdict, "exactly equal", error=0.0) if measured.differing == 0 else None


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far a result may be off where no float64 evidence says what rounding explains.

    An array passes when its L2 error is at most `rtol` times its norm plus `atol` an element (root mean square), and
    its largest error at most ten `rtol` times its largest element plus `atol`.

    Attributes:
        rtol: Relative to the norm of the reference.
        atol: In the unit of the quantity. Zero by default: a gradient of 1e-7 counts like any other.
    """

    rtol: float
    atol: float = 0.0


_DEFAULT_RTOL = {"float16": 1e-2, "bfloat16": 5e-2}
_KIND_RTOL = {"gradient": 1e-4, "loss": 1e-4}
_MAX_FACTOR = 10.0


def default_tolerance(kind: str, dtype: str) -> Tolerance:
    """Return a relative tolerance: 1e-5; for gradients and losses 1e-4, for float16 1e-2, for bfloat16 5e-2.

    Float32 torch and Paddle agree to 2e-6 (logits), 7e-6 (gradients) and, some AdamW steps on, 9e-5 (losses).
    """
    return Tolerance(_DEFAULT_RTOL.get(dtype) or _KIND_RTOL.get(kind, 1e-5))


@dataclass(frozen=True, slots=True)
class Override:
    """A tolerance that the user gives to the keys that a pattern matches.

    Attributes:
        field: `atol` or `rtol`.
        pattern: As in a shell: `bp/gradient/*`.
        value: A finite number of 0 or more.
    """

    field: Literal["atol", "rtol"]
    pattern: str
    value: float

    @classmethod
    def parse(cls, field: Literal["atol", "rtol"], text: str) -> Override:
        """Read `[KEY:]VALUE`.

        Raises:
            AlignmentError: The value is no finite number of 0 or more.
        """
        pattern, _, number = text.rpartition(":")
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if not 0 <= value < math.inf:
            raise AlignmentError(f"--{field} {text}: {number!r} is no finite number of 0 or more; expected [KEY:]VALUE")
        return cls(field, pattern or "*", value)


@dataclass(frozen=True, slots=True)
class Tolerances:
    """The tolerance of every key: the default one, changed by the overrides that match, the last one winning."""

    overrides: tuple[Override, ...] = ()

    @classmethod
    def parse(cls, atol: Iterable[str] = (), rtol: Iterable[str] = ()) -> Tolerances:
        """Read the command line's `--atol` and `--rtol`, each `[KEY:]VALUE`.

        Raises:
            AlignmentError: An option does not have this form.
        """
        return cls((*(Override.parse("atol", text) for text in atol), *(Override.parse("rtol", text) for text in rtol)))

    def of(self, key: str, kind: str, dtype: str) -> Tolerance:
        """Return the tolerance of one key."""
        tolerance = default_tolerance(kind, dtype)
        for override in self.overrides:
            if fnmatchcase(key, override.pattern):
                changes: dict[str, float] = {override.field: override.value}
                tolerance = replace(tolerance, **changes)
        return tolerance

    def check(self, keys: Iterable[str]) -> None:
        """Refuse patterns that match no key.

        Raises:
            AlignmentError: A pattern matches no key; it is named with the nearest key.
        """
        keys = list(keys)
        for override in self.overrides:
            if not any(fnmatchcase(key, override.pattern) for key in keys):
                close = nearest(override.pattern, keys)
                hint = f"; did you mean {close[0]!r}?" if close else ""
                raise AlignmentError(f"--{override.field} {override.pattern}: matches none of {len(keys)} keys{hint}")


def tolerate(measured: Measurement, tolerance: Tolerance) -> Judgement:
    """Judge one result by tolerance only; the reason says that there is no float64 evidence."""
    if measured.problem is not None:
        return Judgement(DIVERGENCE, measured.problem)
    allowed = tolerance.rtol * measured.reference_l2 + tolerance.atol * math.sqrt(measured.count)
    allowed_max = _MAX_FACTOR * tolerance.rtol * measured.reference_max + tolerance.atol
    limit = ratio(allowed, measured.reference_l2)
    used = max(ratio(measured.l2, allowed), ratio(measured.max_abs, allowed_max))
    fields = (measured.rel_l2, None, used, limit)
    terms = f"rtol {tolerance.rtol:g}" + (f", atol {tolerance.atol:g}" if tolerance.atol else "")
    if used <= 1:
        return Judgement(WITHIN_TOLERANCE, f"by tolerance only ({terms}): no float64 evidence", *fields)
    reason = f"{used:.3g} times what {terms} admits (by tolerance only: no float64 evidence); {worst(measured)}"
    return Judgement(DIVERGENCE, reason, *fields)


def drifting(measured: Measurement, spread: float, spread_max: float) -> Judgement:
    """Judge two float32 results without float64 evidence, by how far the reference drifts under perturbations.

    Args:
        measured: The candidate's result against the reference's, without a problem.
        spread: L2 norm of the reference's change under perturbations of one unit in the last place.
        spread_max: The largest element of that change.
    """
    drift = noise_floor(replace(measured, l2=0.0, max_abs=0.0), spread, spread_max)
    # Both sides drift, so their difference may be that of two runs.
    margin = max(_multiples(measured, drift)) / 2
    verdict = WITHIN_TOLERANCE if margin <= drift.limit else DIVERGENCE
    reason = f"{margin:.2g} times the drift of two runs of the reference: no float64 evidence"
    return Judgement(verdict, reason, measured.rel_l2, drift.relative, margin, drift.limit)


def worst(measured: Measurement) -> str:
    """Return the element that differs most, in words."""
    element = measured.worst
    if element is None:
        return "no element differs"
    at = f"at {list(element.index)}" if element.index else "in the only element"
    return f"worst {at}: {element.reference:.9g} in the reference, {element.candidate:.9g} in the candidate"


def _multiples(error: Measurement, noise: Noise) -> tuple[float, float]:
    """Return an error in multiples of the noise: in L2 norm, and of its largest element with half the weight."""
    return ratio(error.l2, noise.l2), ratio(error.max_abs, noise.max_abs) / MAX_OVER_L2
