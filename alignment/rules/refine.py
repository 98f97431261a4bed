"""Which tensor of a candidate stands for which of the reference, by the structure of their data flow alone.

Each tensor has a label: its lengths in falling order, axes of length one left out, whatever class holds it. A label is
refined by the labels of the tensors before and after it, those by theirs, and so on (Weisfeiler and Leman's method).
Tensors whose label only one on each side has are a pair; a pair has a label of its own, which refines the others in
turn. So where two models differ, only the surroundings of the difference stay without a pair.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import TypeAlias

from alignment.rules.forms import form
from alignment.rules.tensor_graph import INPUT, TensorGraph
from porting.checkpoint.tensor import Shape

RADIUS = 12
"""Distance, in tensors, up to which others change a label."""
Labels: TypeAlias = "tuple[dict[str, int], dict[str, int]]"
"""Name to label, of the reference and of the candidate."""


@dataclass(frozen=True)
class Flow:
    """The tensors of one model with their order.

    Attributes:
        shapes: Name to shape of the tensors to match.
        graph: Their order.
    """

    shapes: Mapping[str, Shape]
    graph: TensorGraph


@dataclass
class Refined:
    """What structure settles.

    Attributes:
        pairs: Name in the reference to name in the candidate.
        classes: Tensors of the reference and as many of the candidate that structure cannot tell apart.
        left: Tensors of the reference, and of the candidate, in neither.
    """

    pairs: dict[str, str] = field(default_factory=dict)
    classes: list[tuple[tuple[str, ...], tuple[str, ...]]] = field(default_factory=list)
    left: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())


def refine(
    reference: Flow,
    candidate: Flow,
    known: Mapping[str, str] | None = None,
    marks: tuple[Mapping[str, object], Mapping[str, object]] = ({}, {}),
    *,
    weak: bool = True,
) -> Refined:
    """Match the tensors of two models by structure.

    Args:
        reference: The reference's.
        candidate: The candidate's.
        known: Pairs that are settled already.
        marks: Of both sides, tensors that are settled otherwise, to a label of their own.
        weak: Whether tensors may be matched by what they are alone, wherever they are.
    """
    sides = _Side(reference, marks[0]), _Side(candidate, marks[1])
    pairs = {name: other for name, other in (known or {}).items() if name in sides[0].own and other in sides[1].own}
    while True:
        done = {*pairs, *marks[0]}
        apart = _CutOtherwise(sides, pairs)
        sights = (_unique(labels, done) for labels in _sights(sides, pairs, weak))
        kept = ({a: b for a, b in new.items() if (a, b) not in apart} for new in sights)
        fresh = next((new for new in kept if new), None)
        if fresh is None:
            rounds = _rounds(sides, pairs)
            return _grouped([_forms(sides, pairs), *rounds] if weak else rounds[1:], pairs, sides, apart)
        pairs.update(fresh)


class _CutOtherwise:
    """Groups that hold as many numbers on both sides, in another number of tensors: only a run tells their parts."""

    def __init__(self, sides: tuple[_Side, _Side], pairs: Mapping[str, str]) -> None:
        done = {*pairs, *sides[0].marks}, {*pairs.values(), *sides[1].marks}
        self._sides = sides
        self._counts = [_contents(own, known) for own, known in zip(sides, done, strict=True)]

    def __contains__(self, pair: tuple[str, str]) -> bool:
        (size, count), (other_size, other_count) = (
            counts[own.groups[own.own[name]]] for counts, own, name in zip(self._counts, self._sides, pair, strict=True)
        )
        return size == other_size and count != other_count


def _contents(side: _Side, known: Collection[str]) -> dict[int, tuple[int, int]]:
    """Of each group, how many numbers its tensors without a counterpart hold, and how many tensors these are."""
    contents: dict[int, tuple[int, int]] = {}
    for name, group, size in zip(side.names, side.groups, side.sizes, strict=True):
        before = contents.get(group, (0, 0))
        contents[group] = before if name in known else (before[0] + size, before[1] + 1)
    return contents


def _sights(sides: tuple[_Side, _Side], pairs: Mapping[str, str], weak: bool) -> Iterator[Labels]:
    """Labels from those that say most to those that say least: both ways, one way only, the form alone."""
    both = _rounds(sides, pairs)
    yield from reversed(both[1:])
    yield from reversed(_group_rounds(sides, pairs))
    ways = _rounds(sides, pairs, ahead=False), _rounds(sides, pairs, back=False)
    for rounds in ways:
        yield from reversed(rounds[1:])
    if weak:
        yield both[0]
        yield _forms(sides, pairs)


class _Side:
    """One side as numbers: its tensors by place, and the places before and after each."""

    def __init__(self, flow: Flow, marks: Mapping[str, object]) -> None:
        after = flow.graph.after
        self.marks = marks
        self.names = [name for name in flow.graph.before if name in flow.shapes]
        self.own = {name: place for place, name in enumerate(self.names)}
        last = set(flow.graph.last)
        self.first = [(form(flow.shapes[name]), INPUT in flow.graph.before[name], name in last) for name in self.names]
        self.before = [self._places(flow.graph.before[name]) for name in self.names]
        self.after = [self._places(after[name]) for name in self.names]
        self.sizes = [prod(flow.shapes[name]) for name in self.names]
        self.groups = self._grouped()

    def _grouped(self) -> list[int]:
        """For each tensor the number of its group: those directly after the same groups, such as q, k and v."""
        keys: dict[object, int] = {}
        groups: list[int] = []
        for place, before in enumerate(self.before):
            earlier = frozenset(groups[other] for other in before if other < place)
            groups.append(keys.setdefault((earlier, self.first[place][1]), len(keys)))
        return groups

    def _places(self, names: Iterable[str]) -> list[int]:
        return [self.own[name] for name in names if name in self.own]


def _rounds(
    sides: tuple[_Side, _Side], pairs: Mapping[str, str], *, back: bool = True, ahead: bool = True
) -> list[Labels]:
    """Name to label on both sides, from those that see nothing around to those that see farthest.

    Args:
        sides: The two models.
        pairs: Pairs that are settled; each has a label of its own.
        back: Whether labels see the tensors before.
        ahead: Whether labels see the tensors after.
    """
    numbers: dict[object, int] = {}

    def number(label: object) -> int:
        return numbers.setdefault(label, len(numbers))

    fixed = {**sides[0].marks}, {**sides[1].marks}
    for pair in pairs.items():
        fixed[0][pair[0]] = fixed[1][pair[1]] = ("pair", *pair)
    labels = [
        [number(known.get(name, first)) for name, first in zip(own.names, own.first, strict=True)]
        for own, known in zip(sides, fixed, strict=True)
    ]
    rounds = [_named(sides, labels)]
    for _ in range(RADIUS):
        before = [len(set(side)) for side in labels]
        labels = [
            [
                mine
                if own.names[place] in known
                else number((mine, _seen(own.before[place], last, back), _seen(own.after[place], last, ahead)))
                for place, mine in enumerate(last)
            ]
            for own, known, last in zip(sides, fixed, labels, strict=True)
        ]
        if [len(set(side)) for side in labels] == before:
            break
        rounds.append(_named(sides, labels))
    return rounds


def _group_rounds(sides: tuple[_Side, _Side], pairs: Mapping[str, str]) -> list[Labels]:
    """Labels as those of `_rounds`, of groups, so that what is one tensor on one side may be several on the other.

    A group says how many numbers its tensors hold together. A tensor has the label of its group and its own form.
    """
    fixed = {**sides[0].marks}, {**sides[1].marks}
    for pair in pairs.items():
        fixed[0][pair[0]] = fixed[1][pair[1]] = ("pair", *pair)
    graphs = [_GroupGraph(own, known) for own, known in zip(sides, fixed, strict=True)]
    numbers: dict[object, int] = {}

    def number(label: object) -> int:
        return numbers.setdefault(label, len(numbers))

    labels = [[number(first) for first in graph.first] for graph in graphs]
    rounds = []
    for _ in range(RADIUS):
        labels = [
            [
                number((mine, _seen([*before], last, True), _seen([*after], last, True)))
                for mine, before, after in zip(last, graph.before, graph.after, strict=True)
            ]
            for graph, last in zip(graphs, labels, strict=True)
        ]
        named = [
            [number((last[group], first[0])) for group, first in zip(own.groups, own.first, strict=True)]
            for own, last in zip(sides, labels, strict=True)
        ]
        rounds.append(_named(sides, named))
    return rounds


class _GroupGraph:
    """The groups of one side, with a first label of each and the groups before and after it."""

    def __init__(self, side: _Side, known: Mapping[str, object]) -> None:
        count = max(side.groups, default=-1) + 1
        self.before: list[set[int]] = [set() for _ in range(count)]
        self.after: list[set[int]] = [set() for _ in range(count)]
        sizes, marks = [0] * count, [set[object]() for _ in range(count)]
        for place, group in enumerate(side.groups):
            if side.names[place] in known:
                marks[group].add(known[side.names[place]])
            else:
                sizes[group] += side.sizes[place]
            self.before[group] |= {side.groups[other] for other in side.before[place]} - {group}
            self.after[group] |= {side.groups[other] for other in side.after[place]} - {group}
        self.first = [(size, frozenset(own)) for size, own in zip(sizes, marks, strict=True)]


def _forms(sides: tuple[_Side, _Side], pairs: Mapping[str, str]) -> Labels:
    """Labels that only say what a tensor is, not where."""
    done = {*pairs, *sides[0].marks}, {*pairs.values(), *sides[1].marks}
    numbers: dict[object, int] = {}
    one, other = (
        {
            name: numbers.setdefault(("done", place, name) if name in known else first[0], len(numbers))
            for name, first in zip(own.names, own.first, strict=True)
        }
        for place, (own, known) in enumerate(zip(sides, done, strict=True))
    )
    return one, other


def _seen(places: Sequence[int], labels: Sequence[int], seen: bool) -> tuple[int, ...]:
    return tuple(sorted(labels[place] for place in places)) if seen else ()


def _named(sides: tuple[_Side, _Side], labels: Sequence[Sequence[int]]) -> Labels:
    one, other = (dict(zip(own.names, numbers, strict=True)) for own, numbers in zip(sides, labels, strict=True))
    return one, other


def _unique(labels: Labels, done: Collection[str]) -> dict[str, str]:
    """New pairs of tensors whose label only one tensor on each side has."""
    counts = [Counter(side.values()) for side in labels]
    places = {label: name for name, label in labels[1].items()}
    return {
        name: places[label]
        for name, label in labels[0].items()
        if name not in done and counts[0][label] == 1 and counts[1][label] == 1
    }


def _grouped(
    rounds: Sequence[Labels], pairs: Mapping[str, str], sides: tuple[_Side, _Side], apart: _CutOtherwise
) -> Refined:
    """What is left, by labels that as many tensors on each side have, those that see farthest first."""
    taken, here = {*pairs, *sides[0].marks}, {*pairs.values(), *sides[1].marks}
    classes = []
    for labels in reversed(rounds):
        groups: dict[int, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
        for side, done in ((0, taken), (1, here)):
            for name, label in labels[side].items():
                if name not in done:
                    groups[label][side].append(name)
        for theirs, ours in groups.values():
            if len(theirs) == len(ours) and (theirs[0], ours[0]) not in apart:
                classes.append((tuple(theirs), tuple(ours)))
                taken.update(theirs)
                here.update(ours)
    left = (
        tuple(name for name in sides[0].names if name not in taken),
        tuple(name for name in sides[1].names if name not in here),
    )
    return Refined(dict(pairs), classes, left)
