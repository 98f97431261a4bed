"""What half precision cannot tell: results that the reference itself overflows in, and errors below its rounding."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from alignment.arrays import HALVES, is_floating
from alignment.recordings.recording import Recorded
from alignment.results.report import ROUNDING, Row

_NAMES = 6
_FEWER_BITS = 2.0**-6
"""Largest error, over the measured noise, of what was computed in a wider precision than asked for."""
_KINDS = (("output", "outputs"), ("gradient", "gradients"), ("loss", "losses"))


def overflown(dtype: str, reference: Recorded, exact: Recorded | None) -> tuple[str, ...]:
    """Return the quantities that are finite in the float64 reference and are not in half precision.

    Args:
        dtype: The precision of the reference; in float32 and float64 nothing is left out.
        reference: Its recording.
        exact: Its recording in float64; None where there is none.
    """
    if dtype not in HALVES or exact is None:
        return ()
    both = [key for key in reference if key in exact and is_floating(reference[key])]
    return tuple(key for key in both if np.any(np.isfinite(exact[key]) & ~np.isfinite(reference[key])))


def notes_on_overflow(dtype: str, keys: Sequence[str]) -> Iterator[str]:
    """Yield what is left out since the reference itself overflows."""
    if keys:
        more = f" and {len(keys) - _NAMES} more" if len(keys) > _NAMES else ""
        names = f"{', '.join(keys[:_NAMES])}{more}"
        yield f"left out in {dtype}, since the reference itself is not finite there: {names}"


def notes(rows: Sequence[Row], certified: Iterable[str]) -> Iterator[str]:
    """Yield how small an error each half precision can see, and whether the candidate computed in it at all.

    Args:
        rows: All rows of a report.
        certified: The precisions that the candidate was recorded in.
    """
    alone = "float64" not in certified
    for dtype in HALVES:
        own = [row for row in rows if row.dtype == dtype]
        judged = [row for row in own if row.admissible_error is not None and row.floor]
        seen = list(_resolution(judged))
        if seen:
            advice = f"; --dtype both,{dtype} sees smaller ones" if alone else ""
            yield f"{dtype} tells errors from rounding above {', '.join(seen)}{advice}"
        passed = [row.margin for row in judged if row.verdict == ROUNDING and row.kind != "loss" and row.margin]
        if passed and statistics.median(passed) < _FEWER_BITS:
            yield (
                f"the candidate's errors in {dtype} are far below its rounding: it computes in a wider precision, so "
                f"that nothing is known of its {dtype}"
            )


def _resolution(rows: Sequence[Row]) -> Iterator[str]:
    by_kind: Mapping[str, list[float]] = {
        words: [row.admissible_error or 0.0 for row in rows if row.kind == kind] for kind, words in _KINDS
    }
    for words, limits in by_kind.items():
        if limits:
            yield f"{statistics.median(limits):.1%} of the {words}"
