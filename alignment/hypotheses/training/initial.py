"""Initial values of another distribution: which one, as far as so many values can tell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from alignment.backends.base import Array
from alignment.findings import Cause
from alignment.judgements import judge_sample, sample_distance
from alignment.measuring import Measurement
from alignment.report.model import DIVERGENCE

_MANY = 20_000
_CUTS = (2.0, 1.0)
_ERRORS = 3.0
"""Standard errors that the deviation of a framework's default may be off, so that a fitted one is not taken for it."""


@dataclass(frozen=True, slots=True)
class _Guess:
    """A distribution that the candidate may draw from, as a sample of it."""

    name: str
    says: str
    look_at: str
    values: Array


def explain_sample(name: str, shape: tuple[int, ...], expected: Array, found: Array) -> tuple[Cause, ...]:
    """What a tensor's initial values are drawn from instead; of several that fit, the closest first.

    Args:
        name: The tensor's.
        shape: Of the tensor.
        expected: The reference's pooled values, ascending.
        found: The candidate's.
    """
    before, causes = sample_distance(expected, found), []
    for guess in _guesses(name, shape, expected.astype(np.float64), found.astype(np.float64)):
        values = np.sort(guess.values)
        if judge_sample(Measurement(), values, found).verdict != DIVERGENCE:
            causes.append(Cause(guess.name, guess.says, guess.look_at, before, sample_distance(values, found)))
    return tuple(causes[:3])


def _guesses(name: str, shape: tuple[int, ...], expected: Array, found: Array) -> Iterator[_Guess]:
    place = f"the initialiser of {name}"
    if found[0] == found[-1]:
        yield _Guess("constant", f"every element starts at {found[0]:g}", place, np.full(found.size, found[0]))
        return
    generator = np.random.default_rng(0)
    error = _ERRORS * (found.size**-0.5 + _MANY**-0.5) / 2**0.5
    for guess in _defaults(shape, place, generator):
        if abs(float(np.log(found.std() / guess.values.std()))) < error:
            yield guess
    if expected[0] != expected[-1]:
        for scale in (found.std() / expected.std(), (found[-1] - found[0]) / (expected[-1] - expected[0])):
            moved = (expected - expected.mean()) * scale + expected.mean()
            says = f"its deviation is {found.std():.4g}, {scale:.4g} times {expected.std():.4g}"
            yield _Guess("scaled", says, place, moved)
    deviation = float(found.std())
    drawn = generator.standard_normal(_MANY)
    word = "normal for uniform" if _is_uniform(expected) else "normal"
    yield _Guess(word, f"it is normal with a deviation of {deviation:.4g}", place, drawn * deviation)
    for cut in _CUTS:
        kept = drawn[np.abs(drawn) <= cut]
        says = f"it is normal, cut off at {cut:g} deviations"
        yield _Guess("truncated", says, place, kept * deviation / kept.std())
    uniform = generator.uniform(-1, 1, _MANY) * np.abs(found).max()
    yield _Guess("uniform", f"it is uniform within {np.abs(found).max():.4g}", place, uniform)


def _defaults(shape: tuple[int, ...], place: str, generator: np.random.Generator) -> Iterator[_Guess]:
    """The frameworks' defaults."""
    if len(shape) < 2:
        return
    field = int(np.prod(shape[2:]))
    fan_in, fan_out = shape[1] * field, shape[0] * field
    uniform, normal = generator.uniform(-1, 1, _MANY), generator.standard_normal(_MANY)
    bound = (6 / (fan_in + fan_out)) ** 0.5
    yield _Guess(
        "xavier uniform",
        f"it is Xavier's uniform, within {bound:.4g}",
        f"{place}: Paddle's default of Linear",
        uniform * bound,
    )
    deviation = (2 / fan_in) ** 0.5
    yield _Guess(
        "kaiming normal",
        f"it is Kaiming's normal, of deviation {deviation:.4g}",
        f"{place}: Paddle's default of Conv2D",
        normal * deviation,
    )
    bound = fan_in**-0.5
    yield _Guess("torch's default", f"it is torch's default, uniform within {bound:.4g}", place, uniform * bound)


def _is_uniform(sample: Array) -> bool:
    """Whether a sample looks uniform: its kurtosis is 1.8, a normal one's 3."""
    centred = sample - sample.mean()
    spread = float((centred**2).mean())
    return spread > 0 and float((centred**4).mean()) / spread**2 < 2.2
