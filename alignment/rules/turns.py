"""Other orders of the rows of weights: a fused qkv head by head or part by part, rotary pairs instead of halves.

Shapes and data flow are the same, so only running the candidate tells.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations, permutations

from alignment.rules.joining import head_sizes
from alignment.rules.model import Model
from alignment.rules.proposals import Decision, Link
from alignment.rules.trial import Check
from porting.operations import Concat, Each, Interleave, Op, Reorder, Split, chained

_MOST, _MOST_HEADS = 400, 16


def turned(reference: Model, candidate: Model, links: Sequence[Link], checks: Mapping[Check, bool]) -> list[Decision]:
    """Decisions about the weights before each place where the candidate is not given what the reference is.

    Args:
        reference: The reference.
        candidate: The candidate.
        links: What becomes what so far.
        checks: What agreed with these links, each module being given the reference's.
    """
    single = {link.targets[0]: link for link in links if len(link.sources) == len(link.targets) == 1}
    decisions: list[Decision] = []
    done: set[str] = set()
    for path, what in (check for check, agrees in checks.items() if not agrees):
        units = [
            unit
            for unit in _units_before(candidate, path, what)
            if not done & set(unit) and all(name in single for name in unit)
        ]
        options = list(_options(reference, candidate, [[single[name] for name in unit] for unit in units]))[:_MOST]
        if options:
            names = [name for unit in units for name in unit]
            done |= set(names)
            plain = tuple(single[name] for name in names)
            sources = tuple(link.sources[0] for link in plain)
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
    lengths = [min(candidate.stored[link.targets[0]].shape[0] for link in unit) for unit in units]
    if len(units) == 1:
        for op in _alone(lengths[0]):
            yield _with_turns(reference, candidate, units, {0: op})
    for one, other in combinations(range(len(units)), 2):
        for dim in head_sizes(lengths[one], lengths[other]):
            for parts, groups in ((2, dim // 2), (dim // 2, 2)):
                ops = {place: Interleave(parts, groups, lengths[place] // dim) for place in (one, other)}
                yield _with_turns(reference, candidate, units, ops)


def _alone(length: int) -> Iterator[Op]:
    """Orders of the rows of one weight: the parts of a qkv in another order, head by head, or with rotary pairs."""
    for parts in (3, 2):
        if length % parts:
            continue
        orders = [order for order in permutations(range(parts)) if list(order) != sorted(order)]
        moved = [chained([Split(parts), Reorder(order), Concat(parts)]) for order in orders]
        yield from (op for op in moved if op)
        for heads in _divisors(length // parts)[:_MOST_HEADS]:
            for op in (None, *moved):
                yield chained([op, Interleave(parts, heads)]) or Interleave(parts, heads)
                yield chained([Interleave(heads, parts), op]) or Interleave(heads, parts)
    if length % 3 == 0:
        for dim in head_sizes(length // 3):
            for pair in ((2, dim // 2), (dim // 2, 2)):
                turn = Interleave(*pair, length // 3 // dim)
                op = chained([Split(3), Each((turn, turn, None)), Concat(3)])
                if op is not None:
                    yield op


def _with_turns(
    reference: Model, candidate: Model, units: Iterable[Sequence[Link]], turns: Mapping[int, Op]
) -> tuple[Link, ...]:
    links = []
    for place, unit in enumerate(units):
        for link in unit:
            if place not in turns:
                links.append(link)
                continue
            back, ahead = reference.stored[link.sources[0]].op, candidate.stored[link.targets[0]].op
            op = chained([back.inverse if back else None, turns[place], ahead])
            links.append(Link(link.sources, link.targets, op, link.evidence))
    return tuple(links)


def _divisors(length: int) -> list[int]:
    return [count for count in range(2, length + 1) if length % count == 0]
