"""Labels of units by their neighbours: the units that give a unit its input, and those that take its output.

Two BatchNorms of one width are told apart by the convolutions before them, whatever they are called and whichever is
run first. A label says what a unit is, what its neighbours are, what theirs are, and so on for some rounds.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence

from alignment.pair.units import Unit

ROUNDS = 3
"""Distance, in modules, up to which neighbours change a label."""


def labels_of(units: Sequence[Unit]) -> list[list[str]]:
    """Labels of units, from those that only say what a unit is to those that look `ROUNDS` far.

    Args:
        units: All units of a model.
    """
    before, after = _links(units)
    rounds = [[_label([str(unit.signature)]) for unit in units]]
    for _ in range(ROUNDS):
        last = rounds[-1]
        rounds.append(
            [
                _label([own, "<", *sorted(last[i] for i in before[place]), ">", *sorted(last[i] for i in after[place])])
                for place, own in enumerate(last)
            ]
        )
    return rounds


def _links(units: Sequence[Unit]) -> tuple[dict[int, list[int]], dict[int, list[int]]]:
    """Place of a unit to those whose output is its input, and to those whose input is its output."""
    givers: dict[str, list[int]] = defaultdict(list)
    for place, unit in enumerate(units):
        if unit.gave:
            givers[unit.gave].append(place)
    before: dict[int, list[int]] = defaultdict(list)
    after: dict[int, list[int]] = defaultdict(list)
    for place, unit in enumerate(units):
        for giver in givers.get(unit.given, ()) if unit.given else ():
            if giver != place:
                before[place].append(giver)
                after[giver].append(place)
    return before, after


def _label(words: Iterable[str]) -> str:
    return hashlib.blake2b("\0".join(words).encode(), digest_size=12).hexdigest()
