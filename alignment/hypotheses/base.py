"""What a hypothesis is given, and what it answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

import numpy as np

from alignment.arrays import Array
from alignment.results.findings import Cause, Finding

T = TypeVar("T")
FITTED = 4
"""Elements that have to agree for each number that a hypothesis fits to them, else the fit says nothing."""
DO_NOT_APPLY = (ArithmeticError, LookupError, TypeError, ValueError)
"""What a hypothesis may raise of what is built otherwise than it knows: then it explains nothing."""


@dataclass(frozen=True, slots=True)
class Case:
    """All that is known of one finding, for hypotheses to explain; arrays are those of the judging precision.

    Attributes:
        finding: What differs.
        kind: Class of the reference's module.
        settings: Plain attributes of the reference's module.
        candidate_kind: Class of the candidate's module.
        candidate_settings: Plain attributes of the candidate's module.
        parameters: The reference's own parameters of the module, by their last name, in the canonical layout; of a
            finding about a parameter, all parameters of the model by their whole names.
        inputs: What the reference's module was given.
        expected: What it made of it; for a parameter or statistic, the reference's value.
        found: What the candidate made of the same; for a parameter or statistic, the candidate's value.
        children: What went through the modules in the candidate's meanwhile: `norm1:0/input/0`, `norm1:0/output/0`.
        reference_children: What goes through them in the reference, under the same names.
        extra: What else a kind of finding has.
    """

    finding: Finding
    expected: tuple[Any, ...]
    found: tuple[Any, ...]
    kind: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    candidate_kind: str = ""
    candidate_settings: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    inputs: tuple[Any, ...] = ()
    children: Mapping[str, Any] = field(default_factory=dict)
    reference_children: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the candidate would have given if it had made one known mistake.

    Attributes:
        name: Short name of the mistake.
        says: What is wrong, in a sentence.
        look_at: The line or attribute that is likely to be it.
        arrays: What the candidate would have given.
        before: What should be there, where that is not `Case.expected`.
        found: What is there, where that is not `Case.found`.
    """

    name: str
    says: str
    look_at: str
    arrays: Sequence[Array]
    before: Sequence[Array] | None = None
    found: Sequence[Array] | None = None


Hypotheses: TypeAlias = Callable[[Case], Iterator[Prediction]]
"""Some hypotheses about one kind of finding: yields a prediction for each that applies to the case."""


def predictions(generators: Iterable[Callable[[T], Iterator[Prediction]]], case: T) -> Iterator[Prediction]:
    """What each of some hypotheses predicts; one that does not apply ends there, and the next one is tried."""
    for generator in generators:
        with suppress(*DO_NOT_APPLY):
            yield from generator(case)


def distance(expected: Sequence[Array], found: Sequence[Array]) -> float:
    """Relative L2 between two sequences of arrays; infinite where they do not fit or are not finite."""
    if len(expected) != len(found) or not expected:
        return math.inf
    if any(left.shape != right.shape for left, right in zip(expected, found, strict=True)):
        return math.inf
    with np.errstate(all="ignore"):
        apart = math.sqrt(
            sum(float(np.sum(np.square(a.astype(np.float64) - b))) for a, b in zip(expected, found, strict=True))
        )
        norm = math.sqrt(sum(float(np.sum(np.square(b.astype(np.float64)))) for b in found))
    if not math.isfinite(apart) or not math.isfinite(norm):
        return math.inf
    return 0.0 if apart == 0 else apart / norm if norm else math.inf


def cause_of(prediction: Prediction, before: float, after: float, *, limit: float, smallest: float) -> Cause | None:
    """The mistake that a prediction stands for, if it explains the difference down to rounding.

    Args:
        prediction: What the candidate would have given with the mistake.
        before: Distance of what the candidate gave from what it should have given.
        after: Distance of what the candidate gave from the prediction.
        limit: The largest `after` that is rounding; NaN explains nothing.
        smallest: The largest `before` that is not worth an explanation.
    """
    if before <= smallest or not after <= limit or not after <= before / 4:
        return None
    return Cause(prediction.name, prediction.says, prediction.look_at, before, after)


def limit_of(case: Case) -> float:
    """How far apart a prediction and what it explains may be: rounding, of NumPy beside the framework."""
    if case.finding.kind == "parameter":
        return 1e-6  # weights are float32 in every precision
    precise = all(array.dtype != np.float32 for array in case.found)
    return 1e-9 if precise else 2e-5
