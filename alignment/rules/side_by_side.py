"""The smallest set of differences between two data flows, found by laying their modules side by side in their order.

Where two models differ in one place, structure alone leaves more than that place without a counterpart: a tensor before
or after a difference no longer has the surroundings that it has in the other model. Here both flows are sequences, and
the cheapest way to turn one into the other (Needleman and Wunsch's method, with gaps that are cheap to lengthen, as
Gotoh has it) says what is only in one, or of another shape. It is for the list of differences alone: rules never
follow from it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import TypeAlias

from alignment.rules.forms import form
from alignment.rules.model import Model
from alignment.rules.similar_names import similarity
from alignment.rules.tensor_graph import INPUT
from porting.checkpoint.tensor import Shape

_SAME, _SAME_FORMS, _SAME_NAMES, _SAME_PATH = 3.0, 1.0, 0.5, 3.0
_OTHER_KIND = -2.0
_OPEN, _LONGER = -2.0, -0.2
_MOST = 500_000
"""Largest number of pairs of modules that are weighed; of larger models nothing is laid side by side."""


@dataclass
class Stretch:
    """Neighbouring tensors that really differ.

    Attributes:
        reference: Names in the reference without an equal counterpart; empty where the candidate has something more.
        candidate: Names in the candidate.
        after: The last tensors of both before the stretch; empty where it begins right after the input.
    """

    reference: list[str] = field(default_factory=list)
    candidate: list[str] = field(default_factory=list)
    after: tuple[str, str] = ("", "")


@dataclass(frozen=True)
class SideBySide:
    """Two data flows, laid side by side.

    Attributes:
        stretches: What differs, in the order of execution.
        pairs: Name in the reference to name in the candidate of tensors that stand side by side and are equal in form.
    """

    stretches: Sequence[Stretch]
    pairs: Mapping[str, str]


@dataclass(frozen=True)
class _Group:
    """Modules that are directly after the same ones, as one entry of the sequence."""

    names: tuple[str, ...]
    forms: tuple[Shape, ...]
    marks: frozenset[object]
    size: int
    path: str


_Step: TypeAlias = "tuple[_Group | None, _Group | None]"


def side_by_side(
    reference: Model, candidate: Model, marks: tuple[Mapping[str, object], Mapping[str, object]]
) -> SideBySide | None:
    """Lay the data flows of two models side by side.

    Args:
        reference: The reference.
        candidate: The candidate.
        marks: Of both sides, tensors whose counterpart the user has given, to what both have in common.

    Returns:
        The way with the fewest differences; None where the models are too large for that.
    """
    ways = []
    for together in (True, False):
        theirs, ours = (
            _groups(model, own, together=together) for model, own in zip((reference, candidate), marks, strict=True)
        )
        steps = _steps(theirs, ours)
        if steps is None:
            return None
        ways.append(_compared(reference, candidate, steps))
    return min(ways, key=_differing)


def _differing(way: SideBySide) -> tuple[int, int]:
    """Number of stretches, and of tensors in them."""
    return len(way.stretches), sum(len(stretch.reference) + len(stretch.candidate) for stretch in way.stretches)


def _groups(model: Model, marks: Mapping[str, object], *, together: bool) -> list[_Group]:
    """The modules of a model in their order; those directly after the same ones together, if they are to be."""
    module = _modules(model)
    numbers: dict[object, int] = {}
    group: dict[str, int] = {}
    members: dict[int, list[str]] = defaultdict(list)
    for name, earlier in model.flow.graph.before.items():
        first = module[name]
        if first not in group:
            around = frozenset(group.get(module.get(other, INPUT), -1) for other in earlier)
            group[first] = numbers.setdefault(around if together else first, len(numbers))
        members[group[first]].append(name)
    return [_group(model, names, marks) for names in members.values()]


def _modules(model: Model) -> dict[str, str]:
    """Each tensor to the first one of its module, where it comes directly after another one of the module."""
    module: dict[str, str] = {}
    for name, earlier in model.flow.graph.before.items():
        only = earlier[0] if len(earlier) == 1 else INPUT
        same = only in module and model.stored[only].path == model.stored[name].path
        module[name] = module[only] if same else name
    return module


def _group(model: Model, names: Sequence[str], marks: Mapping[str, object]) -> _Group:
    shapes = model.flow.shapes
    own = tuple(name for name in names if name not in marks)
    forms = tuple(sorted(form(shapes[name]) for name in own))
    size = sum(prod(shapes[name]) for name in own)
    return _Group(
        own, forms, frozenset(marks[name] for name in names if name in marks), size, model.stored[names[0]].path
    )


def _equal(one: _Group, other: _Group) -> bool:
    return one.size == other.size and one.marks == other.marks


def _score(one: _Group, other: _Group) -> float:
    """How well two groups stand side by side: above zero for equal ones."""
    names = _SAME_PATH if one.path == other.path else _SAME_NAMES * similarity(one.path, other.path)
    if _equal(one, other):
        return _SAME + names + (_SAME_FORMS if one.forms == other.forms else 0.0)
    if one.marks or other.marks:
        return 2 * _OTHER_KIND
    shared = sum(prod(shape) for shape in (Counter(one.forms) & Counter(other.forms)).elements())
    alike = [len(shape) for shape in one.forms] == [len(shape) for shape in other.forms]
    share = shared / max(one.size, other.size, 1)
    return (0.0 if alike else _OTHER_KIND) + names + (1 + 2 * share if shared else 0.0) - 1


def _steps(theirs: Sequence[_Group], ours: Sequence[_Group]) -> list[_Step] | None:
    """The cheapest way through both sequences, with None for a gap; None where that would take too long."""
    start = 0
    while start < min(len(theirs), len(ours)) and _same(theirs[start], ours[start]):
        start += 1
    end = 0
    while end < min(len(theirs), len(ours)) - start and _same(theirs[-1 - end], ours[-1 - end]):
        end += 1
    between = theirs[start : len(theirs) - end], ours[start : len(ours) - end]
    if len(between[0]) * len(between[1]) > _MOST:
        return None
    middle = _through(*between)
    first = list(zip(theirs[:start], ours[:start], strict=True))
    last = list(zip(theirs[len(theirs) - end :], ours[len(ours) - end :], strict=True))
    return [*first, *middle, *last]


def _same(one: _Group, other: _Group) -> bool:
    return _equal(one, other) and one.forms == other.forms


def _through(theirs: Sequence[_Group], ours: Sequence[_Group]) -> list[_Step]:
    """The cheapest way through two sequences, by dynamic programming with three states: both, or a gap in one."""
    rows, columns, never = len(theirs) + 1, len(ours) + 1, float("-inf")
    best = [[[never] * columns for _ in range(rows)] for _ in range(3)]
    came = [[[0] * columns for _ in range(rows)] for _ in range(3)]
    best[0][0][0] = 0.0
    for row in range(rows):
        for column in range(columns):
            for state, (up, left) in enumerate(((1, 1), (1, 0), (0, 1))):
                if row < up or column < left or (row, column) == (0, 0):
                    continue
                earlier = [best[other][row - up][column - left] for other in range(3)]
                if state == 0:
                    gain = _score(theirs[row - 1], ours[column - 1])
                else:
                    gain = _OPEN
                    earlier[state] += _LONGER - _OPEN
                came[state][row][column] = max(range(3), key=earlier.__getitem__)
                best[state][row][column] = max(earlier) + gain
    return _back(theirs, ours, best, came)


def _back(
    theirs: Sequence[_Group],
    ours: Sequence[_Group],
    best: Sequence[Sequence[Sequence[float]]],
    came: Sequence[Sequence[Sequence[int]]],
) -> list[_Step]:
    row, column = len(theirs), len(ours)
    state = max(range(3), key=lambda one: best[one][row][column])
    steps: list[_Step] = []
    while row or column:
        earlier = came[state][row][column]
        one = theirs[row - 1] if state != 2 else None
        other = ours[column - 1] if state != 1 else None
        steps.append((one, other))
        row, column, state = row - (state != 2), column - (state != 1), earlier
    return steps[::-1]


def _compared(reference: Model, candidate: Model, steps: Sequence[_Step]) -> SideBySide:
    """What differs in two sequences that stand side by side, neighbours together."""
    stretches: list[Stretch] = []
    pairs: dict[str, str] = {}
    last, broken = ("", ""), True
    for one, other in steps:
        theirs, ours = list(one.names if one else ()), list(other.names if other else ())
        if one and other and _equal(one, other):
            if one.forms == other.forms:
                pairs.update(_paired(reference, candidate, theirs, ours))
            broken = True
        else:
            equal = dict(_paired(reference, candidate, theirs, ours))
            pairs.update(equal)
            if broken:
                stretches.append(Stretch(after=last))
            stretches[-1].reference += [name for name in theirs if name not in equal]
            stretches[-1].candidate += [name for name in ours if name not in equal.values()]
            broken = False
        if one and other and theirs and ours:
            last = (theirs[-1], ours[-1]) if broken else last
    return SideBySide([stretch for stretch in stretches if stretch.reference or stretch.candidate], pairs)


def _paired(
    reference: Model, candidate: Model, theirs: Sequence[str], ours: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """Tensors of the same form, those first whose modules and names are most alike."""
    forms = [
        {name: form(model.flow.shapes[name]) for name in names}
        for model, names in ((reference, theirs), (candidate, ours))
    ]
    free = dict(forms[1])
    for name in theirs:
        same = [other for other, own in free.items() if own == forms[0][name]]
        if same:
            kind = reference.stored[name]
            best = max(
                same,
                key=lambda other: (
                    candidate.stored[other].kind == kind.kind,
                    candidate.stored[other].part == kind.part,
                    similarity(name, other),
                ),
            )
            del free[best]
            yield name, best
