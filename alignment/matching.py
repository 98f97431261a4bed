"""Which unit of a candidate stands for which of the reference: by kind and shape, then by name and order of execution.

Only units of one kind with the same parts and shapes can stand for each other. Where several could, the evidence is
asked in turn: names that agree on both sides; what the units are next to; the order in which they are called; and for
units that no order can tell apart, since they are given the same input (a query, a key and a value) or are called at
once, how much their names have in common. Where that leaves two choices that are equally good, nothing is guessed: it
is listed.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeAlias

from alignment.neighbours import labels_of
from alignment.units import BARE, COUNTER, Unit
from porting.names import without_indices

Group: TypeAlias = "list[tuple[str, Unit]]"
"""Units, each with its path without what all paths of its side have in front."""
Distinction: TypeAlias = "Callable[[tuple[str, Unit]], str]"


@dataclass(frozen=True)
class Match:
    """Two units that hold the same.

    Attributes:
        reference: The reference's.
        candidate: The candidate's.
        evidence: What says so: `name`, `only one`, `neighbours`, `order` or `similar name`.
    """

    reference: Unit
    candidate: Unit
    evidence: str


@dataclass
class Matching:
    """What was matched, and what was not.

    Attributes:
        matches: The pairs.
        ambiguous: Lists of units, the reference's and the candidate's, that could be paired in several ways.
        reference_only: Units of the reference that nothing in the candidate can stand for.
        candidate_only: The other way round.
    """

    matches: list[Match] = field(default_factory=list)
    ambiguous: list[tuple[list[Unit], list[Unit]]] = field(default_factory=list)
    reference_only: list[Unit] = field(default_factory=list)
    candidate_only: list[Unit] = field(default_factory=list)


def match_units(reference: Sequence[Unit], candidate: Sequence[Unit]) -> Matching:
    """Match the units of two models.

    Args:
        reference: The reference's, see `alignment.units.units_of`.
        candidate: The candidate's.
    """
    found = Matching()
    theirs, ours = _by_signature(_stripped(reference)), _by_signature(_stripped(candidate))
    around = _around(reference, candidate)
    left: tuple[Group, Group] = ([], [])
    for signature in dict.fromkeys((*theirs, *ours)):
        rest = _match_group(theirs[signature], ours[signature], around, found)
        left[0].extend(rest[0])
        left[1].extend(rest[1])
    _match_tensors(*left, found)
    return found


def _around(reference: Sequence[Unit], candidate: Sequence[Unit]) -> list[Distinction]:
    """What tells units apart by their neighbours, the farthest sight first."""
    labels = [
        [dict(zip(map(id, units), each, strict=True)) for each in labels_of(units)] for units in (reference, candidate)
    ]
    both = [{**one, **other} for one, other in zip(*labels, strict=True)]
    return [partial(_known, known) for known in reversed(both[1:])]


def _known(labels: Mapping[int, str], each: tuple[str, Unit]) -> str:
    return labels[id(each[1])]


def _match_group(
    theirs: Group, ours: Group, around: Sequence[Distinction], found: Matching, only: str = "only one"
) -> tuple[Group, Group]:
    """Match units that could all stand for each other; returns those for which there are none."""
    if len(theirs) == len(ours) == 1:
        same = theirs[0][0] == ours[0][0]
        found.matches.append(Match(theirs[0][1], ours[0][1], "name" if same else only))
        return [], []
    if len(theirs) != len(ours) or {path for path, _ in theirs} == {path for path, _ in ours}:
        return _match_equal_names(theirs, ours, found)
    for distinction in (_by_words, *around, _by_last_word):
        classes = Counter(map(distinction, theirs))
        if len(classes) > 1 and classes == Counter(map(distinction, ours)):
            for each in classes:
                rest = [[unit for unit in side if distinction(unit) == each] for side in (theirs, ours)]
                evidence = "neighbours" if distinction in around else "similar name"
                _match_group(rest[0], rest[1], around, found, evidence)
            return [], []
    _match_ordered(theirs, ours, found)
    return [], []


def _match_equal_names(theirs: Group, ours: Group, found: Matching) -> tuple[Group, Group]:
    """Match what has the same name; where both sides have others left, nothing says which have no counterpart."""
    named = dict(ours)
    for path, unit in theirs:
        if path in named:
            found.matches.append(Match(unit, named[path], "name"))
    rest = [each for each in theirs if each[0] not in named], [each for each in ours if each[0] not in dict(theirs)]
    if all(rest):
        found.ambiguous.append(([unit for _, unit in rest[0]], [unit for _, unit in rest[1]]))
        return [], []
    return rest


def _match_ordered(theirs: Group, ours: Group, found: Matching) -> None:
    """Match as many units on one side as on the other, by the order in which they are called."""
    if any(unit.call is None for _, unit in (*theirs, *ours)):
        _match_similar(theirs, ours, found)
        return
    theirs, ours = (sorted(side, key=lambda each: each[1].call or 0) for side in (theirs, ours))
    for places in _indistinct([unit for _, unit in theirs], [unit for _, unit in ours]):
        if len(places) == 1:
            found.matches.append(Match(theirs[places[0]][1], ours[places[0]][1], "order"))
        else:
            _match_similar([theirs[place] for place in places], [ours[place] for place in places], found)


def _indistinct(theirs: Sequence[Unit], ours: Sequence[Unit]) -> list[list[int]]:
    """Places in the order, those together that it says nothing about on one side or the other."""
    group = list(range(len(theirs)))
    for units in (theirs, ours):
        first: dict[object, int] = {}
        for place, unit in enumerate(units):
            for token in (("call", unit.call), ("given", unit.given) if unit.given else ("place", place)):
                other = first.setdefault(token, place)
                old, new = group[place], group[other]
                group = [new if each == old else each for each in group]
    together: dict[int, list[int]] = defaultdict(list)
    for place, each in enumerate(group):
        together[each].append(place)
    return list(together.values())


def _match_similar(theirs: Group, ours: Group, found: Matching) -> None:
    """Match each unit with the one whose name has more in common with its own than any other's, both ways."""
    pairs: list[Match] = []
    while theirs:
        scores = [[similarity(path, other) for other, _ in ours] for path, _ in theirs]
        best = [(row, _only_best(scores[row])) for row in range(len(theirs))]
        sure = [(a, b) for a, b in best if b is not None and _only_best([line[b] for line in scores]) == a]
        if not sure and len(theirs) == 1 and pairs:
            sure = [(0, 0)]
        if not sure:
            found.ambiguous.append(([unit for _, unit in theirs], [unit for _, unit in ours]))
            break
        pairs += [Match(theirs[a][1], ours[b][1], "similar name") for a, b in sure]
        theirs = [each for place, each in enumerate(theirs) if place not in {a for a, _ in sure}]
        ours = [each for place, each in enumerate(ours) if place not in {b for _, b in sure}]
    found.matches += pairs


