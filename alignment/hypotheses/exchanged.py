"""Modules of a candidate that stand in each other's place: two norms of a block, or blocks in another order.

The weights are right, and each module has its own; the code calls one where the other is meant. With their weights
exchanged the module gives what the reference's gives, however the code is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from alignment.arrays import Array
from alignment.hypotheses.base import Case, Prediction, distance
from alignment.hypotheses.bench import Bench, OutOfTimeError
from alignment.hypotheses.calls.sites import outcome

_FIRST_INPUT = ":0/input/0"
_MOST = 6
"""Orders that are tried."""


def exchanged(case: Case) -> Iterator[Prediction]:
    """Predict modules that are called in each other's place, by what each of them gets."""
    if case.finding.direction != "forward" or case.bench is None:
        return
    pairs = list(_misplaced(case))[:_MOST]
    bench = case.bench() if pairs else None
    if bench is None:
        return
    prefix = f"{case.finding.candidate}." if case.finding.candidate else ""
    try:
        for called, meant in _orders(case, pairs, [name.removeprefix(prefix) for name in bench.tensors]):
            weights = _moved(bench, prefix, called, meant)
            result = outcome(bench, weights=weights) if weights else None
            if result is not None:
                first = next(pair for pair in zip(called, meant, strict=True) if pair[0] != pair[1])
                place = case.place(f"where {' and '.join(first)} are called", "in")
                yield Prediction(
                    "modules exchanged", _words(called, meant), place, result.outputs, case.found, case.expected
                )
                if distance(result.outputs, case.expected) <= case.limit:
                    return
    except OutOfTimeError:
        return


def _misplaced(case: Case) -> Iterator[tuple[str, str]]:
    """Yield the first module that gets something else than it should, and each that should get that."""
    gets = {name.removesuffix(_FIRST_INPUT): array for name, array in case.children.items() if _FIRST_INPUT in name}
    for called, array in gets.items():
        correct = case.reference_children.get(f"{called}{_FIRST_INPUT}")
        if correct is None or _same(correct, array, case.limit):
            continue
        for meant in gets:
            expected = case.reference_children.get(f"{meant}{_FIRST_INPUT}")
            if meant != called and expected is not None and _same(expected, array, case.limit):
                yield called, meant
        return


def _orders(
    case: Case, pairs: Sequence[tuple[str, str]], tensors: Sequence[str]
) -> Iterator[tuple[list[str], list[str]]]:
    """Yield modules in the order in which they are called, and in the order that may be meant.

    That is the order in which a container holds its members; then, two modules in each other's place. Two that are
    called in the order in which they are held are no such modules: what is exchanged is what they are given.
    """
    called = [name.removesuffix(_FIRST_INPUT) for name in case.children if _FIRST_INPUT in name]
    for parent in dict.fromkeys(_parent(one) for one, other in pairs if _parent(one) == _parent(other)):
        members = [path for path in called if _parent(path) == parent]
        held = dict.fromkeys(path for name in tensors for path in members if name.startswith(f"{path}."))
        if len(members) > 2 and len(held) == len(members):
            yield members, [*held]
    for pair in pairs:
        first, second = sorted(pair, key=called.index)
        held = dict.fromkeys(path for name in tensors for path in pair if name.startswith(f"{path}."))
        if [*held] == [second, first]:
            yield [first, second], [second, first]


def _parent(path: str) -> str:
    return path.rpartition(".")[0]


def _same(one: Array, other: Array, limit: float) -> bool:
    return one.shape == other.shape and distance([one], [other]) <= limit


def _moved(bench: Bench, prefix: str, called: Sequence[str], meant: Sequence[str]) -> dict[str, Array]:
    """Return the tensors of the modules that move, each module with those of the one that is meant in its place.

    Nothing where their tensors have other names or shapes, or are the same.
    """
    held = bench.tensors
    moved: dict[str, Array] = {}
    for path, other in zip(called, meant, strict=True):
        own, theirs = _tensors(held, f"{prefix}{path}."), _tensors(held, f"{prefix}{other}.")
        if {name: array.shape for name, array in own.items()} != {name: array.shape for name, array in theirs.items()}:
            return {}
        moved |= {f"{prefix}{path}.{name}": array for name, array in theirs.items()}
    return moved if any(not np.array_equal(array, held[name]) for name, array in moved.items()) else {}


def _tensors(held: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    return {name.removeprefix(prefix): array for name, array in held.items() if name.startswith(prefix)}


def _words(called: Sequence[str], meant: Sequence[str]) -> str:
    moved = [(path, other) for path, other in zip(called, meant, strict=True) if path != other]
    if len(moved) == 2:
        (first, second), _ = moved
        return f"{first} is called where {second} is meant, and {second} where {first} is"
    parent = _parent(called[0])
    names = [path.rpartition(".")[2] for path in called]
    reverse = all(one == other for one, other in zip(called, reversed(meant), strict=True))
    how = "in reverse" if reverse else f"in the order {', '.join(names)}"
    usual = ", ".join(path.rpartition(".")[2] for path in meant)
    return f"the modules of {parent or 'it'} are called {how}, where {usual} is meant"
