"""What becomes of a tensor on its way from one module to the next: axes exchanged, other ids, another mask."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

import numpy as np

from alignment.arrays import Array
from alignment.hypotheses.base import Case, Prediction, predictions
from alignment.hypotheses.wiring import first_difference, words

_MOST_AXES = 5
_HIDDEN = 1e3
"""What is added to a score that is hidden is below minus this, and what is added to others is far above."""
_SHOWN = 4


def on_the_way(case: Case) -> Iterator[Prediction]:
    """Predict the first tensor between modules that differs, made of the reference's."""
    if case.finding.direction == "forward":
        yield from predictions((_ids, _masks, _rearranged), case)


def _rearranged(case: Case) -> Iterator[Prediction]:
    """Predict axes that are exchanged or run backwards, and elements that are moved by one."""
    difference = first_difference(case)
    if difference is None or not 1 < difference[1].ndim <= _MOST_AXES:
        return
    name, correct, wrong = difference
    axes = range(1, correct.ndim)
    changed = [(f"axis {axis} of {words(name)} runs backwards", np.flip(correct, axis)) for axis in axes]
    for order in [*permutations(axes)][1:]:
        if tuple(correct.shape[axis] for axis in order) == wrong.shape[1:]:
            says = f"{words(name)} has its axes in the order 0, {', '.join(map(str, order))}: exchange them back"
            changed.append((says, correct.transpose((0, *order))))
    for axis in axes:
        for shift in (1, -1):
            way = "forwards" if shift > 0 else "backwards"
            says = f"{words(name)} is moved by {abs(shift)} along axis {axis}, {way}"
            changed.append((says, np.roll(correct, shift, axis)))
    for says, array in changed:
        if not np.array_equal(array, correct):
            yield Prediction("rearranged", says, case.place("forward"), [array], [correct], [wrong])


def _ids(case: Case) -> Iterator[Prediction]:
    """Tell the first whole numbers that a module within is given, and that are not the reference's.

    Only of a module that gives something else for them: a table may hold further rows in front.
    """
    for name, own in case.children.items():
        correct = case.reference_children.get(name)
        if "/integers/" not in name or correct is None or own.dtype.kind not in "iu" or correct.dtype.kind not in "iu":
            continue
        output = name.partition("/")[0] + "/output/0"
        given, expected = case.children.get(output), case.reference_children.get(output)
        correct = _as_shaped(correct, own)
        if given is None or expected is None or correct is None or np.array_equal(own, correct):
            continue
        if given.size == expected.size and np.allclose(given, np.reshape(expected, given.shape), 1e-6, 1e-9):
            continue
        says = f"{_ids_words(words(name), correct, own)}"
        yield Prediction("other ids", says, case.place("forward"), [own + 0.0], [correct + 0.0], [own + 0.0])
        return


def _as_shaped(correct: Array, own: Array) -> Array | None:
    """The reference's numbers in the candidate's shape; None where they do not fit."""
    if correct.shape == own.shape:
        return correct
    if correct.size == own.size:
        return correct.reshape(own.shape)
    try:
        return np.broadcast_to(correct, own.shape)
    except ValueError:
        return None


def _ids_words(what: str, correct: Array, own: Array) -> str:
    """Which numbers differ, and how: by as many everywhere, in reverse, or one for another."""
    apart = np.unique(own - correct)
    if len(apart) == 1:
        return f"{what} is off by {apart[0]:+d}"
    if own.ndim and np.array_equal(own, np.flip(correct, -1)):
        return f"{what} runs backwards"
    wrong = own != correct
    pairs = list(dict.fromkeys(zip(own[wrong].tolist(), correct[wrong].tolist(), strict=True)))
    shown = ", ".join(f"{a} where {b} is meant" for a, b in pairs[:_SHOWN]) + (", ..." if len(pairs) > _SHOWN else "")
    return f"{what} differs in {np.count_nonzero(wrong)} of {own.size} numbers: {shown}"


def _masks(case: Case) -> Iterator[Prediction]:
    """Predict a mask, as it is added to scores, that hides something else than the reference's."""
    for name, own in case.children.items():
        correct = case.reference_children.get(name)
        if "/input/" not in name or correct is None or own.dtype.kind != "f" or correct.ndim < 2 or own.ndim < 2:
            continue
        theirs, ours = _hides(correct), _hides(own)
        if theirs is None or ours is None:
            continue
        try:
            theirs, ours = np.broadcast_arrays(theirs, ours)
        except ValueError:
            continue
        if np.array_equal(theirs, ours):
            continue
        for says, array in _mask_words(words(name), theirs, ours):
            yield Prediction("mask", says, case.place("the mask"), [array + 0.0], [theirs + 0.0], [ours + 0.0])
            return


def _hides(array: Array) -> Array | None:
    """Where a tensor hides what it is added to; None for one that is no mask."""
    if not array.size or np.isnan(array).any():
        return None
    hidden = array < -_HIDDEN
    rest = array[~hidden]
    return hidden if not rest.size or float(np.abs(rest).max()) < _HIDDEN / 10 else None


def _mask_words(what: str, theirs: Array, ours: Array) -> Iterator[tuple[str, Array]]:
    if not theirs.any() and not ours.any():
        return
    what = f"the mask in {what}"
    if np.array_equal(ours, ~theirs):
        yield f"{what} is the wrong way round: it hides what is to be seen, and shows what is not", ours
    elif not ours.any():
        yield f"{what} hides nothing, where the reference's does", ours
    elif not theirs.any():
        yield f"{what} hides something, where the reference's does not", ours
    elif ours.ndim > 1 and ours.shape[-1] == ours.shape[-2] and np.array_equal(ours, theirs.swapaxes(-1, -2)):
        yield f"{what} has queries and keys exchanged", ours
    else:
        more, less = np.count_nonzero(ours & ~theirs), np.count_nonzero(theirs & ~ours)
        yield f"{what} hides {more} places that are to be seen, and shows {less} that are to be hidden", ours