def _only_best(scores: Sequence[float]) -> int | None:
    """The place of the largest score; None where it is zero, or where another is as large."""
    largest = max(scores)
    places = [place for place, score in enumerate(scores) if score > largest - 1e-9]
    return places[0] if largest > 0 and len(places) == 1 else None


def _match_tensors(theirs: Group, ours: Group, found: Matching) -> None:
    """Match what is left tensor by tensor, by equal names: a norm written by hand and the framework's own."""
    named = {name: (unit, part) for path, unit in ours for part in unit.parts for name in _names(path, unit, part)}
    used: tuple[set[str], set[str]] = (set(), set())
    for unit, twin_unit in _same_weights(theirs, ours):
        for part in unit.parts.keys() & twin_unit.parts.keys():
            found.matches.append(Match(_alone(unit, part), _alone(twin_unit, part), "only one"))
            used[0].add(unit.parts[part].name)
            used[1].add(twin_unit.parts[part].name)
    for path, unit in theirs:
        for part in unit.parts:
            twin = next((named[name] for name in _names(path, unit, part) if name in named), None)
            taken = unit.parts[part].name in used[0] or (twin and twin[0].parts[twin[1]].name in used[1])
            if part != COUNTER and twin is not None and not taken and _stored_alike(unit, part, *twin):
                found.matches.append(Match(_alone(unit, part), _alone(*twin), "name"))
                used[0].add(unit.parts[part].name)
                used[1].add(twin[0].parts[twin[1]].name)
    found.reference_only += _without([unit for _, unit in theirs], used[0])
    found.candidate_only += _without([unit for _, unit in ours], used[1])


