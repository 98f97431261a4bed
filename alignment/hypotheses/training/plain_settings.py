"""Mistakes in the decay, the schedule and the loss of a pair of one's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from alignment.arrays import Array
from alignment.hypotheses.base import Prediction
from alignment.hypotheses.training.base import FILTER, GROUPS
from alignment.hypotheses.training.plain_optimizer import UpdateCase, rate_sentence, settings_that_differ
from alignment.hypotheses.training.plain_optimizer import decays as decays_of_settings
from porting.names import fold

_SHIFTS = (1, -1, 2, -2, 3, -3)
_SCHEDULER = "the scheduler: when it is stepped, and its arguments"
Arrays = Mapping[str, Array]


def decays(case: UpdateCase, keys: tuple[str, ...], expected: Arrays) -> Iterator[Prediction]:
    """Predict the decays that the candidate's optimizer says, or those of another group of the reference.

    Args:
        case: What is known of both optimizers.
        keys: The quantities that differ, of one number each.
        expected: All decays of the reference, by key.
    """
    prefix = "regularisation/decay/"
    said = case.found.get("decay", {})
    names = {key: key.removeprefix(prefix) for key in keys}
    if case.kinds == ("AdamW", "Adam"):
        says = "the decay is added to the gradient, and goes through the moments, as in Adam with L2"
        epsilon = case.found["epsilon"]
        arrays = [np.full_like(expected[key], _coupled(said[name], epsilon[name])) for key, name in names.items()]
        yield Prediction("decay coupled", says, "Adam for AdamW", arrays)
    others = sorted({float(array) for array in expected.values() if array.ndim == 0})
    proposals = [{key: said[name] for key, name in names.items()}] if all(n in said for n in names.values()) else []
    proposals += [dict.fromkeys(keys, value) for value in (*others, 0.0)]
    for proposal in proposals[: 1 if said else None]:
        says = "; ".join(_decay_sentences({key: (float(expected[key]), proposal[key]) for key in keys}, names))
        exempt = {key for key, decay in expected.items() if not decay.any()}
        everything = len(exempt) > 1 and exempt <= {key for key, decay in proposal.items() if decay}
        arrays = [np.full_like(expected[key], proposal[key]) for key in keys]
        yield Prediction("decay group", says, FILTER if everything else GROUPS, arrays)
    for says, lost in decays_of_settings(case):
        arrays = [np.full_like(expected[key], lost[name]) for key, name in names.items()]
        yield Prediction("optimizer setting", says, "the optimizer's arguments", arrays)


def _coupled(decay: float, epsilon: float) -> float:
    """What Adam's first step takes of one at a rate of one, from the decay alone."""
    return decay / (decay + epsilon) if decay else 0.0


def _decay_sentences(pairs: Mapping[str, tuple[float, float]], names: Mapping[str, str]) -> Iterator[str]:
    by_values: dict[tuple[float, float], list[str]] = {}
    for key, pair in pairs.items():
        by_values.setdefault(pair, []).append(names[key])
    for (ours, theirs), of in by_values.items():
        text, one = ", ".join(fold(of)), len(of) == 1
        if not ours:
            yield f"{text} {'decays' if one else 'decay'} by {theirs:g}, and should not decay"
        elif not theirs:
            yield f"{text} {'does' if one else 'do'} not decay, and should by {ours:g}"
        else:
            yield f"{text} {'decays' if one else 'decay'} by {theirs:g}, not by {ours:g}"


def schedules(ours: Array, theirs: Array, lr: str = "rate") -> Iterator[Prediction]:
    """Predict rates that are early or late, scaled, or constant.

    Args:
        ours: The reference's rate at every update.
        theirs: The candidate's.
        lr: What the rates are called.
    """
    if len(ours) > 1 and np.unique(ours).size > 1:
        for shift in _SHIFTS:
            count = len(ours) - abs(shift)
            if count < 1:
                continue
            early = shift > 0
            moved = ours[shift:] if early else ours[:count]
            found, before = (theirs[:count], ours[:count]) if early else (theirs[-shift:], ours[-shift:])
            which = f"{abs(shift)} {'after' if early else 'before'} it"
            says = f"the scheduler is off by {abs(shift)}: every update has the {lr} of the one {which}"
            yield Prediction("schedule off by one", says, _SCHEDULER, [moved], [before], [found])
        says = f"the {lr} does not change from {theirs[0]:g}: the scheduler is not stepped, or not the optimizer's"
        yield Prediction("constant", says, _SCHEDULER, [np.full_like(ours, theirs[0])], [ours], [theirs])
    known = ours != 0
    if known.any() and not theirs[~known].any():
        factor = float(np.median(theirs[known] / ours[known]))
        says = f"every {lr} is {factor:.6g} times what it should be: {theirs[known][0]:g}, not {ours[known][0]:g}"
        yield Prediction("rate scaled", says, "the learning rate", [ours * factor], [ours], [theirs])
    if np.unique(ours).size > 2:
        slope, base = np.polyfit(ours, theirs, 1)
        says = (
            f"the {lr} has the same curve between {theirs.min():g} and {theirs.max():g}, where the reference's is "
            f"between {ours.min():g} and {ours.max():g}"
        )
        yield Prediction("other bounds", says, _SCHEDULER, [slope * ours + base], [ours], [theirs])


def relative_rates(case: UpdateCase, keys: tuple[str, ...], found: Arrays) -> Iterator[Prediction]:
    """Predict the shares of the rate that the groups of the candidate's optimizer say."""
    for setting, differing in settings_that_differ(case.expected, case.found):
        names = [key.removeprefix("schedule/relative_rate/") for key in keys]
        if setting == "rate" and all(name in differing for name in names):
            says = "; ".join(rate_sentence(name, *differing[name]) for name in names)
            arrays = [np.full_like(found[key], differing[name][1]) for key, name in zip(keys, names, strict=True)]
            yield Prediction("rate of a group", says, GROUPS, arrays)


def reductions(case: UpdateCase, key: str, expected: Array) -> Iterator[Prediction]:
    """Predict a loss or gradient that is a whole number of times what it should be."""
    what = "the loss" if "/loss_" in key else "the gradient"
    for factor, says in (
        (case.batch_size, f"summed over the batch of {case.batch_size}, not averaged"),
        (1 / max(case.batch_size, 1), f"divided by the batch of {case.batch_size} once too often"),
        (1 / max(case.classes, 1), f"averaged over the {case.classes} classes as well"),
    ):
        if factor not in (0, 1):
            yield Prediction("reduction", f"{what} is {says}", "reduction of the loss", [expected * factor])
