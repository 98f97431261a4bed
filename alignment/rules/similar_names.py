"""Similarity of module names: how much two have in common, and which are nearest in both directions.

Numbers do not count: where activations are modules on one side only, `features.4` is `features.2` on the other.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence


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
