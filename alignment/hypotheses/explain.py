"""Why something differs: known mistakes, tried one by one until one explains the difference down to rounding.

A hypothesis computes with NumPy what the candidate would have given if it had made that mistake, from the reference's
inputs and weights. It explains a finding if that is what the candidate gave. The arithmetic of the frameworks takes no
part in it, so that one set of hypotheses serves them all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace

from alignment.arrays import Array
from alignment.hypotheses import COSTLY, HYPOTHESES, LAST
from alignment.hypotheses.base import DO_NOT_APPLY, Case, Prediction, cause_of, distance, predictions
from alignment.hypotheses.parameters import differing
from alignment.results.findings import Cause, Finding

_MOST = 3
_EXPLAINED = 0.01
"""Share of the difference of one tensor that a mistake which explains it may leave."""


def explain(case: Case) -> Finding:
    """Return the finding of a case with the known mistakes that explain it, the best first.

    Of a parameter it also holds which elements differ, where these are few: that is evidence, and explains nothing.
    """
    before = distance(case.expected, case.found)
    causes: list[Cause] = []
    last: list[Cause] = []
    tried = 0
    for hypotheses in HYPOTHESES[case.finding.kind]:
        if hypotheses in COSTLY and (causes or last):
            continue
        for prediction in predictions((hypotheses,), case):
            tried += 1
            with suppress(*DO_NOT_APPLY):
                cause = _cause(case, prediction, before)
                if cause is not None:
                    (last if hypotheses is LAST else causes).append(cause)
                    if hypotheses in COSTLY:
                        break
    causes = [*sorted(causes, key=lambda cause: cause.after > case.limit / 100), *last]
    evidence = (*case.finding.evidence, *(differing(case) if case.finding.kind == "parameter" else ()))
    return replace(case.finding, causes=tuple(causes), tried=tried, evidence=evidence)


def agree(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings with their likeliest causes first, and the least likely left out.

    An accuracy can be wrong in the same way for many reasons. One mistake that explains all functions that are wrong is
    likelier than one for each.
    """
    findings = list(findings)
    functions = [finding for finding in findings if finding.kind == "function"]
    shared = Counter(name for finding in functions for name in {cause.name for cause in finding.causes})

    def ordered(finding: Finding) -> tuple[Cause, ...]:
        return tuple(sorted(finding.causes, key=lambda cause: -shared[cause.name])[:_MOST])

    return [replace(finding, causes=ordered(finding)) for finding in findings]


def _cause(case: Case, prediction: Prediction, before: float) -> Cause | None:
    actual = case.found if prediction.found is None else prediction.found
    right = case.expected if prediction.before is None else prediction.before
    before = before if prediction.before is None else distance(right, actual)
    after = distance(prediction.arrays, actual)
    if not all(_is_explained(*arrays, case.limit) for arrays in zip(prediction.arrays, right, actual, strict=False)):
        return None
    smallest = 0.0 if case.finding.kind == "parameter" else case.limit / 100
    return cause_of(prediction, before, after, limit=case.limit, smallest=smallest)


def _is_explained(predicted: Array, right: Array, actual: Array, limit: float) -> bool:
    """False for a tensor that differs and that a prediction does not explain, however small it is beside the others."""
    after = distance([predicted], [actual])
    return after <= limit or after <= _EXPLAINED * distance([right], [actual])
