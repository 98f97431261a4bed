"""Mistakes that any module can have: lost, scaled, shifted; and gradients that are."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from alignment.arrays import Array
from alignment.hypotheses.base import FITTED, Case, Prediction, predictions
from alignment.hypotheses.wiring import express


def outputs(case: Case) -> Iterator[Prediction]:
    """An output that is missing, scaled, shifted or in another order."""
    if len(case.expected) != 1 or not case.found or case.expected[0].shape != case.found[0].shape:
        return
    right, found = case.expected[0], case.found[0]
    place = f"{case.finding.candidate}: forward of its {case.candidate_kind}"
    yield Prediction("output lost", "it gives zeros", place, [np.zeros_like(right)])
    if case.inputs and case.inputs[0].shape == right.shape:
        x = case.inputs[0]
        yield Prediction("skipped", "it gives back what it gets", place, [x])
        yield Prediction("residual lost", "what it gets is not added to what it makes", place, [right - x])
        yield Prediction("residual added", "what it gets is added once too often", place, [right + x])
    if right.size >= FITTED:
        scale = float(np.vdot(right, found) / max(np.vdot(right, right), 1e-300))
        yield Prediction("scaled", f"it is multiplied by {scale:.8g}", place, [right * scale])
        shift = float(np.mean(found - right))
        yield Prediction("shifted", f"{shift:.4g} is added to it", place, [right + shift])
    for axis in range(1, right.ndim):
        says = f"axis {axis} runs backwards"
        yield Prediction("axis reversed", says, place, [np.flip(right, axis)])
    if right.ndim == 4 and right.shape[2] == right.shape[3]:
        says = "rows and columns are exchanged"
        yield Prediction("rows and columns swapped", says, place, [right.swapaxes(2, 3)])
    low = found.astype(np.float32).astype(found.dtype)
    if found.dtype == np.float64 and np.array_equal(low, found):
        says = "it computes in float32 where float64 is asked for"
        yield Prediction("lower precision", says, place, [right.astype(np.float32).astype(right.dtype)])


def gradients(case: Case) -> Iterator[Prediction]:
    """Gradients that are lost, scaled, or lack the shortcut's, where the way forward is right."""
    if case.finding.direction == "backward":
        yield from predictions((_factors, _lost_ways, _frozen_norm, _detached_attention), case)


def _factors(case: Case) -> Iterator[Prediction]:
    """Gradients of which nothing or a multiple arrives, or one of two ways."""
    names = [name.removeprefix("expected/") for name in case.extra if name.startswith("expected/")]
    differing = [name for name in names if _differs(case.extra[f"expected/{name}"], case.extra[f"found/{name}"])]
    if not differing:
        return
    right = [case.extra[f"expected/{name}"] for name in differing]
    found = [case.extra[f"found/{name}"] for name in differing]
    which = ", ".join(differing[:3]) + (", ..." if len(differing) > 3 else "")
    place = f"{case.finding.candidate}: stop_gradient, detach or no_grad in its {case.candidate_kind}"
    zeros = [np.zeros_like(array) for array in right]
    yield Prediction("gradient lost", f"nothing arrives at the {which}", place, zeros, right, found)
    if sum(array.size for array in right) >= FITTED:
        scale = sum(float(np.vdot(a, b)) for a, b in zip(right, found, strict=True))
        scale /= max(sum(float(np.vdot(a, a)) for a in right), 1e-300)
        says = f"the {which} is multiplied by {scale:.8g}"
        yield Prediction("gradient scaled", says, place, [array * scale for array in right], right, found)
    given = case.extra.get("given/output gradient 0")
    if given is not None and differing[0].startswith("input") and given.shape == right[0].shape:
        says = "no gradient flows through the shortcut"
        yield Prediction("shortcut detached", says, place, [right[0] - given], right[:1], found[:1])
        says = "gradient flows through the shortcut only"
        yield Prediction("branch detached", says, place, [given], right[:1], found[:1])


def _lost_ways(case: Case) -> Iterator[Prediction]:
    """A gradient of the input that is the sum of fewer ways than it should be."""
    names = ("expected/input gradient 0", "found/input gradient 0")
    if any(name not in case.extra for name in names):
        return
    right, found = (case.extra[name] for name in names)
    terms = {
        name.partition("/")[2]: array
        for name, array in case.extra.items()
        if name.startswith(("within/", "given/")) and array.shape == right.shape
    }
    theirs, ours = express(right, terms), express(found, terms)
    if theirs is None or ours is None or set(theirs.terms) <= set(ours.terms):
        return
    says = f"the gradient of its input is {ours}, not {theirs}"
    place = f"{case.finding.candidate}: stop_gradient, detach or no_grad in its {case.candidate_kind}"
    yield Prediction("way detached", says, place, [ours.array], [right], [found])


def _detached_attention(case: Case) -> Iterator[Prediction]:
    """Attention weights through which no gradient flows: queries and keys get none."""
    name = next((name.removeprefix("expected/") for name in case.extra if name.endswith("qkv.weight")), None)
    if name is None:
        return
    right, found = case.extra[f"expected/{name}"], case.extra[f"found/{name}"]
    predicted = right.copy()
    predicted[: 2 * len(right) // 3] = 0
    place = f"{case.finding.candidate}: detach or no_grad around the softmax"
    says = "no gradient arrives at queries and keys"
    yield Prediction("gradient lost", says, place, [predicted], [right], [found])


def _frozen_norm(case: Case) -> Iterator[Prediction]:
    """Batch normalisation whose backward takes the statistics of the batch for constants."""
    given, weight = case.extra.get("given/output gradient 0"), case.parameters.get("weight")
    if given is None or weight is None or "BatchNorm" not in case.kind or case.finding.mode != "train":
        return
    x, names = case.inputs[0], ("expected/input gradient 0", "found/input gradient 0")
    if any(name not in case.extra for name in names):
        return
    deviation = np.sqrt(x.var((0, 2, 3)) + float(case.settings.get("eps", 1e-5)))
    predicted = given * (weight / deviation)[:, None, None]
    says = "its gradient takes the statistics of the batch for constants"
    place = f"{case.finding.candidate}: forward of its {case.candidate_kind}"
    right, found = (case.extra[name] for name in names)
    yield Prediction("frozen statistics", says, place, [predicted], [right], [found])


def _differs(right: Array, found: Array) -> bool:
    return bool(np.linalg.norm(right - found) > 1e-9 * np.linalg.norm(right) + 1e-300)


GENERIC_HYPOTHESES = (outputs, gradients)
