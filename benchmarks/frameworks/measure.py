"""Measures cases: both frameworks run each one, in float64 and float32, and the results are compared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from alignment.framework_facts import BEHAVIOUR, LIMIT, PRECISION, SAME, Difference, Fact
from benchmarks.frameworks import paddle_side, torch_side
from benchmarks.frameworks.case import LAYER, Case

_MOST_PRECISION = 1e-6
"""Largest error in float64 that constants in float32 explain."""
_ZERO = 1e-10
"""Norm of a quantity below which its error counts as it is, not divided by the norm."""


def measure(group: str, case: Case) -> Fact:
    """Return how Paddle's counterpart of a case differs from torch's.

    Raises:
        ValueError: torch itself cannot run the case, so that it compares nothing.
    """
    differences: list[Difference] = []
    told: list[str] = []
    for training in (False, True) if case.kind == LAYER else (False,):
        found, error = _compared(case, training)
        differences += found
        told += [f"in {_mode(training)}: {error}" if case.kind == LAYER else error] if error else []
    differences = once(differences)
    kind = _kind(case, differences, told)
    return Fact(
        group,
        case.torch,
        case.paddle,
        tuple(given.label for given in case.inputs),
        kind,
        tuple(differences),
        "; ".join(filter(None, [case.note, *told])) if kind == BEHAVIOUR else "",
        None if kind == BEHAVIOUR else _float32(case),
    )


def _kind(case: Case, differences: list[Difference], told: list[str]) -> str:
    if case.alone and case.note:
        return BEHAVIOUR  # where memory is read that is not there, a run can agree by chance
    if not differences and not told:
        return SAME
    wide = any(difference.error is None or difference.error > _MOST_PRECISION for difference in differences)
    return BEHAVIOUR if wide or told or case.note else PRECISION


def _mode(training: bool) -> str:
    return "training" if training else "evaluation"


def _compared(case: Case, training: bool) -> tuple[list[Difference], str]:
    """Return what differs in float64, and what Paddle raised."""
    pairs, error = _pairs(case, "float64", training)
    found = [Difference(name, training, rounded(distance(ours, theirs))) for name, ours, theirs in pairs]
    return [one for one in found if one.error is None or one.error > LIMIT], error


def _pairs(case: Case, dtype: str, training: bool) -> tuple[list[tuple[str, Any, Any]], str]:
    reference = torch_side.run(case, "float64", training)
    if reference.error:
        raise ValueError(f"{case.key}: torch raises {reference.error}")
    outcome = paddle_side.run(case, dtype, training, reference.weights)
    return ([], outcome.error) if outcome.error else (paddle_side.matched(outcome, reference), "")


def once(differences: Iterable[Difference]) -> list[Difference]:
    """Leave out what is the same in training as in evaluation."""
    differences = list(differences)
    before = {(one.quantity, one.error, one.dtype) for one in differences if not one.training}
    return [one for one in differences if not one.training or (one.quantity, one.error, one.dtype) not in before]


def _float32(case: Case) -> tuple[float, float]:
    """Return the largest errors in float32 of Paddle and of torch, against torch's float64."""
    exact = torch_side.run(case, "float64", False)
    rounded = torch_side.run(case, "float32", False)
    own = [distance(rounded.quantities[name], exact.quantities[name]) for name in exact.quantities]
    pairs, _ = _pairs(case, "float32", False)
    theirs = [distance(ours, reference) for _, ours, reference in pairs]
    return _largest(theirs), _largest(own)


def _largest(errors: Iterable[float | None]) -> float:
    return max((rounded(error) or 0.0 for error in errors), default=0.0)


def rounded(error: float | None) -> float | None:
    """Return an error with two digits, as the page has it."""
    return None if error is None else float(f"{error:.1e}")


def distance(ours: npt.NDArray[Any], theirs: npt.NDArray[Any] | None) -> float | None:
    """Return the relative L2 distance of two arrays; None where it means nothing: shapes or infinities differ."""
    if theirs is None or ours.shape != theirs.shape:
        return None
    ours, theirs = ours.astype(np.float64), theirs.astype(np.float64)
    finite = np.isfinite(theirs)
    if not np.array_equal(ours[~finite], theirs[~finite], equal_nan=True) or not np.isfinite(ours[finite]).all():
        return None
    norm = np.linalg.norm(theirs[finite])
    return float(np.linalg.norm(ours[finite] - theirs[finite]) / (norm if norm > _ZERO else 1.0))


def measured(tables: dict[str, tuple[Case, ...]]) -> Iterator[Fact]:
    """Yield the facts of all cases, in order."""
    for group, cases in tables.items():
        for case in cases:
            yield measure(group, case)
