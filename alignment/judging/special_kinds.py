"""Judges quantities that have no rounding noise: numbers of a recipe, pictures, and random draws.

- A *setting* (a rate, a decay) is equal to twelve digits in every element: both sides compute it in double precision.
- A *picture* is equal bit by bit, or to a few units in the last place of its largest pixel. The smallest real mistakes,
  one 8-bit level in one pixel, or a mean of 0.4849 for 0.485, are 2e-4 and more.
- A *sample*, in ascending order, comes from the same distribution as the other side's as far as tests can tell: the
  distance of Kolmogorov and Smirnov, mean and standard deviation, and how many values of one side lie beyond all of the
  other's (which sees another bound that the first three do not). Each test would accuse one correct pair in a billion,
  `FALSE_ALARM`; a model of 200 tensors is accused by chance less than once in 700,000 runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from alignment.arrays import Array
from alignment.judging.measuring import Measurement
from alignment.judging.tolerance import Judgement, worst
from alignment.results.report import DIVERGENCE, ROUNDING, SAME_FUNCTION

FALSE_ALARM = 1e-9
"""Probability that one test of one tensor fails for equal distributions."""
_SETTING = 1e-12
_SETTING_FLOAT32 = 2.0**-22
_PICTURE = 2.0**-21
_CONSTANT = 1e-6
_DEVIATIONS = 6.11
"""Standard deviations that a normal variable exceeds with the probability `FALSE_ALARM`."""
_FEW = 30
"""Below so many values the spread of a standard deviation is too uncertain to test."""


def judge_setting(measured: Measurement, reference: Array, candidate: Array) -> Judgement:
    """Judge numbers of a recipe, of any shape, equal in each element: float64, or float32 of a framework without it."""
    in_float32 = np.float32 in (reference.dtype, candidate.dtype)
    reference, candidate = reference.astype(np.float64), candidate.astype(np.float64)
    limit = _SETTING_FLOAT32 if in_float32 else _SETTING
    size = np.abs(reference)
    if in_float32 and size.ndim == 1:  # a schedule makes each rate of the one before, and rounds each time
        size = np.cumsum(size)
    wrong = np.abs(candidate - reference) > limit * size
    if not wrong.any():
        if in_float32:
            return Judgement(ROUNDING, "equal to what float32 holds of it", measured.rel_l2, limit=limit)
        return Judgement(SAME_FUNCTION, "equal to twelve digits", measured.rel_l2, limit=limit)
    places = f"{int(wrong.sum())} of {wrong.size} differ" if wrong.size > 1 else "differs"
    first = tuple(int(at) for at in np.argwhere(wrong)[0]) if wrong.ndim else ()
    where = f", the first at {list(first)}: " if first else ": "
    values = f"{reference[first]:.9g} in the reference, {candidate[first]:.9g} in the candidate"
    return Judgement(DIVERGENCE, f"{places}{where}{values}", measured.rel_l2, limit=limit)


def judge_picture(measured: Measurement, reference: Array, candidate: Array) -> Judgement:
    """Judge prepared images, float32 `(..., height, width)`."""
    if measured.differing == 0:
        return Judgement(SAME_FUNCTION, "equal bit by bit", 0.0)
    share = measured.max_abs / max(measured.reference_max, 1e-30)
    if share <= _PICTURE:
        reason = f"equal to {share:.1e} of the largest pixel, the rounding of float32"
        return Judgement(ROUNDING, reason, measured.rel_l2, limit=_PICTURE)
    reason = f"{measured.differing} of {measured.count} pixels differ; {worst(measured)}"
    return Judgement(DIVERGENCE, reason, measured.rel_l2, limit=_PICTURE)


def judge_sample(measured: Measurement, reference: Array, candidate: Array) -> Judgement:
    """Judge values that both sides drew, `(values,)`, in ascending order."""
    one, other = reference.astype(np.float64), candidate.astype(np.float64)
    if one[0] == one[-1] or other[0] == other[-1]:
        return _constant(measured, one, other)
    failed = list(_failed(one, other))
    if failed:
        return Judgement(DIVERGENCE, f"not the same distribution: {'; '.join(failed)}", measured.rel_l2)
    distance, limit = sample_distance(one, other), _allowed_distance(one.size, other.size)
    reason = f"the same distribution as far as {one.size} values tell: Kolmogorov-Smirnov {distance:.1e}"
    return Judgement(ROUNDING, reason, measured.rel_l2, margin=distance / limit, limit=1.0)


BY_KIND: Mapping[str, Callable[[Measurement, Array, Array], Judgement]] = {
    "setting": judge_setting,
    "picture": judge_picture,
    "sample": judge_sample,
}
"""Judges of the kinds that are judged alike in every precision; their measurement must have no problem."""


def _constant(measured: Measurement, one: Array, other: Array) -> Judgement:
    """Judge a tensor that is constant on one side at least: zeros, ones."""
    if np.allclose(one, other, rtol=_CONSTANT, atol=0):
        return Judgement(SAME_FUNCTION, f"{one[0]:.6g} everywhere", measured.rel_l2)
    values = (f"{side[0]:.4g} everywhere" if side[0] == side[-1] else _range(side) for side in (one, other))
    return Judgement(DIVERGENCE, "{} in the reference, {} in the candidate".format(*values), measured.rel_l2)


def _failed(one: Array, other: Array) -> Iterator[str]:
    """Yield the tests that tell two samples apart, in words."""
    distance, limit = sample_distance(one, other), _allowed_distance(one.size, other.size)
    if distance > limit:
        yield f"Kolmogorov-Smirnov distance {distance:.3g}, {limit:.3g} is admissible"
    error = math.sqrt(one.var() / one.size + other.var() / other.size)
    if abs(one.mean() - other.mean()) > _DEVIATIONS * error:
        yield f"mean {one.mean():.4g} in the reference, {other.mean():.4g} in the candidate"
    if min(one.size, other.size) >= _FEW:
        error = math.sqrt(_variance_of_log_deviation(one) + _variance_of_log_deviation(other))
        if abs(math.log(one.std() / other.std())) > _DEVIATIONS * error:
            yield f"deviation {one.std():.4g} in the reference, {other.std():.4g} in the candidate"
    for inner, outer, side in ((one, other, "candidate"), (other, one, "reference")):
        beyond = max(np.count_nonzero(outer > inner[-1]), np.count_nonzero(outer < inner[0]))
        if beyond * math.log(outer.size / (inner.size + outer.size)) < math.log(FALSE_ALARM / 4):
            yield f"{beyond} values of the {side} lie beyond all of the other side: {_range(outer)}, {_range(inner)}"


def sample_distance(one: Array, other: Array) -> float:
    """Return the Kolmogorov-Smirnov distance: the largest difference of the two empirical distribution functions."""
    values = np.concatenate((one, other))
    shares = (np.searchsorted(sample, values, side="right") / sample.size for sample in (one, other))
    return float(np.abs(np.subtract(*shares)).max())


def _allowed_distance(one: int, other: int) -> float:
    """Return the distance that equal distributions exceed with the probability `FALSE_ALARM` (Smirnov's limit law)."""
    return math.sqrt(math.log(2 / FALSE_ALARM) / 2 * (one + other) / (one * other))


def _variance_of_log_deviation(sample: Array) -> float:
    centred = sample - sample.mean()
    kurtosis = float((centred**4).mean() / (centred**2).mean() ** 2)
    return max(kurtosis - 1, 0.0) / (4 * sample.size)


def _range(sample: Array) -> str:
    return f"{sample[0]:.4g} to {sample[-1]:.4g}"
