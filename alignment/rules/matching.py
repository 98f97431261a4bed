"""Which unit of a candidate stands for which of the reference: by kind and shape, then by name and order of execution.

Only units of one kind with the same parts and shapes can stand for each other. Where several could, the evidence is
asked in turn: names that agree on both sides; what the units are next to; the order in which they are called, where
one is given what is made of the other's output; and for units that no order can tell apart, since they are branches
side by side (a query, a key and a value), how much their names have in common. Where that leaves two choices that are
equally good, or names say something else than neighbours and order do, nothing is guessed: it is listed.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeAlias

from alignment.pair.units import BARE, COUNTER, Unit
from alignment.rules.neighbours import labels_of
from alignment.rules.similar_names import agree, best_of_both, similarity, surest, words_of
from porting.names import without_indices
from porting.operations import between

Group: TypeAlias = "list[tuple[str, Unit]]"
"""Units, each with its path without what all paths of its side have in front."""
Distinction: TypeAlias = "Callable[[tuple[str, Unit]], str]"
_ENOUGH = 0.5
"""What two names must have in common to contradict other evidence."""


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


@dataclass(frozen=True)
class Ambiguity:
    """Units that could be paired in several ways that are equally good.

    Attributes:
        reference: The reference's.
        candidate: The candidate's.
        by_evidence: Pairing of one of them by other evidence than its name, where a name contradicts it.
        by_name: Pairing of the same one by its name.
    """

    reference: Sequence[Unit]
    candidate: Sequence[Unit]
    by_evidence: Match | None = None
    by_name: Match | None = None


@dataclass
class Matching:
    """What was matched, and what was not.

    Attributes:
        matches: The pairs.
        ambiguous: What could be paired in several ways.
        reference_only: Units of the reference that nothing in the candidate can stand for.
        candidate_only: The other way round.
    """

    matches: list[Match] = field(default_factory=list)
    ambiguous: list[Ambiguity] = field(default_factory=list)
    reference_only: list[Unit] = field(default_factory=list)
    candidate_only: list[Unit] = field(default_factory=list)


def match_units(reference: Sequence[Unit], candidate: Sequence[Unit]) -> Matching:
    """Match the units of two models.

    Args:
        reference: The reference's, see `alignment.pair.units.units_of`.
        candidate: The candidate's.
    """
    matching = Matching()
    theirs, ours = _by_signature(_stripped(reference)), _by_signature(_stripped(candidate))
    around = _around(reference, candidate)
    left: tuple[Group, Group] = ([], [])
    for signature in dict.fromkeys((*theirs, *ours)):
        first = len(matching.matches)
        rest = _match_group(theirs[signature], ours[signature], around, matching)
        paths = {id(unit): path for path, unit in (*theirs[signature], *ours[signature])}
        matching.matches[first:] = _undoubted(matching.matches[first:], paths, matching)
        left[0].extend(rest[0])
        left[1].extend(rest[1])
    _match_tensors(*left, matching)
    return matching


def _around(reference: Sequence[Unit], candidate: Sequence[Unit]) -> list[Distinction]:
    """What tells units apart by their neighbours, the farthest sight first."""
    labels = [
        [dict(zip(map(id, units), words, strict=True)) for words in labels_of(units)]
        for units in (reference, candidate)
    ]
    both = [{**one, **other} for one, other in zip(*labels, strict=True)]
    return [partial(_known, known) for known in reversed(both[1:])]


def _known(labels: Mapping[int, str], named: tuple[str, Unit]) -> str:
    return labels[id(named[1])]


def _match_group(
    theirs: Group, ours: Group, around: Sequence[Distinction], matching: Matching, only: str = "only one"
) -> tuple[Group, Group]:
    """Match units that could all stand for each other; returns those for which there are none."""
    if len(theirs) == len(ours) == 1:
        same = theirs[0][0] == ours[0][0]
        matching.matches.append(Match(theirs[0][1], ours[0][1], "name" if same else only))
        return [], []
    if len(theirs) != len(ours) or _same_names(theirs, ours):
        return _match_equal_names(theirs, ours, matching)
    for distinction in (_by_words, *around, _by_last_word):
        classes = Counter(map(distinction, theirs))
        if len(classes) > 1 and classes == Counter(map(distinction, ours)):
            for label in classes:
                rest = [[unit for unit in side if distinction(unit) == label] for side in (theirs, ours)]
                evidence = "neighbours" if distinction in around else "similar name"
                _match_group(rest[0], rest[1], around, matching, evidence)
            return [], []
    _match_ordered(theirs, ours, matching)
    return [], []


def _same_names(theirs: Group, ours: Group) -> bool:
    """Whether both sides have the same names; what is but a number, without what all have in front, is none."""
    if {unit.path for _, unit in theirs} == {unit.path for _, unit in ours}:
        return True
    return {path for path, _ in theirs} == {path for path, _ in ours} and all(words_of(path) for path, _ in theirs)


def _match_equal_names(theirs: Group, ours: Group, matching: Matching) -> tuple[Group, Group]:
    """Match what has the same name; where both sides have others left, nothing says which have no counterpart."""
    named = dict(ours)
    for path, unit in theirs:
        if path in named:
            matching.matches.append(Match(unit, named[path], "name"))
    names = dict(theirs)
    rest = [(path, unit) for path, unit in theirs if path not in named], [pair for pair in ours if pair[0] not in names]
    if all(rest):
        matching.ambiguous.append(Ambiguity(_units(rest[0]), _units(rest[1])))
        return [], []
    return rest


def _match_ordered(theirs: Group, ours: Group, matching: Matching) -> None:
    """Match as many units on one side as on the other, by the order in which they are called."""
    theirs, ours = (sorted(side, key=lambda named: named[1].call or 0) for side in (theirs, ours))
    for places in _indistinct(_units(theirs), _units(ours)):
        if len(places) == 1:
            matching.matches.append(Match(theirs[places[0]][1], ours[places[0]][1], "order"))
        else:
            _match_similar([theirs[place] for place in places], [ours[place] for place in places], matching)


def _indistinct(theirs: Sequence[Unit], ours: Sequence[Unit]) -> list[list[int]]:
    """Places in the order, those together that it says nothing about on one side or the other."""
    group = list(range(len(theirs)))
    for units in (theirs, ours):
        for place, unit in enumerate(units):
            for earlier in range(place):
                if units[earlier].module not in unit.after and group[earlier] != group[place]:
                    old, new = group[place], group[earlier]
                    group = [new if number == old else number for number in group]
    together: dict[int, list[int]] = defaultdict(list)
    for place, number in enumerate(group):
        together[number].append(place)
    return list(together.values())


def _match_similar(theirs: Group, ours: Group, matching: Matching) -> None:
    """Match units that no order tells apart: first by the words of their names, then those that share all words."""
    sides = [_by_name(side) for side in (theirs, ours)]
    if len(sides[0]) == len(sides[1]) == 1:
        _match_numbered(theirs, ours, matching)
        return
    for name, other in best_of_both(sides[0], sides[1]):
        alike, others = sides[0].pop(name), sides[1].pop(other)
        if len(alike) == len(others) == 1:
            matching.matches.append(Match(alike[0][1], others[0][1], "similar name"))
        elif len(alike) == len(others):
            _match_ordered(alike, others, matching)
        else:
            sides[0][name], sides[1][other] = alike, others
    rest = [[named for units in side.values() for named in units] for side in sides]
    if rest[0]:
        matching.ambiguous.append(Ambiguity(_units(rest[0]), _units(rest[1])))


def _match_numbered(theirs: Group, ours: Group, matching: Matching) -> None:
    """Match units that share all words of their names by the numbers in them, if the words agree on both sides."""
    numbers = [{_numbers(path): unit for path, unit in side} for side in (theirs, ours)]
    unique = len(numbers[0]) == len(theirs) and numbers[0].keys() == numbers[1].keys()
    if unique and agree(theirs[0][0], ours[0][0]):
        matching.matches += [Match(unit, numbers[1][digits], "similar name") for digits, unit in numbers[0].items()]
    else:
        matching.ambiguous.append(Ambiguity(_units(theirs), _units(ours)))


def _undoubted(matches: Sequence[Match], paths: Mapping[int, str], matching: Matching) -> Sequence[Match]:
    """The matches that names do not contradict, among those of units that could all stand for each other."""
    theirs = [words_of(paths[id(match.reference)]) for match in matches]
    ours = [words_of(paths[id(match.candidate)]) for match in matches]
    by_name = {name: other for name, other in surest(theirs, ours) if similarity(name, other) >= _ENOUGH}
    back = {other: name for name, other in by_name.items()}
    wrong = [
        place
        for place, match in enumerate(matches)
        if match.evidence in ("order", "neighbours") and by_name.get(theirs[place], ours[place]) != ours[place]
    ]
    if not wrong:
        return matches
    doubtful = [p for p in range(len(matches)) if p in wrong or back.get(ours[p], theirs[p]) != theirs[p]]
    one = matches[wrong[0]]
    named = next(match.candidate for p, match in enumerate(matches) if ours[p] == by_name[theirs[wrong[0]]])
    units = [matches[p].reference for p in doubtful], [matches[p].candidate for p in doubtful]
    matching.ambiguous.append(Ambiguity(*units, one, Match(one.reference, named, "name")))
    return [match for p, match in enumerate(matches) if p not in doubtful]


def _match_tensors(theirs: Group, ours: Group, matching: Matching) -> None:
    """Match what is left tensor by tensor, by equal names: a norm written by hand and the framework's own."""
    named = {name: (unit, part) for path, unit in ours for part in unit.parts for name in _names(path, unit, part)}
    used: tuple[set[str], set[str]] = (set(), set())
    for unit, twin_unit in (*_same_weights(theirs, ours), *_same_but_for_ones(theirs, ours)):
        for part in unit.parts.keys() & twin_unit.parts.keys():
            matching.matches.append(Match(_alone(unit, part), _alone(twin_unit, part), "only one"))
            used[0].add(unit.parts[part].name)
            used[1].add(twin_unit.parts[part].name)
    for path, unit in theirs:
        for part in unit.parts:
            twin = next((named[name] for name in _names(path, unit, part) if name in named), None)
            taken = unit.parts[part].name in used[0] or (twin and twin[0].parts[twin[1]].name in used[1])
            if part != COUNTER and twin is not None and not taken and _stored_alike(unit, part, *twin):
                matching.matches.append(Match(_alone(unit, part), _alone(*twin), "name"))
                used[0].add(unit.parts[part].name)
                used[1].add(twin[0].parts[twin[1]].name)
    matching.reference_only += _without([unit for _, unit in theirs], used[0])
    matching.candidate_only += _without([unit for _, unit in ours], used[1])


