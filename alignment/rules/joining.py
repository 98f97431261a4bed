"""The ways in which several tensors can be one: one after the other, head by head, on each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain, combinations, product
from math import prod

from alignment.pair.units import BARE
from alignment.rules.forms import form
from alignment.rules.layouts import alternating, head_counts, head_sizes, rearranged, rotated
from alignment.rules.ways import Stored, bridges
from porting.checkpoint.tensor import Shape
from porting.operations import Concat, Each, Interleave, Op, Permute, Reshape, Stack, Transpose, chained

_MOST_APART = 3
"""Of no more parts in classes that are not known, each may be stored its own way."""


@dataclass(frozen=True)
class Way:
    """A way to make one tensor of several.

    Attributes:
        heads: Number of groups that the parts alternate in; 1 where they lie one after the other.
        turn: Places of two parts whose rotary halves become pairs, or the other way round, with the size of a head
            and the number of parts of it; None where rows stay in order.
        op: The operation.
        again: Where one of two parts is two itself, which one, and how the three lie.
    """

    heads: int
    turn: tuple[tuple[int, int], int, int] | None
    op: Op | None
    again: object = None

    @property
    def form(self) -> tuple[object, ...]:
        """What a weight and its vector share."""
        return self.heads, self.turn, self.again

    @property
    def unusual(self) -> int:
        """How unusual it is: the plain way first, then one difference, then two."""
        return (self.heads > 1) + 2 * (self.turn is not None or self.again is not None)


def ways_to_join(parts: Sequence[Stored], whole: Stored) -> Sequence[Way]:
    """The ways to make one tensor of several, in this order.

    Args:
        parts: The tensors.
        whole: The one tensor.
    """
    return _ways_to_join(tuple(parts), whole)


@lru_cache(maxsize=512)  # the same tensors are asked for each time that proposals are made
def _ways_to_join(parts: Sequence[Stored], whole: Stored) -> tuple[Way, ...]:
    return tuple(_all_ways(parts, whole))


def _all_ways(parts: Sequence[Stored], whole: Stored) -> Iterator[Way]:
    sure = [bool(whole.family) and part.family == whole.family for part in parts]
    for axis in range(min(len(whole.shape), 2) if all(sure) else len(whole.shape)):
        sizes = _sizes(parts, whole.shape, axis)
        if sizes is None:
            continue
        shapes = [(*whole.shape[:axis], size, *whole.shape[axis + 1 :]) for size in sizes]
        if axis and all(sure) and any(form(part.shape) != form(own) for part, own in zip(parts, shapes, strict=True)):
            continue  # of layers stored alike, the columns are the inputs: each part has its own ones
        for stored in _stored_as(parts, shapes, sure):
            for turn in (None, *_turns(sizes)):
                rows = _rows(turn, sizes, axis)
                each = Each(tuple(chained([op, rows.get(place)]) for place, op in enumerate(stored)))
                join = Concat(len(parts) if len(set(sizes)) == 1 else sizes, axis)
                yield Way(1, turn, chained([each, join, whole.op]))
                for heads in head_counts(sizes):
                    yield Way(heads, turn, chained([each, alternating(shapes, axis, heads), whole.op]))
            yield from _cut_again(stored, sizes, whole, axis)
    if len(whole.shape) == len(parts[0].shape) + 1 and whole.shape[0] == len(parts):
        for stored in _stored_as(parts, [whole.shape[1:]] * len(parts), [False] * len(parts)):
            yield Way(1, None, chained([Each(tuple(stored)), Stack(len(parts), 0), whole.op]))
    for merged in _merged(whole, len(parts)):
        yield from _all_ways(parts, merged)


def _merged(whole: Stored, count: int) -> Iterator[Stored]:
    """A tensor of three axes with the first two as one, in which parts lie: experts, each with gate and other half.

    The last two axes may be exchanged.
    """
    if len(whole.shape) != 3 or whole.shape[0] == count or count % whole.shape[0]:
        return
    for axes in ((0, 1, 2), (0, 2, 1)):
        shape = tuple(whole.shape[axis] for axis in axes)
        merged = (shape[0] * shape[1], shape[2])
        back = [Reshape(merged, shape), Permute(axes) if axes != (0, 1, 2) else None, whole.op]
        yield replace(whole, shape=merged, op=chained(back))


def _cut_again(stored: Sequence[Op | None], sizes: Sequence[int], whole: Stored, axis: int) -> Iterator[Way]:
    """Two parts of which one is two itself, keys and values, that the whole has in another order or head by head."""
    if len(sizes) != 2 or axis > 1 or (axis == 1 and len(whole.shape) != 2):
        return
    turn = Transpose() if axis else None
    shape = whole.shape[::-1] if axis else whole.shape
    joined = chained([Each(tuple(stored)), Concat(tuple(sizes), axis), turn])
    cuts = [(place, cut) for place in (1, 0) for cut in _cuts(sizes[place], sizes[1 - place])]
    for place, cut in cuts:
        three = [*cut, sizes[1]] if place == 0 else [sizes[0], *cut]
        keys = (1, 2) if place else (0, 1)
        queries = 0 if place else 2
        pairs = [(min(key, queries), max(key, queries)) for key in keys] if cut[0] == cut[1] else []
        for layout, op in chain(rearranged(shape, three), rotated(shape, three, pairs)):
            yield Way(1, None, chained([joined, op, turn, whole.op]), (place, cut, layout))


def _cuts(size: int, queries: int) -> Iterator[tuple[int, int]]:
    """Lengths of keys and values that are one part: equal ones, or keys as long as the queries beside longer values."""
    if size % 2 == 0:
        yield size // 2, size // 2
    if size > 2 * queries:
        yield queries, size - queries
        yield size - queries, queries


def _stored_as(parts: Sequence[Stored], shapes: Sequence[Shape], sure: Sequence[bool]) -> Iterator[list[Op | None]]:
    """For each part the operation to its shape in the whole; parts of one known kind are stored alike."""
    bridged = [bridges(part.shape, shape, sure=known) for part, shape, known in zip(parts, shapes, sure, strict=True)]
    if not all(bridged):
        return
    kinds = [f"{place}" if part.kind == BARE else part.kind for place, part in enumerate(parts)]
    if len(parts) > _MOST_APART:
        kinds = [part.kind for part in parts]
    choices = dict.fromkeys(kinds, 1)
    for kind, some in zip(kinds, bridged, strict=True):
        choices[kind] = max(choices[kind], min(2, len(some)))
    for chosen in sorted(product(*map(range, choices.values())), key=lambda turns: len(set(turns))):
        turn = dict(zip(choices, chosen, strict=True))
        yield [
            chained([part.op.inverse if part.op else None, some[min(turn[kind], len(some) - 1)]])
            for part, kind, some in zip(parts, kinds, bridged, strict=True)
        ]


def _turns(sizes: Sequence[int]) -> Iterator[tuple[tuple[int, int], int, int]]:
    """Two parts, queries and keys, whose rows could be rotary halves on one side and pairs on the other."""
    if not 2 <= len(sizes) <= 3:
        return
    for pair in combinations(range(len(sizes)), 2):
        for dim in head_sizes(*(sizes[place] for place in pair)):
            for parts in dict.fromkeys((2, dim // 2)):
                yield pair, dim, parts


def _rows(turn: tuple[tuple[int, int], int, int] | None, sizes: Sequence[int], axis: int) -> Mapping[int, Op]:
    if turn is None:
        return {}
    pair, dim, parts = turn
    return {place: Interleave(parts, dim // parts, sizes[place] // dim, axis) for place in pair}


def _sizes(parts: Sequence[Stored], shape: Shape, axis: int) -> tuple[int, ...] | None:
    """The length of each part along an axis of the whole; None where they do not make it up."""
    rest = prod(shape) // shape[axis] if shape[axis] else 0
    if not rest or any(prod(part.shape) % rest for part in parts):
        return None
    sizes = tuple(prod(part.shape) // rest for part in parts)
    return sizes if sum(sizes) == shape[axis] and min(sizes) > 0 else None
