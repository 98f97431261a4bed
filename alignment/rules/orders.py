"""Orders in which the parts of one tensor may lie in it, the likeliest first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import permutations, product

_FEW = 3
"""Largest number of parts, or of groups of parts, of which every order is tried."""


def orders(ranks: Sequence[int]) -> Iterator[tuple[tuple[int, ...], bool]]:
    """Orders of some parts: all of few; of many those with a plan.

    Many parts are mostly groups of the same parts, such as shift, scale and gate of an attention and of what follows
    it, or a gate and its other half of each expert. They lie group by group, or the first of all groups go first.

    Args:
        ranks: Of the parts in the order of the data flow: the place of each in the state dict, or by its name.

    Yields:
        Places of parts, and whether they may also alternate in such an order.
    """
    count = len(ranks)
    flow = tuple(range(count))
    state = tuple(sorted(flow, key=ranks.__getitem__))
    if count <= _FEW:
        yield from ((order, True) for order in permutations(state))
        return
    usual = dict.fromkeys([flow, *_alternating(count)])
    rest = (tuple(base[place] for place in plan) for base in (state, flow) for plan in _plans(count))
    yield from ((order, True) for order in usual)
    yield from ((order, False) for order in dict.fromkeys(rest) if order not in usual)


def _alternating(count: int) -> Iterator[tuple[int, ...]]:
    """Orders of parts that are pairs, such as a gate and its other half of each expert."""
    if count % 2:
        return
    pairs = [(place, place + 1) for place in range(0, count, 2)]
    yield tuple(place for one, other in pairs for place in (other, one))
    yield from ((*range(start, count, 2), *range(1 - start, count, 2)) for start in (0, 1))
    halves = [(place, place + count // 2) for place in range(count // 2)]
    yield from (tuple(place for pair in halves for place in pair[::turn]) for turn in (1, -1))


def _plans(count: int) -> Iterator[tuple[int, ...]]:
    """The parts as they are; and as groups of equal length, groups and parts of each group in every order of few."""
    yield tuple(range(count))
    for length in range(2, count):
        groups, rest = divmod(count, length)
        if rest or groups > _FEW or length > _FEW:
            continue
        for within, between in product(permutations(range(length)), permutations(range(groups))):
            rows = [[group * length + place for place in within] for group in between]
            yield tuple(place for row in rows for place in row)
            yield tuple(row[place] for place in range(length) for row in rows)