def _same_weights(theirs: Group, ours: Group) -> Iterator[tuple[Unit, Unit]]:
    """Units whose weights are the only ones of their kind and shape that are left, where one side lacks a bias."""
    reference, candidate = (_by_weight([unit for _, unit in side]) for side in (theirs, ours))
    for key, units in reference.items():
        others = candidate.get(key, [])
        parts = units[0].parts, others[0].parts if others else {}
        same = all(parts[0][part].shape == parts[1][part].shape for part in parts[0].keys() & parts[1].keys())
        if len(units) == len(others) == 1 and same:
            yield units[0], others[0]


def _by_weight(units: Sequence[Unit]) -> dict[object, list[Unit]]:
    found: dict[object, list[Unit]] = defaultdict(list)
    for unit in units:
        if "weight" in unit.parts:
            found[unit.kind, unit.parts["weight"].shape].append(unit)
    return found


def _stored_alike(unit: Unit, part: str, other: Unit, other_part: str) -> bool:
    """Whether two tensors can be the same: a matrix in modules of one kind only, else nothing says how it is stored."""
    shape = unit.parts[part].shape
    return shape == other.parts[other_part].shape and (len(shape) != 2 or unit.kind == other.kind)


def _without(units: Sequence[Unit], names: Collection[str]) -> Iterator[Unit]:
    for unit in units:
        rest = {part: each for part, each in unit.parts.items() if part != COUNTER and each.name not in names}
        if rest:
            yield replace(unit, parts=rest)


def _alone(unit: Unit, part: str) -> Unit:
    return Unit(unit.canonical(part), BARE, {"": unit.parts[part]})


def similarity(one: str, other: str) -> float:
    """How much two paths have in common, 0 to 1: words and numbers, or the beginning of a word."""
    words, others = _words(one), _words(other)
    if not words or not others:
        return 0.0
    score = sum(max(_alike(a, b) for b in others) for a in words) + sum(
        max(_alike(a, b) for a in words) for b in others
    )
    return score / (len(words) + len(others))


def _alike(one: str, other: str) -> float:
    if one == other:
        return 1.0
    begins = one.startswith(other) or other.startswith(one)
    return 0.5 if begins and not one.isdigit() and not other.isdigit() else 0.0


def _words(path: str) -> list[str]:
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+|\d+", path)]


def _stripped(units: Sequence[Unit]) -> Group:
    """The units with their paths, without the components that all of them have in front."""
    parts = [unit.path.split(".") for unit in units]
    length = 0
    while parts and all(len(each) > length + 1 and each[length] == parts[0][length] for each in parts):
        length += 1
    return [(".".join(each[length:]), unit) for each, unit in zip(parts, units, strict=True)]


def _by_signature(units: Group) -> dict[object, Group]:
    found: dict[object, Group] = defaultdict(list)
    for path, unit in units:
        found[unit.signature].append((path, unit))
    return found


def _by_words(each: tuple[str, Unit]) -> str:
    return without_indices(each[0])


def _by_last_word(each: tuple[str, Unit]) -> str:
    return next((part for part in reversed(each[0].split(".")) if not part.isdigit()), "")


def _names(path: str, unit: Unit, part: str) -> tuple[str, ...]:
    """The full name of a tensor, and the one without what all paths have in front; a counter has none."""
    return () if part == COUNTER else (unit.canonical(part), f"{path}.{part}".strip("."))
