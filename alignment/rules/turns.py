"""Other orders of the rows of weights: a fused qkv head by head or part by part, rotary pairs instead of halves.

Shapes and data flow are the same, so only running the candidate tells.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, islice, permutations, product

from alignment.rules.layouts import half_rotated, head_sizes, turnings
from alignment.rules.model import Model
from alignment.rules.proposals import Decision, Link
from alignment.rules.trial import Check
from alignment.rules.ways import at, rows_first
from porting.checkpoint.tensor import Shape
from porting.operations import Interleave, Op, chained

_MOST = 3000
"""Orders of rows that are tried at one place, at most."""


def turned(reference: Model, candidate: Model, links: Sequence[Link], checks: Mapping[Check, bool]) -> list[Decision]:
    """Decisions about the weights before each place where the candidate is not given what the reference is.

    Args:
        reference: The reference.
        candidate: The candidate.
        links: What becomes what so far.
        checks: What agreed with these links, each module being given the reference's.
    """
    single = {link.targets[0]: link for link in links if len(link.targets) == 1}
    decisions: list[Decision] = []
    done: set[str] = set()
    for path, what in (check for check, agrees in checks.items() if not agrees):
        units = [
            unit
            for unit in _units_before(candidate, path, what)
            if not done & set(unit) and all(name in single for name in unit)
        ]
        options = list(
            islice(_options(reference, candidate, [[single[name] for name in unit] for unit in units]), _MOST)
        )
        if options:
            names = [name for unit in units for name in unit]
            done |= set(names)
            plain = tuple(single[name] for name in names)
            sources = tuple(source for link in plain for source in link.sources)
            decisions.append(Decision(sources, tuple(names), (plain, *options), "the order of rows", sure=True))
    return decisions


def _units_before(model: Model, path: str, what: str) -> list[tuple[str, ...]]:
    """The weights, each with its vector, directly before what a module takes, or before what the model gives."""
    before = model.flow.graph.before
    if what == "input":
        here = [name for name in before if f"{model.stored[name].path}.".startswith(f"{path}.")]
        nearest = dict.fromkeys(earlier for name in here for earlier in before[name] if earlier not in here)
    else:
        nearest = dict.fromkeys(model.flow.graph.last) if not path else {}
    units: dict[tuple[str, ...], None] = {}
    for name in nearest:
        if name not in model.stored or not model.stored[name].path:
            continue
        own = [other for other in before if model.stored[other].path == model.stored[name].path]
        if name in own and sum(len(model.stored[other].shape) > 1 for other in own) == 1 and len(own) <= 2:
            units[tuple(own)] = None
    return list(units)


def _options(reference: Model, candidate: Model, units: Sequence[Sequence[Link]]) -> Iterator[tuple[Link, ...]]:
    """The links of all units with the rows of some in another order."""
    framed = [list(_framed(reference, candidate, unit)) for unit in units]
    for both in (*_both_turned(framed), *_beside_values(framed)):
        yield tuple(link for place, unit in enumerate(units) for link in both.get(place, unit))
    for place, views in enumerate(framed):
        rest = tuple(link for other, unit in enumerate(units) if other != place for link in unit)
        for rows in views:
            if rows.whole:
                for ops in zip(*map(turnings, rows.shapes), strict=True):
                    yield (*rows.turned(ops), *rest)


def _both_turned(framed: Sequence[Sequence[_Rows]]) -> Iterator[dict[int, tuple[Link, ...]]]:
    """Two units, queries and keys, with rotary halves as pairs or the other way round."""
    for one, other in combinations(range(len(framed)), 2):
        for first, second in product(framed[one], framed[other]):
            for dim in head_sizes(first.length, second.length):
                for parts in dict.fromkeys((2, dim // 2)):
                    yield {one: first.with_heads(dim, parts), other: second.with_heads(dim, parts)}


def _beside_values(framed: Sequence[Sequence[_Rows]]) -> Iterator[dict[int, tuple[Link, ...]]]:
    """The same where keys and values are one unit."""
    for one, other in permutations(range(len(framed)), 2):
        for queries, both in product(framed[one], framed[other]):
            if not both.whole or both.length % 2:
                continue
            for dim in head_sizes(queries.length, both.length // 2):
                for parts in dict.fromkeys((2, dim // 2)):
                    for ops in zip(*(half_rotated(shape, dim, parts) for shape in both.shapes), strict=True):
                        yield {one: queries.with_heads(dim, parts), other: both.turned(ops)}


@dataclass(frozen=True)
class _Rows:
    """A weight and its vector, with what makes their rows the first axis.

    Attributes:
        links: Their links.
        around: Of each, the operations before its rows are the first axis, and those after.
        shapes: Of each, its shape with the rows first.
        part: Which of the tensors that become one it is about, and how many there are.
    """

    links: Sequence[Link]
    around: Sequence[tuple[Op | None, Op | None]]
    shapes: Sequence[Shape]
    part: tuple[int, int]

    @property
    def length(self) -> int:
        """Number of rows."""
        return self.shapes[0][0]

    @property
    def whole(self) -> bool:
        """Whether these are all rows of the weight."""
        return self.part[1] == 1

    def with_heads(self, dim: int, parts: int) -> tuple[Link, ...]:
        """The links with the rows of each head, which lie in some parts, taken from each part in turn."""
        return self.turned([Interleave(parts, dim // parts, self.length // dim)] * len(self.links))

    def turned(self, ops: Iterable[Op]) -> tuple[Link, ...]:
        """The links with the rows in another order, by an operation for each."""
        return tuple(
            replace(link, op=chained([before, at(op, self.part), after]))
            for link, op, (before, after) in zip(self.links, ops, self.around, strict=True)
        )


def _framed(reference: Model, candidate: Model, unit: Sequence[Link]) -> Iterator[_Rows]:
    """The ways to see the rows of a unit: one for each tensor that it is made of, if its classes are known."""
    count = len(unit[0].sources)
    if any(len(link.sources) != count for link in unit):
        return
    for part in ((place, count) for place in range(count)):
        for views in product(*(_views(reference, candidate, link, part) for link in unit)):
            if len({shape[0] for _, _, shape in views}) == 1:
                around = [(before, after) for before, after, _ in views]
                yield _Rows(unit, around, [shape for _, _, shape in views], part)


def _views(
    reference: Model, candidate: Model, link: Link, part: tuple[int, int]
) -> list[tuple[Op | None, Op | None, Shape]]:
    """Operations before and after the rows of a tensor are the first axis, and its shape then."""
    source, target = reference.stored[link.sources[part[0]]], candidate.stored[link.targets[0]]
    if source.family or not target.family or part[1] > 1:
        return [(at(one, part), chained([at(other, part), link.op]), shape) for one, other, shape in rows_first(source)]
    return [(chained([link.op, target.op.inverse if target.op else None]), target.op, target.shape)]
