"""Mistakes that any module can have: lost, scaled, shifted; and gradients that are."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from alignment.arrays import Array
from alignment.hypotheses.base import FITTED, Case, Prediction, distance, predictions, ratio
from alignment.hypotheses.wiring import express

_DETACHED = "stop_gradient, detach or no_grad"
_FILLS = 2.0**-10
"""Elements below this share of the largest one are no fills."""
_TELLING = 1e-4
"""Distance from one of a factor that somebody may have written; another epsilon of a norm makes smaller ones."""
_GAP = 16.0
"""Fills are so many times as large as all other elements."""
_OF_OUTPUT = "given/output gradient 0"


def outputs(case: Case) -> Iterator[Prediction]:
    """Predict an output that is missing, scaled, shifted or in another order."""
    if len(case.expected) != 1 or not case.found or case.expected[0].shape != case.found[0].shape:
        return
    correct, actual = case.expected[0], case.found[0]
    for name, says, array in _changed_outputs(case, correct, actual):
        yield Prediction(name, says, case.place("forward"), [array])


def _changed_outputs(case: Case, correct: Array, actual: Array) -> Iterator[tuple[str, str, Array]]:
    yield "output lost", "it gives zeros", np.zeros_like(correct)
    if case.inputs and case.inputs[0].shape == correct.shape:
        x = case.inputs[0]
        yield "skipped", "it gives back what it gets", x
        yield "residual lost", "what it gets is not added to what it makes", correct - x
        yield "residual added", "what it gets is added once too often", correct + x
    if correct.size >= FITTED:
        scale, shift = ratio([correct], [actual]), float(np.mean(actual - correct))
        if abs(scale - 1) > _TELLING:
            yield "scaled", f"it is multiplied by {scale:.8g}", correct * scale
        if shift:
            yield "shifted", f"{shift:.4g} is added to it", correct + shift
    for axis in range(1, correct.ndim):
        yield "axis reversed", f"axis {axis} runs backwards", np.flip(correct, axis)
    if correct.ndim == 4 and correct.shape[2] == correct.shape[3]:
        yield "rows and columns swapped", "rows and columns are exchanged", correct.swapaxes(2, 3)
    if actual.dtype == np.float64 and np.array_equal(actual.astype(np.float32).astype(actual.dtype), actual):
        says = "it computes in float32 where float64 is asked for"
        yield "lower precision", says, correct.astype(np.float32).astype(correct.dtype)


def axes_lost(case: Case) -> Iterator[Prediction]:
    """Predict an output of the same numbers in another shape, as `squeeze` without an axis makes it of one input."""
    for correct, actual in zip(case.expected, case.found, strict=True):
        if correct.shape == actual.shape or correct.size != actual.size:
            continue
        says = f"it gives the shape {actual.shape}, where {correct.shape} is meant"
        if [size for size in correct.shape if size != 1] == [size for size in actual.shape if size != 1]:
            says += ": an axis of length one is lost or added; name the axis of squeeze"
        yield Prediction("shape", says, case.place("forward"), [correct.reshape(actual.shape)], [correct], [actual])


def beside_fills(case: Case) -> Iterator[Prediction]:
    """Predict an output that is scaled or shifted where no mask has filled it in with much larger numbers."""
    for correct, actual in zip(case.expected, case.found, strict=True):
        if correct.shape != actual.shape or correct.dtype.kind != "f" or not np.isfinite(correct).all():
            continue
        sizes = np.abs(correct)
        rest = sizes < _FILLS * sizes.max(initial=0.0)
        if not FITTED <= np.count_nonzero(rest) < rest.size or np.array_equal(correct[rest], actual[rest]):
            continue
        if distance([correct[~rest]], [actual[~rest]]) > case.limit:
            continue  # what fills it in is the same on both sides
        if sizes[~rest].min() < _GAP * sizes[rest].max():
            continue  # one distribution, of which nothing is filled in
        ours, theirs = actual[rest], correct[rest]
        beside = f"its elements beside fills of {correct.flat[sizes.argmax()]:.3g}"
        shift, scale = float(np.mean(ours - theirs)), ratio([theirs], [ours])
        for name, says, array in (
            ("shifted", f"{shift:.4g} is added to {beside}", theirs + shift),
            ("scaled", f"{beside} are multiplied by {scale:.8g}", theirs * scale),
        ):
            if name != "scaled" or abs(scale - 1) > _TELLING:
                yield Prediction(name, says, case.place("forward"), [array], [theirs], [ours])


def gradients(case: Case) -> Iterator[Prediction]:
    """Predict gradients that are lost, scaled, or lack the shortcut's, where the way forward is right."""
    if case.finding.direction == "backward":
        yield from predictions((_factors, _lost_ways, _frozen_norm, _detached_attention), case)


