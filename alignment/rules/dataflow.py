"""Which modules' inputs depend on the outputs of which other modules: found by changing the outputs.

Two modules that are called one after the other may be branches that run side by side, so the order of calls proves
nothing, and functions between modules hide what depends on what. So noise is added to the output of a module, and
every module whose input changes comes after it.
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
class _FirstCalls:
    """The first call of every module in one pass: digests of its inputs and outputs, and some of the outputs."""

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
    nearest: dict[str, tuple[str, ...]] = {}
    for paths in forms:
        later: dict[str, frozenset[str]] = {paths[-1]: frozenset()}
        for place in reversed(range(len(paths) - 1)):
            rest = paths[place + 1 :]
            known = later[rest[0]] == frozenset(rest[1:]) and _linked(paths[place], rest[0], plain, makers)
            later[paths[place]] = frozenset(rest) if known else changed(paths[place]) & frozenset(rest)
        for path in paths:
            nearest[path] = (*nearest.get(path, ()), *_nearest(path, paths, later))
    return nearest


def _watched(
    taps: Taps, run: Callable[[], object], kept: Iterable[str], replaced: Replaced | None = None
) -> _FirstCalls:
    calls = _FirstCalls()

    def visit(tap: Tap, array: Array) -> None:
        if tap.call or tap.what not in ("input", "output"):
            return
        digests = calls.given if tap.what == "input" else calls.gave
        digests[tap.path].append(hashlib.blake2b(array.tobytes(), digest_size=12).hexdigest())
        if tap.what == "output" and tap.path in kept:
            calls.outputs[tap.path].append(array)

    with taps.watch(visit, replaced):
        run()
    return calls


def _makers(calls: _FirstCalls) -> Mapping[str, list[str]]:
    """Digest of an output to the digests of the inputs of the modules that gave it."""
    makers: dict[str, list[str]] = defaultdict(list)
    for path, digests in calls.gave.items():
        for digest in digests:
            makers[digest] += calls.given.get(path, [])
    return makers


def _linked(path: str, other: str, calls: _FirstCalls, makers: Mapping[str, list[str]]) -> bool:
    """Whether a chain of modules alone, with no function between them, leads from the output of one to the other."""
    goal, known = set(calls.gave[path]), set(calls.given[other])
    left = list(known)
    while left:
        digest = left.pop()
        if digest in goal:
            return True
        left += [source for source in makers.get(digest, ()) if source not in known]
        known.update(makers.get(digest, ()))
    return False


def _changed(taps: Taps, run: Callable[[], object], path: str, *, plain: _FirstCalls) -> frozenset[str]:
    """The modules whose inputs change when noise is added to the output of one module."""
    if not plain.outputs.get(path):
        return frozenset()
    generator = np.random.default_rng(0)
    moved = [
        (array + (np.std(array) + 1) * generator.standard_normal(array.shape)).astype(array.dtype)
        for array in plain.outputs[path]
    ]
    calls = _watched(taps, run, (), {(path, 0): moved})
    return frozenset(other for other, digests in plain.given.items() if calls.given.get(other) != digests)


def _nearest(path: str, paths: Sequence[str], later: Mapping[str, frozenset[str]]) -> tuple[str, ...]:
    """The modules directly before one: those before it that come before no other of them."""
    before = [other for other in paths if path in later[other]]
    return tuple(earlier for earlier in before if not any(other in later[earlier] for other in before))
