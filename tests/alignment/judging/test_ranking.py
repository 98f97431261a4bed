"""Rankings and metrics: equal, or explained by ties in the reference's scores."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from alignment.judging.measuring import measure
from alignment.judging.ranking import judge_metric, judge_ranking
from alignment.results.report import DIVERGENCE, ROUNDING

SCORES = np.array([[5.0, 4.0, 4.0000001, 1.0], [1.0, 2.0, 3.0, 4.0]])
REFERENCE = np.array([[0, 2, 1], [3, 2, 1]])
Ranking = npt.NDArray[np.int64]


def judged(
    candidate: Ranking, scores: npt.NDArray[np.float64] | None = SCORES, gap: float = 1e-6
) -> tuple[str, str, int]:
    judgement, tied = judge_ranking(measure(REFERENCE, candidate), REFERENCE, candidate, scores, gap, ROUNDING)
    return judgement.verdict, judgement.reason, tied


def test_an_equal_ranking_needs_no_scores() -> None:
    assert judged(REFERENCE.copy(), None) == (ROUNDING, "exactly equal", 0)


def test_a_tie_explains_a_swap() -> None:
    verdict, reason, tied = judged(np.array([[0, 1, 2], [3, 2, 1]]))
    assert (verdict, tied) == (ROUNDING, 1)
    assert "ties in 1 of 2 samples" in reason


@pytest.mark.parametrize(
    ("candidate", "message"),
    [
        ([[2, 0, 1], [3, 2, 1]], "scores are 1.0e\\+00 apart"),
        ([[0, 2, 2], [3, 2, 1]], "names a class twice"),
        ([[0, 2, 9], [3, 2, 1]], "no index of the 4 scores"),
        ([[0, 2, -1], [3, 2, 1]], "no index of the 4 scores"),
    ],
)
def test_anything_but_a_tie_is_a_divergence(candidate: list[list[int]], message: str) -> None:
    verdict, reason, tied = judged(np.array(candidate))
    assert (verdict, tied) == (DIVERGENCE, 0)
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(reason)


def test_a_swap_without_scores_or_with_nan_scores_is_a_divergence() -> None:
    swapped = np.array([[0, 1, 2], [3, 2, 1]])
    assert "no scores are recorded" in judged(swapped, None)[1]
    assert "do not fit" in judged(swapped, SCORES[:1])[1]
    assert judged(swapped, SCORES * np.nan)[0] == DIVERGENCE


@pytest.mark.parametrize(
    ("reference", "candidate", "tied", "verdict"),
    [
        (0.5, 0.5, 0, ROUNDING),
        (0.5, 0.75, 1, ROUNDING),
        (0.5, 1.0, 1, DIVERGENCE),
        (0.5, 0.75, 0, DIVERGENCE),
        (50.0, 75.0, 1, ROUNDING),
        (50.0, 100.0, 1, DIVERGENCE),
        (0.5, float("nan"), 1, DIVERGENCE),
    ],
)
def test_a_metric_is_off_by_tied_samples_at_most(reference: float, candidate: float, tied: int, verdict: str) -> None:
    measured = measure(np.array(reference), np.array(candidate))
    assert judge_metric(measured, tied, 4, ROUNDING).verdict == verdict


def test_classes_that_a_mask_has_filled_with_infinities_are_tied() -> None:
    scores = np.array([[5.0, -np.inf, -np.inf, 1.0], [1.0, 2.0, 3.0, 4.0]])
    reference, candidate = np.array([[0, 3, 1], [3, 2, 1]]), np.array([[0, 3, 2], [3, 2, 1]])
    judgement, tied = judge_ranking(measure(reference, candidate), reference, candidate, scores, 1e-6, ROUNDING)
    assert (judgement.verdict, tied) == (ROUNDING, 1)
