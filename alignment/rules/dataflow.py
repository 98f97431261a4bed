"""Which modules are given something that is made of what others give: tried out, for functions between them hide it.

Two modules that are called one after the other may as well be branches that run side by side, so the order of calls
says nothing by itself. What a module gives is changed, and whoever is given something else then comes after it.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial

import numpy as np

from alignment.arrays import Array
from alignment.backends.base import Replaced, Tap, Taps


@dataclass
class _Seen:
    """The first calls of modules in one pass: digests of what each was given and gave, and some of what they gave."""

    given: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    gave: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    outputs: dict[str, list[Array]] = field(default_factory=lambda: defaultdict(list))


def successors(taps: Taps, run: Callable[[], object], forms: Iterable[Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """For each module the nearest of its form, by path, that its input is made of.

    Args:
        taps: Of the model.
        run: A pass of the model.
        forms: Paths of modules that have the same form, in the order in which they are called.
    """
    forms = [paths for paths in forms if len(paths) > 1]
    if not forms:
        return {}
    wanted = {path for paths in forms for path in paths}
    plain = _watched(taps, run, wanted)
    makers = _makers(plain)
    changed = cache(partial(_changed, taps, run, plain=plain))
    found: dict[str, tuple[str, ...]] = {}
    for paths in forms:
        later: dict[str, frozenset[str]] = {paths[-1]: frozenset()}
        for place in reversed(range(len(paths) - 1)):
            rest = paths[place + 1 :]
            known = later[rest[0]] == frozenset(rest[1:]) and _linked(paths[place], rest[0], plain, makers)
            later[paths[place]] = frozenset(rest) if known else changed(paths[place]) & frozenset(rest)
        for path in paths:
            found[path] = (*found.get(path, ()), *_nearest(path, paths, later))
    return found


def _watched(taps: Taps, run: Callable[[], object], kept: Iterable[str], replaced: Replaced | None = None) -> _Seen:
    seen = _Seen()

    def visit(tap: Tap, array: Array) -> None:
        if tap.call or tap.what not in ("input", "output"):
            return
        digests = seen.given if tap.what == "input" else seen.gave
        digests[tap.path].append(hashlib.blake2b(array.tobytes(), digest_size=12).hexdigest())
        if tap.what == "output" and tap.path in kept:
            seen.outputs[tap.path].append(array)

    with taps.watch(visit, replaced):
        run()
    return seen


def _makers(seen: _Seen) -> Mapping[str, list[str]]:
    """What modules give to what they are given for it."""
    found: dict[str, list[str]] = defaultdict(list)
    for path, digests in seen.gave.items():
        for digest in digests:
            found[digest] += seen.given.get(path, [])
    return found


def _linked(path: str, other: str, seen: _Seen, makers: Mapping[str, list[str]]) -> bool:
    """Whether modules alone, with no function between them, lead from what one gives to what the other is given."""
    goal, known = set(seen.gave[path]), set(seen.given[other])
    left = list(known)
    while left:
        digest = left.pop()
        if digest in goal:
            return True
        left += [each for each in makers.get(digest, ()) if each not in known]
        known.update(makers.get(digest, ()))
    return False


def _changed(taps: Taps, run: Callable[[], object], path: str, *, plain: _Seen) -> frozenset[str]:
    """The modules that are given something else where one gives something else."""
    if not plain.outputs.get(path):
        return frozenset()
    generator = np.random.default_rng(0)
    moved = [
        (array + (np.std(array) + 1) * generator.standard_normal(array.shape)).astype(array.dtype)
        for array in plain.outputs[path]
    ]
    seen = _watched(taps, run, (), {(path, 0): moved})
    return frozenset(other for other, digests in plain.given.items() if seen.given.get(other) != digests)


def _nearest(path: str, paths: Sequence[str], later: Mapping[str, frozenset[str]]) -> tuple[str, ...]:
    """The modules that come before one, without those that come before another of them."""
    before = [other for other in paths if path in later[other]]
    return tuple(each for each in before if not any(other in later[each] for other in before))