def _both(case: Case, name: str) -> tuple[Array, Array]:
    """Return a gradient of the reference and of the candidate."""
    return case.extra[f"expected/{name}"], case.extra[f"found/{name}"]


def _factors(case: Case) -> Iterator[Prediction]:
    """Predict gradients of which nothing or a multiple arrives, or one of two ways."""
    names = [name.removeprefix("expected/") for name in case.extra if name.startswith("expected/")]
    differing = [name for name in names if _differs(*_both(case, name))]
    if not differing:
        return
    correct, actual = map(list, zip(*(_both(case, name) for name in differing), strict=True))
    which = ", ".join(differing[:3]) + (", ..." if len(differing) > 3 else "")
    place, zeros = case.place(_DETACHED, "in"), [np.zeros_like(array) for array in correct]
    yield Prediction("gradient lost", f"nothing arrives at the {which}", place, zeros, correct, actual)
    if sum(array.size for array in correct) >= FITTED:
        scale = ratio(correct, actual)
        says = f"the {which} is multiplied by {scale:.8g}"
        if abs(scale - 1) > _TELLING:
            yield Prediction("gradient scaled", says, place, [array * scale for array in correct], correct, actual)
    gradient = case.extra.get(_OF_OUTPUT)
    if gradient is not None and differing[0].startswith("input") and gradient.shape == correct[0].shape:
        says = "no gradient flows through the shortcut"
        yield Prediction("shortcut detached", says, place, [correct[0] - gradient], correct[:1], actual[:1])
        says = "gradient flows through the shortcut only"
        yield Prediction("branch detached", says, place, [gradient], correct[:1], actual[:1])


def _lost_ways(case: Case) -> Iterator[Prediction]:
    """Predict a gradient of the input that is the sum of fewer ways than it should be."""
    correct, actual = _both(case, "input gradient 0")
    terms = {
        name.partition("/")[2]: array
        for name, array in case.extra.items()
        if name.startswith(("within/", "given/")) and array.shape == correct.shape
    }
    theirs, ours = express(correct, terms), express(actual, terms)
    if theirs is None or ours is None or set(theirs.terms) <= set(ours.terms):
        return
    says = f"the gradient of its input is {ours}, not {theirs}"
    yield Prediction("way detached", says, case.place(_DETACHED, "in"), [ours.array], [correct], [actual])


def _detached_attention(case: Case) -> Iterator[Prediction]:
    """Predict attention weights through which no gradient flows: queries and keys get none."""
    for name in [name.removeprefix("expected/") for name in case.extra if name.endswith("qkv.weight")][:1]:
        correct, actual = _both(case, name)
        predicted = correct.copy()
        predicted[: 2 * len(correct) // 3] = 0
        place = f"{case.finding.candidate}: detach or no_grad around the softmax"
        says = "no gradient arrives at queries and keys"
        yield Prediction("gradient lost", says, place, [predicted], [correct], [actual])


def _frozen_norm(case: Case) -> Iterator[Prediction]:
    """Predict a batch normalisation whose backward takes the statistics of the batch for constants."""
    gradient, weight = case.extra.get(_OF_OUTPUT), case.parameters.get("weight")
    if gradient is None or weight is None or "BatchNorm" not in case.kind or case.finding.mode != "train":
        return
    correct, actual = _both(case, "input gradient 0")
    deviation = np.sqrt(case.inputs[0].var((0, 2, 3)) + float(case.settings.get("eps", 1e-5)))
    predicted = gradient * (weight / deviation)[:, None, None]
    says = "its gradient takes the statistics of the batch for constants"
    yield Prediction("frozen statistics", says, case.place("forward"), [predicted], [correct], [actual])


def _differs(correct: Array, actual: Array) -> bool:
    return bool(np.linalg.norm(correct - actual) > 1e-9 * np.linalg.norm(correct) + 1e-300)


GENERIC_HYPOTHESES = (outputs, axes_lost, beside_fills, gradients)