def _same_weights(theirs: Group, ours: Group) -> Iterator[tuple[Unit, Unit]]:
    """Units whose weights are the only ones of their kind and shape that are left, where one side lacks a bias."""
    reference, candidate = (_by_weight([unit for _, unit in side]) for side in (theirs, ours))
    for key, units in reference.items():
        others = candidate.get(key, [])
        parts = units[0].parts, others[0].parts if others else {}
        same = all(parts[0][part].shape == parts[1][part].shape for part in parts[0].keys() & parts[1].keys())
        if len(units) == len(others) == 1 and same:
            yield units[0], others[0]


def _same_but_for_ones(theirs: Group, ours: Group) -> Iterator[tuple[Unit, Unit]]:
    """Bare tensors that are the only ones left of their lengths, axes of length one not counted."""
    sides = []
    for side in (theirs, ours):
        by_lengths: dict[tuple[int, ...], list[Unit]] = defaultdict(list)
        for unit in _units(side):
            if unit.kind == BARE:
                by_lengths[tuple(length for length in unit.parts[""].shape if length != 1)].append(unit)
        sides.append(by_lengths)
    for lengths, units in sides[0].items():
        others = sides[1].get(lengths, [])
        if len(units) == len(others) == 1 and between(units[0].parts[""].shape, others[0].parts[""].shape):
            yield units[0], others[0]


