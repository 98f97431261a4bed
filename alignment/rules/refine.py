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
from itertools import chain
from math import prod
from typing import TypeAlias

from alignment.rules.forms import form
from alignment.rules.surroundings import Reversed
from alignment.rules.tensor_graph import INPUT, TensorGraph
from porting.checkpoint.tensor import Shape

RADIUS = 12
"""Distance, in tensors, up to which others change a label."""
Labels: TypeAlias = "tuple[dict[str, int], dict[str, int]]"
"""Name to label, of the reference and of the candidate."""
_Unlikely: TypeAlias = "tuple[_CutOtherwise | Reversed, ...]"
"""Tests that hold the pairs which they speak against."""


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
    ordered: bool = True,
) -> Refined:
    """Match the tensors of two models by structure.

    Args:
        reference: The reference's.
        candidate: The candidate's.
        known: Pairs that are settled already.
        marks: Of both sides, tensors that are settled otherwise, to a label of their own.
        weak: Whether tensors may be matched by what they are alone, wherever they are.
        ordered: Whether pairs are left out that turn the order of others round.
    """
    sides = _Side(reference, marks[0]), _Side(candidate, marks[1])
    pairs = {name: other for name, other in (known or {}).items() if name in sides[0].own and other in sides[1].own}
    while True:
        done = {*pairs, *marks[0]}
        apart = _CutOtherwise(sides, pairs)
        far: _Unlikely = (apart, Reversed((reference.graph, candidate.graph), pairs)) if ordered else (apart,)
        near = ((labels, far) for labels in _sights(sides, pairs))
        alone = ((labels(sides, pairs), (apart,)) for labels in (_first_round, _forms) if weak)
        news = (_without(_unique(labels, done), unlikely) for labels, unlikely in chain(near, alone))
        fresh = next((new for new in news if new), None)
        if fresh is None:
            rounds = _rounds(sides, pairs)
            first = [_forms(sides, pairs), rounds[0]] if weak else []
            tested = [*((labels, far[:1]) for labels in first), *((labels, far) for labels in rounds[1:])]
            return _grouped(tested, pairs, sides)
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


def _sights(sides: tuple[_Side, _Side], pairs: Mapping[str, str]) -> Iterator[Labels]:
    """Labels from those that say most to those that say least: both ways, by groups, one way only."""
    both = _rounds(sides, pairs)
    yield from reversed(both[1:])
    yield from reversed(_group_rounds(sides, pairs))
    ways = _rounds(sides, pairs, ahead=False), _rounds(sides, pairs, back=False)
    for rounds in ways:
        yield from reversed(rounds[1:])


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

    fixed = _labelled(pairs, (sides[0].marks, sides[1].marks))
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


def _first_round(sides: tuple[_Side, _Side], pairs: Mapping[str, str]) -> Labels:
    """Labels that see nothing around, but whether inputs come before and outputs after."""
    return _rounds(sides, pairs)[0]


def _group_rounds(sides: tuple[_Side, _Side], pairs: Mapping[str, str]) -> list[Labels]:
    """Labels as those of `_rounds`, of groups, so that what is one tensor on one side may be several on the other.

    A group says how many numbers its tensors hold together. A tensor has the label of its group and its own form.
    """
    fixed = _labelled(pairs, (sides[0].marks, sides[1].marks))
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
    rounds: Sequence[tuple[Labels, _Unlikely]], pairs: Mapping[str, str], sides: tuple[_Side, _Side]
) -> Refined:
    """What is left, by labels that as many tensors on each side have, those that see farthest first."""
    taken, here = {*pairs, *sides[0].marks}, {*pairs.values(), *sides[1].marks}
    classes = []
    for labels, unlikely in reversed(rounds):
        groups: dict[int, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
        for side, done in ((0, taken), (1, here)):
            for name, label in labels[side].items():
                if name not in done:
                    groups[label][side].append(name)
        for theirs, ours in groups.values():
            if len(theirs) == len(ours) and any(_without({theirs[0]: name}, unlikely) for name in ours):
                classes.append((tuple(theirs), tuple(ours)))
                taken.update(theirs)
                here.update(ours)
    left = (
        tuple(name for name in sides[0].names if name not in taken),
        tuple(name for name in sides[1].names if name not in here),
    )
    return Refined(dict(pairs), classes, left)


def _without(pairs: Mapping[str, str], unlikely: _Unlikely) -> dict[str, str]:
    """Pairs without those that one of some tests speaks against."""
    return {name: other for name, other in pairs.items() if all((name, other) not in test for test in unlikely)}


def _labelled(
    pairs: Mapping[str, str], marks: tuple[Mapping[str, object], Mapping[str, object]]
) -> tuple[dict[str, object], dict[str, object]]:
    """Of both sides, name to a label of what is settled, the same for what belongs together."""
    labels: tuple[dict[str, object], dict[str, object]] = ({**marks[0]}, {**marks[1]})
    for pair in pairs.items():
        labels[0][pair[0]] = labels[1][pair[1]] = ("pair", *pair)
    return labels
