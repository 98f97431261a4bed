"""Orders of the rows of a weight that is several in one: queries, keys and values, or a gate and what it lets through.

The parts lie one after the other, in some order, or head by head; queries and keys may have rotary halves or pairs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import combinations, permutations
from math import gcd

from porting.checkpoint.tensor import Shape
from porting.operations import Concat, Each, Interleave, Op, Reorder, Reshape, Split, chained

MOST_HEADS = 8
_HEAD = 64
"""The usual size of a head."""
_SHARED = (2, 3, 4, 6, 7, 8)
"""Numbers of queries that share their keys and values."""


@dataclass(frozen=True)
class Layout:
    """An order of rows.

    Attributes:
        order: For each part that comes out, which one it is of those that lie one after the other.
        heads: Number of groups that the parts alternate in; 1 where they lie one after the other.
    """

    order: tuple[int, ...]
    heads: int = 1

    def of(self, shape: Shape, sizes: Sequence[int]) -> Op | None:
        """The operation on parts of these numbers of rows, of one tensor of this shape, that joins them."""
        moved = [sizes[place] for place in self.order]
        join = (
            Concat(len(moved) if len(set(moved)) == 1 else tuple(moved))
            if self.heads == 1
            else alternating([(size, *shape[1:]) for size in moved], 0, self.heads)
        )
        plain = self.order == tuple(range(len(sizes)))
        return chained([None if plain else Reorder(self.order), join])


def layouts(sizes: Sequence[int]) -> list[Layout]:
    """The orders of parts of these numbers of rows; the first is one after the other."""
    orders = list(permutations(range(len(sizes))))
    return [Layout(order, heads) for heads in (1, *head_counts(sizes)) for order in orders]


def rearranged(shape: Shape, sizes: Sequence[int]) -> Iterator[tuple[object, Op]]:
    """Ways to rearrange parts of these numbers of rows that lie one after the other, each with a name of its own."""
    cut = Split(len(sizes) if len(set(sizes)) == 1 else tuple(sizes))
    for layout in layouts(sizes)[1:]:
        op = chained([cut, layout.of(shape, sizes)])
        if op is not None:
            yield layout, op


def turnings(shape: Shape) -> Iterator[Op]:
    """Orders of the rows of one weight that may be several in one, the likeliest first."""
    for sizes in _divisions(shape[0]):
        for before, after in _between(sizes):
            op = _turning(shape, sizes, before, None, after)
            if op is not None:
                yield op
    for sizes in _divisions(shape[0]):
        if len(sizes) == 3:
            yield from _rotary(shape, sizes)


def _divisions(length: int) -> Iterator[tuple[int, ...]]:
    """Numbers of rows of the parts: three or two alike, then more queries than keys and values."""
    for parts in (3, 2):
        if length % parts == 0:
            yield (length // parts,) * parts
    for shared in _SHARED:
        if length % (shared + 2) == 0:
            own = length // (shared + 2)
            yield (shared * own, own, own)


def _between(sizes: tuple[int, ...]) -> Iterator[tuple[Layout, Layout]]:
    """Pairs of layouts, from those that differ in one thing to those that differ in more."""
    every = layouts(sizes)
    plain = tuple(range(len(sizes)))
    starts = (
        [plain] if len(set(sizes)) == 1 else [order for order in permutations(plain) if order[0] == 0 or order[1] == 0]
    )
    for start in dict.fromkeys(starts):
        for other in every:
            before = Layout(start)
            if other != before:
                yield before, other
            if other.heads > 1:
                yield Layout(start, other.heads), Layout(other.order)
                if other.order != start:
                    yield Layout(start, other.heads), other


def _turning(shape: Shape, sizes: Sequence[int], before: Layout, rows: Op | None, after: Layout) -> Op | None:
    """From one layout to another, with rows of the parts in another order on the way."""
    joined = before.of(shape, sizes)
    back = joined.inverse if joined else None
    return chained([back, rows, after.of(shape, sizes)])


def _rotary(shape: Shape, sizes: tuple[int, ...]) -> Iterator[Op]:
    """The same with rotary halves as pairs, or the other way round, in queries and keys."""
    alike = len(set(sizes)) == 1
    orders = list(permutations(range(3)))
    pairs = list(combinations(range(3), 2)) if alike else [(0, 1), (0, 2)]
    for dim in head_sizes(*sizes):
        counts = _counts(sizes, dim)
        for before in (Layout(order, count) for order in (orders[:1] if alike else orders) for count in counts):
            for _, op in _rotated(shape, sizes, pairs, before, dim):
                yield op


def rotated(shape: Shape, sizes: Sequence[int], pairs: Sequence[tuple[int, int]]) -> Iterator[tuple[object, Op]]:
    """Ways to rearrange three parts that lie one after the other, with rotary halves as pairs or the other way round.

    Args:
        shape: Of the whole, rows first.
        sizes: Numbers of rows of the parts.
        pairs: Places that queries and keys may have.

    Yields:
        A name for the way, and the operation.
    """
    for dim in head_sizes(*sizes):
        yield from _rotated(shape, sizes, pairs, Layout((0, 1, 2)), dim)


def _rotated(
    shape: Shape, sizes: Sequence[int], pairs: Sequence[tuple[int, int]], before: Layout, dim: int
) -> Iterator[tuple[object, Op]]:
    """The ways for one size of a head, from one layout."""
    for count in _counts(sizes, dim):
        for after in (Layout(order, count) for order in permutations(range(3))):
            for pair in pairs:
                for parts in dict.fromkeys((2, dim // 2)):
                    turns = [Interleave(parts, dim // parts, size // dim) for size in sizes]
                    rows = Each(tuple(turn if place in pair else None for place, turn in enumerate(turns)))
                    op = _turning(shape, sizes, before, rows, after)
                    if op is not None:
                        yield (after, pair, dim, parts), op


def half_rotated(shape: Shape, dim: int, parts: int) -> Iterator[Op]:
    """Rotary halves as pairs, or the other way round, in one of two parts that are one weight: keys beside values.

    Args:
        shape: Of the whole, rows first, an even number of them.
        dim: Size of a head.
        parts: Number of parts that the rows of a head lie in before.
    """
    sizes = (shape[0] // 2, shape[0] // 2)
    turn = Interleave(parts, dim // parts, sizes[0] // dim)
    for heads in _counts(sizes, dim):
        layout = Layout((0, 1), heads)
        for rows in (Each((turn, None)), Each((None, turn))):
            op = _turning(shape, sizes, layout, rows, layout)
            if op is not None:
                yield op


def _counts(sizes: Sequence[int], dim: int) -> list[int]:
    """Numbers of groups that parts with heads of a size may alternate in: one, and one for each head of the least."""
    heads = min(sizes) // dim
    return [1, heads] if heads > 1 and all(size % heads == 0 for size in sizes) else [1]


def head_counts(sizes: Sequence[int]) -> list[int]:
    """Numbers of groups that parts of these lengths could alternate in."""
    common = reduce(gcd, sizes)
    return [count for count in range(2, common + 1) if common % count == 0][:MOST_HEADS]


def head_sizes(*lengths: int) -> list[int]:
    """Even sizes of a head that fit all lengths, the usual ones first."""
    shortest = min(lengths)
    sizes = [size for size in range(4, min(shortest, 256) + 1, 2) if all(length % size == 0 for length in lengths)]
    return sorted(sizes, key=lambda size: abs(size - _HEAD))[:MOST_HEADS]


def alternating(shapes: Sequence[Shape], axis: int, heads: int) -> Op | None:
    """The operation that joins parts group by group: all of the first head, all of the second."""
    sizes = [shape[axis] for shape in shapes]
    if len(set(sizes)) == 1:
        return chained([Concat(len(shapes), axis), Interleave(len(shapes), heads, axis=axis)])
    cut = [(*shape[:axis], heads, shape[axis] // heads, *shape[axis + 1 :]) for shape in shapes]
    joined = (*cut[0][: axis + 1], sum(sizes) // heads, *cut[0][axis + 2 :])
    whole = (*shapes[0][:axis], sum(sizes), *shapes[0][axis + 1 :])
    return chained(
        [
            Each(tuple(Reshape(shape, parts) for shape, parts in zip(shapes, cut, strict=True))),
            Concat(tuple(size // heads for size in sizes), axis + 1),
            Reshape(joined, whole),
        ]
    )
