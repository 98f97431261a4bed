"""Rules with placeholders from rules that name every tensor: `layer1.0.bn1.bias` becomes `layer{a}.{b}.bn{c}.bias`."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from itertools import pairwise
from typing import NamedTuple

from porting.patterns import Pattern

_NUMBER = re.compile(r"0|[1-9]\d{0,8}")
_LETTERS = "abcdefghij"


class Row(NamedTuple):
    """What becomes of one tensor: its name, its name in the other layout (None: it is left out), and the operation.

    Several tensors of one rule are joined by ` + `.
    """

    source: str
    target: str | None
    operation: str = ""


def generalised(rows: Iterable[Row]) -> list[Row]:
    """Return rows with placeholders that stand for exactly these rows, in the order of first appearance."""
    rows = list(dict.fromkeys(rows))
    names = ({row.source for row in rows}, {row.target for row in rows if row.target is not None})
    groups: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in rows:
        groups[(_skeleton(row.source), _skeleton(row.target or ""), row.operation)].append(row)
    return [pattern for group in groups.values() for pattern in _patterns(group, names)]


def _patterns(rows: Sequence[Row], names: tuple[Set[str], Set[str]]) -> list[Row]:
    """The patterns of rows that are alike but for their numbers; as few as there can be by splitting at one number."""
    whole = _fitted(rows, names)
    if whole is not None:
        return [whole]
    best: list[Row] = list(rows)
    for place in range(len(_numbers(rows[0].source))):
        parts: dict[int, list[Row]] = defaultdict(list)
        for row in rows:
            parts[_numbers(row.source)[place]].append(row)
        if len(parts) > 1:
            split = [pattern for part in parts.values() for pattern in _patterns(part, names)]
            best = min(best, split, key=len)
    return best


def _fitted(rows: Sequence[Row], names: tuple[Set[str], Set[str]]) -> Row | None:
    """One row with placeholders for all of these; None where there is none, or it would stand for others too."""
    sources = [_numbers(row.source) for row in rows]
    varying = [place for place in range(len(sources[0])) if len({numbers[place] for numbers in sources}) > 1]
    columns = {place: tuple(numbers[place] for numbers in sources) for place in varying}
    distinct = dict(zip(dict.fromkeys(columns.values()), _LETTERS, strict=False))  # one letter for equal numbers
    letters = {place: distinct[column] for place, column in columns.items() if column in distinct}
    source = _filled(
        rows[0].source, [f"{{{letters[i]}}}" if i in letters else str(n) for i, n in enumerate(sources[0])]
    )
    if rows[0].target is None:
        pattern = Row(source, None, rows[0].operation)
        return pattern if _stands_for(pattern, rows, names) else None
    targets = [_numbers(row.target or "") for row in rows]
    words: list[str] = []
    used: set[int] = set()
    for place in range(len(targets[0])):
        values = [numbers[place] for numbers in targets]
        found = _bound(values, sources, [*(i for i in varying if i not in used), *sorted(used)])
        if found is None:
            return None
        if found[0] is not None:
            used.add(found[0])
        words.append(_word(found, letters, values[0]))
    pattern = Row(source, _filled(rows[0].target, words), rows[0].operation)
    bound = {letters.get(place) for place in used} == {letters.get(place) for place in varying}
    return pattern if bound and _stands_for(pattern, rows, names) else None


def _bound(values: list[int], sources: list[list[int]], places: list[int]) -> tuple[int | None, int] | None:
    """The number of the source, and the offset, that numbers of the target follow; (None, 0) where they are all one."""
    if len(set(values)) == 1:
        return None, 0
    offsets = {
        place: {value - numbers[place] for value, numbers in zip(values, sources, strict=True)} for place in places
    }
    fitting = [(place, next(iter(found))) for place, found in offsets.items() if len(found) == 1]
    return min(fitting, key=lambda one: abs(one[1]), default=None)


def _word(found: tuple[int | None, int], letters: dict[int, str], value: int) -> str:
    place, offset = found
    return str(value) if place is None else f"{{{letters[place]}{f'{offset:+d}' if offset else ''}}}"


def _stands_for(pattern: Row, rows: Sequence[Row], names: tuple[Set[str], Set[str]]) -> bool:
    matched = _matching(pattern.source, names[0])
    if pattern.target is None:
        return matched == {row.source for row in rows}
    return matched == {row.source for row in rows} and _matching(pattern.target, names[1]) == {
        row.target for row in rows if row.target is not None
    }


def _matching(text: str, names: Set[str]) -> set[str]:
    pattern = Pattern(text)
    return {name for name in names if pattern.match(name) is not None}


def _numbers(name: str) -> list[int]:
    return [int(number) for number in _NUMBER.findall(name)]


def _skeleton(name: str) -> str:
    return _NUMBER.sub("#", name)


def _filled(name: str, words: Sequence[str]) -> str:
    left = iter(words)
    return _NUMBER.sub(lambda _: next(left), name)


def folded(shapes: Mapping[str, Sequence[int]]) -> dict[str, list[int | list[int]]]:
    """Return folded names with the shapes of the tensors that each stands for.

    A length that grows from name to name is a pair: the first one, and the step.
    """
    left = dict(shapes)
    found: dict[str, list[int | list[int]]] = {}
    for name in shapes:
        for place in range(len(_numbers(name))):
            if name in left and (run := _run(name, place, left)):
                grown = [left.pop(one) for one in run]
                found[_set(name, place, [_numbers(one)[place] for one in run])] = _progression(grown) or []
    groups: dict[tuple[int, ...], list[str]] = defaultdict(list)
    for name, shape in left.items():
        groups[tuple(shape)].append(name)
    return found | {name: list(shape) for shape, names in groups.items() for name in _folded(names)}


def _run(name: str, place: int, shapes: Mapping[str, Sequence[int]]) -> list[str]:
    """Names from this one on whose number at a place counts on, and whose shapes grow by one step; three or more."""
    numbers, run = _numbers(name), [name]
    while True:
        numbers[place] += 1
        after = _filled(name, list(map(str, numbers)))
        if after not in shapes or _progression([shapes[one] for one in (*run, after)]) is None:
            break
        run.append(after)
    grows = len(run) > 2 and shapes[run[0]] != shapes[run[1]]
    return run if grows else []


def _progression(shapes: Sequence[Sequence[int]]) -> list[int | list[int]] | None:
    """The shape whose lengths grow by steps; None where these do not."""
    if len({len(shape) for shape in shapes}) > 1:
        return None
    lengths: list[int | list[int]] = []
    for column in zip(*shapes, strict=True):
        steps = {after - before for before, after in pairwise(column)}
        if len(steps) > 1 or (0 in column and steps != {0}):
            return None
        step = next(iter(steps), 0)
        lengths.append([column[0], step] if step else column[0])
    return lengths


def _folded(names: Sequence[str]) -> list[str]:
    """Names that differ in numbers only, folded number by number, the last first."""
    members = {name: _numbers(name) for name in names}
    for place in reversed(range(max(map(len, members.values()), default=0))):
        groups: dict[tuple[str, ...], list[tuple[str, int]]] = defaultdict(list)
        for name, numbers in members.items():
            pieces = _PIECES.split(name)
            if place < len(numbers):
                key = ("set", *pieces[: 2 * place + 1], *pieces[2 * place + 2 :])
                groups[key].append((name, numbers[place]))
            else:
                key = ("as it is", *pieces)
                groups[key].append((name, -1))
        merged = {}
        for together in groups.values():
            name = together[0][0]
            values = sorted(value for _, value in together)
            merged[_set(name, place, values) if len(values) > 1 else name] = members[name]
        members = merged
    return list(members)


_PIECES = re.compile(r"(\{[\d.,]+\}|0|[1-9]\d{0,8})")


def _set(name: str, place: int, values: Sequence[int]) -> str:
    """The name with a set of numbers at a place: `a.{0..2,4}.w`."""
    runs: list[list[int]] = []
    for value in values:
        if runs and runs[-1][1] + 1 == value:
            runs[-1][1] = value
        else:
            runs.append([value, value])
    pieces = _PIECES.split(name)
    pieces[2 * place + 1] = "{" + ",".join(str(a) if a == b else f"{a}..{b}" for a, b in runs) + "}"
    return "".join(pieces)
