"""Losses and metrics of a candidate, computed from the reference's logits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from alignment.arrays import Array
from alignment.backends.base import Backend, Outputs, Tap, Taps
from alignment.pair.inputs import Inputs
from alignment.steps import STEPS
from alignment.steps.base import Quantity, Trial

FUNCTION_STEPS = ("loss", "metric")
_GIVEN = ("metric/logits",)


def function_quantities(trial: Trial, logits: Array) -> Iterator[Quantity]:
    """What the loss and metric steps record of these logits; nothing if the model does not classify."""
    if not trial.pair.classifies:
        return
    with_logits = replace(trial, computed=Outputs(logits, ()))
    for step in FUNCTION_STEPS:
        for quantity in STEPS[step].run(with_logits):
            if quantity.key not in _GIVEN:
                yield quantity


def loss_gradient(backend: Backend, taps: Taps, inputs: Inputs, logits: Array) -> tuple[Array, Array | None]:
    """The training loss of these logits, and its gradient with respect to them; None if no gradient arrives there."""
    gradients: list[Array] = []

    def visit(tap: Tap, array: Array) -> None:
        if tap.path == "" and tap.what == "output_gradient":
            gradients.append(array)

    with taps.watch(visit, {("", 0): [logits]}):
        loss = backend.backward(inputs.images, inputs.soft_targets)
    return loss, gradients[0] if gradients else None
