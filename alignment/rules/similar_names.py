"""Similarity of module names: how much two have in common, and which are nearest in both directions.

Numbers do not count: where activations are modules on one side only, `features.4` is `features.2` on the other.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from porting.names import by_number


def words_of(path: str) -> str:
    """The words of a path, in its order, without numbers."""
    return ".".join(_words(path))


def similarity(one: str, other: str) -> float:
    """How much two paths have in common, 0 to 1: words, or the beginning of a word."""
    words, others = _words(one), _words(other)
    if not words or not others:
        return 0.0
    score = sum(max(_alike(a, b) for b in others) for a in words) + sum(
        max(_alike(a, b) for a in words) for b in others
    )
    return score / (len(words) + len(others))


def agree(one: str, other: str) -> bool:
    """Whether every word of either path has something in common with one of the other."""
    words, others = _words(one), _words(other)
    there = all(any(_alike(a, b) for b in others) for a in words)
    return bool(words) and there and all(any(_alike(a, b) for a in words) for b in others)


def best_of_both(names: Collection[str], others: Collection[str]) -> Iterator[tuple[str, str]]:
    """Pairs of names that have more in common than with any other, both ways; then of those that are left, and so on.

    Where that leaves one on each side, they are a pair as well.
    """
    left_names, left_others, some = list(names), list(others), False
    while left_names and left_others:
        sure = surest(left_names, left_others)
        if not sure and len(left_names) == len(left_others) == 1 and some:
            sure = [(left_names[0], left_others[0])]
        if not sure:
            return
        some = True
        yield from sure
        left_names = [name for name in left_names if name not in {name for name, _ in sure}]
        left_others = [name for name in left_others if name not in {name for _, name in sure}]


def surest(names: Sequence[str], others: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of names that have more in common with each other than with any other, both ways."""
    unique, unique_others = list(dict.fromkeys(names)), list(dict.fromkeys(others))
    scores: dict[str, dict[str, float]] = defaultdict(dict)
    for name in unique:
        for other in unique_others:
            scores[name][other] = scores[f"\0{other}"][name] = similarity(name, other)
    best = {name: _only_best(scores[name]) for name in unique}
    back = {other: _only_best(scores[f"\0{other}"]) for other in unique_others}
    return [(name, other) for name, other in best.items() if other is not None and back[other] == name]


def _only_best(scores: Mapping[str, float]) -> str | None:
    """The name with the largest score; None where it is zero, or where another is as large."""
    largest = max(scores.values(), default=0.0)
    names = [name for name, score in scores.items() if score > largest - 1e-9]
    return names[0] if largest > 0 and len(names) == 1 else None


def _alike(one: str, other: str) -> float:
    if one == other:
        return 1.0
    return 0.5 if one.startswith(other) or other.startswith(one) else 0.0


def _words(path: str) -> list[str]:
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", path)]


def pair_by_names(names: Sequence[str], others: Sequence[str]) -> tuple[dict[str, str], bool]:
    """As many names as others, paired by what they have in common; in their order where that says nothing.

    Returns:
        The pairs; and whether names alone settle all of them.
    """
    if set(names) == set(others):
        return {name: name for name in names}, True
    pairs: dict[str, str] = {}
    groups = [_by_words(side) for side in (names, others)]
    if len(groups[0]) == len(groups[1]) == 1:
        words, others_words = next(iter(groups[0])), next(iter(groups[1]))
        sure = words == others_words and _same_numbers(names, others)
        return dict(zip(sorted(names, key=by_number), sorted(others, key=by_number), strict=True)), sure
    sure = True
    for words, other_words in best_of_both(list(groups[0]), list(groups[1])):
        one, other = groups[0][words], groups[1][other_words]
        if len(one) == len(other):
            pairs |= dict(zip(sorted(one, key=by_number), sorted(other, key=by_number), strict=True))
            sure = sure and (len(one) == 1 or _same_numbers(one, other))
    rest = [name for name in names if name not in pairs]
    taken = set(pairs.values())
    return pairs | dict(zip(rest, [name for name in others if name not in taken], strict=True)), sure and not rest


def named_alike(names: Sequence[str], others: Sequence[str]) -> bool:
    """Whether each name has more words in common with the other that it is paired with than with any further one.

    Numbers do not count: `fc1` of one author may be `fc2` of another.

    Args:
        names: Names of one side.
        others: As many of the other side, in the order of those that they are paired with.
    """
    words, other_words = ([set(_words(name)) for name in side] for side in (names, others))
    shared = [[len(own & other) for other in other_words] for own in words]
    return (
        all(
            row[place]
            > max((count for at, count in enumerate(row) if other_words[at] != other_words[place]), default=0)
            for place, row in enumerate(shared)
        )
        and len(set(map(frozenset, words))) > 1
    )


_ROLES = {
    **dict.fromkeys(("q", "query", "queries", "wq", "qproj"), "q"),
    **dict.fromkeys(("k", "key", "keys", "wk", "kproj"), "k"),
    **dict.fromkeys(("v", "value", "values", "wv", "vproj"), "v"),
}
"""Words for the parts of an attention."""


def roles_of(names: Iterable[str]) -> tuple[str, ...]:
    """Return for each name whether it is a query (`q`), a key (`k`) or a value (`v`); empty for what tells none."""
    words = [[word for part in name.lower().split(".") for word in re.split(r"[_\d]+", part)] for name in names]
    return tuple(next((_ROLES[word] for word in reversed(own) if word in _ROLES), "") for own in words)


def in_numbered_order(names: Sequence[str]) -> bool:
    """Return whether names differ in their numbers alone, and come in the order of these."""
    return (
        len({*map(words_of, names)}) == 1 and len({*names}) == len(names) and sorted(names, key=by_number) == [*names]
    )


def _by_words(names: Iterable[str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for name in names:
        groups[words_of(name)].append(name)
    return groups


def _same_numbers(names: Iterable[str], others: Iterable[str]) -> bool:
    numbers = [sorted(tuple(re.findall(r"\d+", name)) for name in side) for side in (names, others)]
    return numbers[0] == numbers[1] and len(set(numbers[0])) == len(numbers[0])
