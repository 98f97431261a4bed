"""Initial values of another distribution: which one, as far as so many values can tell."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import NormalDist

import numpy as np

from alignment.arrays import Array
from alignment.hypotheses.base import Prediction
from alignment.judging.measuring import Measurement
from alignment.judging.special_kinds import judge_sample, sample_distance
from alignment.results.findings import Cause
from alignment.results.report import DIVERGENCE

_MANY = 20_000
_CUTS = (2.0, 1.0)
_ERRORS = 3.0
"""Standard errors that the deviation of a framework's default may be off, so that a fitted one is not taken for it."""
_CHANCE = 1.63
"""Times the root of 1/n + 1/m, the Kolmogorov-Smirnov distance that one pair of samples in a hundred has by chance."""


def explain_sample(name: str, shape: tuple[int, ...], expected: Array, actual: Array) -> tuple[Cause, ...]:
    """Return the distributions that a tensor's initial values may be drawn from instead, the closest first.

    Those that are as close as chance allows are told apart by nothing; of them, the more telling come first.

    Args:
        name: The tensor's.
        shape: Of the tensor.
        expected: The reference's pooled values, ascending.
        actual: The candidate's.
    """
    before, causes = sample_distance(expected, actual), []
    for guess in _guesses(name, shape, expected.astype(np.float64), actual.astype(np.float64)):
        values = np.sort(guess.arrays[0])
        if judge_sample(Measurement(), values, actual).verdict != DIVERGENCE:
            causes.append(Cause(guess.name, guess.says, guess.look_at, before, sample_distance(values, actual)))
    chance = _CHANCE * (1 / actual.size + 1 / expected.size) ** 0.5
    return tuple(sorted(causes, key=lambda cause: cause.after if cause.after > chance else 0.0)[:3])


def _guesses(name: str, shape: tuple[int, ...], expected: Array, actual: Array) -> Iterator[Prediction]:
    """Predict a sample of every distribution that the candidate may draw from."""
    place = f"the initialiser of {name}"
    if actual[0] == actual[-1]:
        yield Prediction("constant", f"every element starts at {actual[0]:g}", place, [np.full(actual.size, actual[0])])
        return
    yield from _defaults(shape, place, actual)
    if expected[0] != expected[-1]:
        for scale in (actual.std() / expected.std(), (actual[-1] - actual[0]) / (expected[-1] - expected[0])):
            moved = (expected - expected.mean()) * scale + expected.mean()
            says = f"its deviation is {actual.std():.4g}, {scale:.4g} times {expected.std():.4g}"
            yield Prediction("scaled", says, place, [moved])
    deviation = float(actual.std())
    word = "normal for uniform" if _is_uniform(expected) else "normal"
    yield Prediction(word, f"it is normal with a deviation of {deviation:.4g}", place, [_NORMAL * deviation])
    for cut in _CUTS:
        kept = _NORMAL[np.abs(_NORMAL) <= cut]
        says = f"it is normal, cut off at {cut:g} deviations"
        yield Prediction("truncated", says, place, [kept * deviation / kept.std()])
    bound = float(np.abs(actual).max())
    yield Prediction("uniform", f"it is uniform within {bound:.4g}", place, [_UNIFORM * bound])


def _defaults(shape: tuple[int, ...], place: str, actual: Array) -> Iterator[Prediction]:
    """Predict the frameworks' defaults whose deviation is the sample's, as far as so many values tell."""
    if len(shape) < 2:
        return
    field = int(np.prod(shape[2:]))
    fan_in, fan_out = shape[1] * field, shape[0] * field
    xavier, kaiming, torchs = (6 / (fan_in + fan_out)) ** 0.5, (2 / fan_in) ** 0.5, fan_in**-0.5
    for name, says, layer, values in (
        ("xavier uniform", f"it is Xavier's uniform, within {xavier:.4g}", "Linear", _UNIFORM * xavier),
        ("kaiming normal", f"it is Kaiming's normal, of deviation {kaiming:.4g}", "Conv2D", _NORMAL * kaiming),
        ("torch's default", f"it is torch's default, uniform within {torchs:.4g}", "", _UNIFORM * torchs),
    ):
        error = (max(_kurtosis(values) - 1, 0.0) / (4 * actual.size)) ** 0.5
        if abs(float(np.log(actual.std() / values.std()))) < _ERRORS * error:
            yield Prediction(name, says, f"{place}: Paddle's default of {layer}" if layer else place, [values])


def _is_uniform(sample: Array) -> bool:
    """Return whether a sample looks uniform: its kurtosis is 1.8, a normal one's 3."""
    return bool(sample.std() > 0) and _kurtosis(sample) < 2.2


def _kurtosis(sample: Array) -> float:
    centred = sample - sample.mean()
    return float((centred**4).mean()) / float((centred**2).mean()) ** 2


_EVEN = (np.arange(_MANY) + 0.5) / _MANY
_UNIFORM = 2 * _EVEN - 1
_NORMAL = np.array([NormalDist().inv_cdf(share) for share in _EVEN])
"""Values that stand for the two distributions better than as many that are drawn."""