def _by_weight(units: Sequence[Unit]) -> dict[object, list[Unit]]:
    groups: dict[object, list[Unit]] = defaultdict(list)
    for unit in units:
        if "weight" in unit.parts:
            groups[unit.kind, unit.parts["weight"].shape].append(unit)
    return groups


def _stored_alike(unit: Unit, part: str, other: Unit, other_part: str) -> bool:
    """Whether two tensors can be the same: a matrix in modules of one kind only, else nothing says how it is stored."""
    shape, other_shape = unit.parts[part].shape, other.parts[other_part].shape
    if unit.kind == other.kind == BARE and between(shape, other_shape):
        return True
    return shape == other_shape and (len(shape) != 2 or unit.kind == other.kind)


def _without(units: Sequence[Unit], names: Collection[str]) -> Iterator[Unit]:
    for unit in units:
        rest = {part: tensor for part, tensor in unit.parts.items() if part != COUNTER and tensor.name not in names}
        if rest:
            yield replace(unit, parts=rest)


def _alone(unit: Unit, part: str) -> Unit:
    return Unit(unit.canonical(part), BARE, {"": unit.parts[part]})


def _stripped(units: Sequence[Unit]) -> Group:
    """The units with their paths, without the components that all of them have in front."""
    parts = [unit.path.split(".") for unit in units]
    length = 0
    while parts and all(len(words) > length + 1 and words[length] == parts[0][length] for words in parts):
        length += 1
    return [(".".join(words[length:]), unit) for words, unit in zip(parts, units, strict=True)]


def _by_signature(units: Group) -> dict[object, Group]:
    groups: dict[object, Group] = defaultdict(list)
    for path, unit in units:
        groups[unit.signature].append((path, unit))
    return groups


def _by_name(units: Group) -> dict[str, Group]:
    """Units by the words of their names, numbers left out."""
    groups: dict[str, Group] = defaultdict(list)
    for path, unit in units:
        groups[words_of(path)].append((path, unit))
    return groups


def _numbers(path: str) -> tuple[str, ...]:
    return tuple(re.findall(r"\d+", path))


def _units(group: Group) -> list[Unit]:
    return [unit for _, unit in group]


def _by_words(named: tuple[str, Unit]) -> str:
    return without_indices(named[0])


def _by_last_word(named: tuple[str, Unit]) -> str:
    return next((part for part in reversed(named[0].split(".")) if not part.isdigit()), "")


def _names(path: str, unit: Unit, part: str) -> tuple[str, ...]:
    """The full name of a tensor, and the one without what all paths have in front; a counter has none."""
    return () if part == COUNTER else (unit.canonical(part), f"{path}.{part}".strip("."))
