"""What a hypothesis is given, and what it answers."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

import numpy as np

from alignment.arrays import Array
from alignment.hypotheses.bench import Bench
from alignment.results.findings import Cause, Finding

T = TypeVar("T")
FITTED = 4
"""Elements that have to agree for each number that a hypothesis fits to them, else the fit says nothing."""
_EMPTY = re.compile(r"multiplied by 1(?![\d.e])|\b(?:is|has|computes) ([^\s,;:]+), not \1(?=[,;:)]|\s(?!\+)|$)")
"""A sentence that says nothing, since two numbers are the same once they are printed."""
DO_NOT_APPLY = (ArithmeticError, LookupError, TypeError, ValueError)
"""What a hypothesis may raise of what is built otherwise than it knows: then it explains nothing."""


@dataclass(frozen=True, slots=True)
class Case:
    """One finding with its evidence, for hypotheses to explain; arrays are those of the judging precision.

    Attributes:
        finding: What differs.
        expected: The reference's outputs; for a parameter or statistic, the reference's value.
        found: The candidate's outputs for the same inputs; for a parameter or statistic, the candidate's value.
        kind: Class of the reference's module.
        settings: Plain attributes of the reference's module.
        candidate_kind: Class of the candidate's module.
        candidate_settings: Plain attributes of the candidate's module.
        parameters: The reference's own parameters of the module, by their last name, in the canonical layout; of a
            finding about a parameter, all parameters of the model by their whole names.
        inputs: Inputs of the reference's module.
        children: Inputs and outputs of the modules within the candidate's: `norm1:0/input/0`, `norm1:0/output/0`.
        reference_children: Those of the modules within the reference's, under the same names.
        extra: Further arrays that a kind of finding has.
        bench: Runs the candidate's module with something changed; makes nothing until it is called. None where it
            cannot be run.
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
    bench: Callable[[], Bench | None] | None = None

    @property
    def limit(self) -> float:
        """Largest distance of a prediction from what it explains: rounding, of NumPy beside the framework."""
        if self.finding.kind == "parameter":
            return 1e-6  # weights are float32 in every precision
        return 1e-9 if all(array.dtype != np.float32 for array in self.found) else 2e-5

    def place(self, what: str, where: str = "of") -> str:
        """Return where to look in the candidate's module, for `Prediction.look_at`."""
        return f"{self.finding.candidate or 'the model'}: {what} {where} its {self.candidate_kind}"


@dataclass(frozen=True, slots=True)
class Prediction:
    """The outputs of a candidate that makes one known mistake.

    Attributes:
        name: Short name of the mistake.
        says: What is wrong, in a sentence.
        look_at: The line or attribute that is likely to be it.
        arrays: What the candidate would have given.
        before: What should be there, where that is not `Case.expected`.
        found: What is there, where that is not `Case.found`.
        keys: Key of each array, where these are recorded quantities of a check point of training.
    """

    name: str
    says: str
    look_at: str
    arrays: Sequence[Array]
    before: Sequence[Array] | None = None
    found: Sequence[Array] | None = None
    keys: Sequence[str] = ()


Hypotheses: TypeAlias = Callable[[Case], Iterator[Prediction]]
"""Some hypotheses about one kind of finding: yields a prediction for each that applies to the case."""


def predictions(generators: Iterable[Callable[[T], Iterator[Prediction]]], case: T) -> Iterator[Prediction]:
    """Yield what each of some hypotheses predicts; one that does not apply ends there, and the next one is tried."""
    for generator in generators:
        with suppress(*DO_NOT_APPLY):
            yield from generator(case)


def ratio(expected: Sequence[Array], found: Sequence[Array]) -> float:
    """Return the factor that arrays are multiplied by, fitted by least squares."""
    product = sum(float(np.vdot(a, b)) for a, b in zip(expected, found, strict=True))
    return product / max(sum(float(np.vdot(a, a)) for a in expected), 1e-300)


def distance(expected: Sequence[Array], found: Sequence[Array]) -> float:
    """Return the relative L2 between two sequences of arrays; infinite where shapes differ or values are not finite."""
    if len(expected) != len(found) or not expected:
        return math.inf
    if any(a.shape != b.shape for a, b in zip(expected, found, strict=True)):
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
    """Return the mistake that a prediction stands for, if it explains the difference down to rounding.

    Args:
        prediction: What the candidate would have given with the mistake.
        before: Distance of what the candidate gave from what it should have given.
        after: Distance of what the candidate gave from the prediction.
        limit: The largest `after` that is rounding; NaN explains nothing.
        smallest: The largest `before` that is not worth an explanation.
    """
    if before <= smallest or not after <= limit or not after <= before / 4 or _EMPTY.search(prediction.says):
        return None
    return Cause(prediction.name, prediction.says, prediction.look_at, before, after)
