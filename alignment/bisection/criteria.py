"""Losses and metrics of the candidate, given the reference's logits, for findings about functions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from alignment.arrays import Array
from alignment.backends.base import Backend, Outputs, Tap, Taps
from alignment.bisection.evidence import Reference
from alignment.hypotheses.base import Case
from alignment.pair.inputs import Inputs
from alignment.results.findings import Evidence, Finding
from alignment.results.report import DIVERGENCE
from alignment.steps import STEPS
from alignment.steps.base import Quantity, Trial

LOGITS = "logits"
"""Key, behind the mode, of the logits among several outputs; those of a model with one are that of its tap."""


def function_quantities(trial: Trial, logits: Array) -> Iterator[Quantity]:
    """What the loss and metric steps record of these logits; nothing if the model does not classify."""
    if not trial.pair.classifies:
        return
    with_logits = replace(trial, computed=Outputs(logits, ()))
    for step in ("loss", "metric"):
        for quantity in STEPS[step].run(with_logits):
            if quantity.key != "metric/logits":
                yield quantity


def function_cases(trial: Trial, taps: Taps, reference: Reference) -> Iterator[Case]:
    """Losses and metrics of the candidate that give something else of the reference's logits, with their evidence."""
    dtype = trial.inputs.dtype
    among_others = reference.get(f"eval/{LOGITS}", dtype)
    logits = reference.get("eval/tap/:0/output/0", dtype) if among_others is None else among_others
    if logits is None:
        return
    for quantity in function_quantities(trial, logits):
        expected = reference.get(f"eval/{quantity.key}", dtype)
        if expected is None:
            continue
        if quantity.entry.kind == "loss":
            judged = reference.judge(f"eval/{quantity.key}", "loss", np.asarray(quantity.array), dtype)
            wrong = judged is not None and judged.verdict == DIVERGENCE
            error, reason = (judged.error, judged.reason) if judged else (None, "")
        else:
            wrong = expected.shape != quantity.array.shape or not np.array_equal(expected, quantity.array)
            error, reason = None, f"{_short(quantity.array)} instead of {_short(expected)}"
        if wrong:
            evidence = Evidence("given the reference's logits", error, reason)
            finding = Finding("function", quantity.key, quantity.key, "eval", "forward", (evidence,))
            yield _case(trial.inputs, finding, expected, np.asarray(quantity.array), logits)
    untaken = replace(trial, computed=Outputs(logits, ())).untaken  # another loss took its place
    if taps.gradients and trial.pair.classifies and among_others is None and not untaken:
        yield from _loss_gradient(trial, taps, reference, logits)


def _loss_gradient(trial: Trial, taps: Taps, reference: Reference, logits: Array) -> Iterator[Case]:
    dtype = trial.inputs.dtype
    loss, gradient = _gradient_of_loss(trial.backend, taps, trial.inputs, logits)
    expected = reference.get("eval/tap/:0/output_gradient/0", dtype)
    value = reference.get("eval/loss", dtype)
    if expected is None or value is None:
        return
    gradient = np.zeros_like(expected) if gradient is None else gradient
    judged = [
        ("loss", reference.judge("eval/loss", "loss", loss, dtype)),
        ("gradient", reference.judge("eval/tap/:0/output_gradient/0", "gradient", gradient, dtype)),
    ]
    failed = [(what, judgement) for what, judgement in judged if judgement and judgement.verdict == DIVERGENCE]
    if failed:
        evidence = tuple(
            Evidence(f"{what}, given the reference's logits", judgement.error, judgement.reason)
            for what, judgement in failed
        )
        direction = "forward" if failed[0][0] == "loss" else "backward"
        finding = Finding("function", "bp/soft_target", "bp/soft_target", "eval", direction, evidence)
        case = _case(trial.inputs, finding, value, loss, logits)
        yield replace(case, extra={**case.extra, "expected_gradient": expected, "found_gradient": gradient})


def _case(inputs: Inputs, finding: Finding, expected: Array, computed: Array, logits: Array) -> Case:
    extra = {
        "logits": logits,
        "labels": inputs.labels,
        "soft_targets": inputs.soft_targets,
        "planted_scores": inputs.planted_scores,
        "planted_labels": inputs.planted_labels,
    }
    return Case(finding, (expected,), (computed,), extra=extra)


def _gradient_of_loss(backend: Backend, taps: Taps, inputs: Inputs, logits: Array) -> tuple[Array, Array | None]:
    """The training loss of these logits, and its gradient with respect to them; None if no gradient arrives there."""
    gradients: list[Array] = []

    def visit(tap: Tap, array: Array) -> None:
        if tap.path == "" and tap.what == "output_gradient":
            gradients.append(array)

    with taps.watch(visit, {("", 0): [logits]}):
        loss = backend.backward(inputs.batch, inputs.soft_targets)
    return loss, gradients[0] if gradients else None


def _short(array: Array) -> str:
    return np.array2string(np.asarray(array), precision=6, threshold=6, edgeitems=2).replace("\n", "")
