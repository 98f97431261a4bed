"""Rankings (the classes of the top five) and metrics counted from them (top-1 accuracy): equal, or tied in the scores.

Two classes whose scores lie closer together than rounding can move them may come in either order. Such a swap is
explained by the reference's own scores, nothing else is.
"""

from __future__ import annotations

import numpy as np

from alignment.arrays import Array
from alignment.judging.measuring import Measurement
from alignment.judging.tolerance import Judgement, settled_by_equality, worst
from alignment.results.report import DIVERGENCE, Verdict


def judge_ranking(
    measured: Measurement, reference: Array, candidate: Array, scores: Array | None, gap: float, verdict: Verdict
) -> tuple[Judgement, int]:
    """Judge a ranking: equal, or different only where the scores are tied.

    Args:
        measured: The candidate's ranking against the reference's.
        reference: Classes in order of their scores, integers of shape (batch, k).
        candidate: The candidate's ranking, of the same shape.
        scores: The reference's scores, (batch, classes), in the best precision there is; None where not recorded.
        gap: Two scores of one sample at most this far apart are a tie.
        verdict: What it proves if the ranking is equal, or equal but for ties.

    Returns:
        The judgement, and the number of samples whose ranking differs by a tie.
    """
    if (settled := settled_by_equality(measured, verdict)) is not None:
        return settled, 0
    problem = _unexplained(reference, candidate, scores, gap)
    if problem is not None:
        return Judgement(DIVERGENCE, f"{problem}; {worst(measured)}"), 0
    tied = int(np.count_nonzero((reference != candidate).any(axis=1)))
    reason = f"equal but for ties in {tied} of {len(reference)} samples: their scores are within {gap:.1e}"
    return Judgement(verdict, reason), tied


def judge_metric(measured: Measurement, tied: int, samples: int, verdict: Verdict) -> Judgement:
    """Judge a metric that counts samples: equal, or off by no more than the samples whose ranking is tied.

    Args:
        measured: The candidate's metric against the reference's; a fraction, or a percentage where it exceeds one.
        tied: Samples whose ranking differs by a tie in the same step.
        samples: Number of all samples.
        verdict: What equality proves.
    """
    if (settled := settled_by_equality(measured, verdict)) is not None:
        return settled
    whole = 100.0 if measured.reference_max > 1 or measured.max_abs > 1 else 1.0
    if tied and measured.max_abs <= whole * (tied / samples) * (1 + 1e-6):
        return Judgement(verdict, f"explained by {tied} tied of {samples} samples", error=measured.rel_l2)
    reason = f"metrics must be equal unless a tie explains the difference; {worst(measured)}"
    return Judgement(DIVERGENCE, reason, error=measured.rel_l2)


def _unexplained(reference: Array, candidate: Array, scores: Array | None, gap: float) -> str | None:
    different = "the classes differ"
    if scores is None:
        return f"{different}, and no scores are recorded that could show a tie"
    if reference.ndim != 2 or scores.ndim != 2 or len(scores) != len(reference):
        return f"{different}, and the scores do not fit the ranking"
    for ranking in (reference, candidate):
        if ranking.min() < 0 or ranking.max() >= scores.shape[1]:
            return f"{different}, and some are no index of the {scores.shape[1]} scores"
    ordered = np.sort(candidate, axis=1)
    if (ordered[:, 1:] == ordered[:, :-1]).any():
        return f"{different}, and the candidate names a class twice"
    scores = scores.astype(np.float64)
    one, other = (np.take_along_axis(scores, ranking, 1) for ranking in (reference, candidate))
    apart = np.abs(np.subtract(one, other, out=np.zeros_like(one), where=one != other))
    if not (apart <= gap).all():
        return f"{different} where the scores are {np.max(apart):.1e} apart, which {gap:.1e} of noise does not explain"
    return None
