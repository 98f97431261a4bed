"""The functions around a model, losses and metrics, each fed with the reference's logits."""

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
    """What the loss and metric steps record where the model gives these logits; nothing if it gives none."""
    if not trial.pair.classifies:
        return
    given = replace(trial, backend=trial.backend)
    given.__dict__["outputs"] = Outputs(logits, ())  # in the place of what the cached property would compute
    for step in FUNCTION_STEPS:
        for quantity in STEPS[step].run(given):
            if quantity.key not in _GIVEN:
                yield quantity


def loss_gradient(backend: Backend, taps: Taps, inputs: Inputs, logits: Array) -> tuple[Array, Array | None]:
    """The loss that training uses, of these logits, and its gradient with regard to them."""
    found: list[Array] = []

    def visit(tap: Tap, array: Array) -> None:
        if tap.path == "" and tap.what == "output_gradient":
            found.append(array)

    with taps.watch(visit, {("", 0): [logits]}):
        loss = backend.backward(inputs.images, inputs.soft_targets)
    return loss, found[0] if found else None
