"""Modules without parameters that have other names on both sides: a pooling, a dropout, an activation.

No tensor says which of them stand for each other. Those of one kind do that are given the same, or that come in the
same order within modules that match, if there are as many of them. A module of a user's class that is an activation, a
pooling or the like as a whole (a Swish that holds a Sigmoid) stands for what it computes; what it holds does not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace

from alignment.arrays import Array
from alignment.backends.base import Module, Tap, Taps
from alignment.backends.checks import is_random
from alignment.bisection.arrangements import distance
from alignment.bisection.counterparts import Counterparts
from alignment.bisection.evidence import Reference
from alignment.steps.base import Trial

_SURE = 1e-2
"""Relative L2 of two inputs below which they are the same."""
_FAMILIES = {
    "pool": ("pool",),
    "resize": ("upsample", "interpolate", "resize"),
    "shuffle": ("shuffle",),
    "activation": ("elu", "silu", "swish", "sigmoid", "tanh", "softplus", "mish", "softmax"),
}
"""Words in the names of the classes of a family; `elu` is in those of ReLU, GELU and others."""
_CONTAINERS = (
    *("Sequential", "SequentialCell", "ModuleList", "LayerList", "CellList", "ModuleDict", "LayerDict", "CellDict"),
)
"""Classes that call what they hold one after another, or call nothing: each of their modules stands for itself."""


def with_parameterless(
    counterparts: Counterparts, trial: Trial, taps: Taps, reference: Reference, modules: Mapping[str, Module]
) -> Counterparts:
    """Match further modules without parameters.

    Args:
        counterparts: What is matched by parameters and names.
        trial: The candidate, which is run once if there is something to match.
        taps: Its modules.
        reference: Recordings of the reference.
        modules: The reference's modules.
    """
    ours = _free(taps.modules, counterparts.candidate_only)
    theirs = _free(modules, counterparts.reference_only)
    if not set(ours.values()) & set(theirs.values()):
        return counterparts
    pairs = _by_values(ours, theirs, trial, taps, reference)
    taken = {*pairs.values()}
    left = {path: family for path, family in ours.items() if path not in pairs}
    pairs |= _by_order(left, {path: one for path, one in theirs.items() if path not in taken}, counterparts.paths)
    return replace(
        counterparts,
        paths={**counterparts.paths, **pairs},
        held={**counterparts.held, **dict.fromkeys(pairs, frozenset())},
        reference_only=tuple(path for path in counterparts.reference_only if path not in pairs.values()),
        candidate_only=tuple(path for path in counterparts.candidate_only if path not in pairs),
    )


def family(kind: str) -> str:
    """What a class of this name is: `random`, `pool`, `activation`; the name itself where that is not known."""
    name = kind.lower()
    if is_random(kind):
        return "random"
    return next((known for known, words in _FAMILIES.items() if any(word in name for word in words)), name)


def _free(modules: Mapping[str, Module], unmatched: tuple[str, ...]) -> dict[str, str]:
    """Path of each unmatched module without parameters that is one function, to its family."""
    inner = _inner(modules)
    whole = {path: _family_of_whole(path, modules, inner) for path in inner}
    hidden = {part for path, known in whole.items() if known for part in inner[path]}
    families = {path: whole[path] if path in whole else family(modules[path].kind) for path in unmatched if path}
    return {
        path: known for path, known in families.items() if known and path not in hidden and not modules[path].parameters
    }


def _inner(modules: Mapping[str, Module]) -> dict[str, list[str]]:
    """Path of each module that holds others, to the paths of all those within it."""
    inner: dict[str, list[str]] = defaultdict(list)
    for path in modules:
        for above in _around(path) if path else ():
            if above in modules:
                inner[above].append(path)
    return dict(inner)


def _family_of_whole(path: str, modules: Mapping[str, Module], inner: Mapping[str, list[str]]) -> str | None:
    """Family of a module that holds others and is one function without parameters; None if it is not known as one."""
    kind, parts = modules[path].kind, inner[path]
    if not path or kind in _CONTAINERS or any(modules[part].parameters for part in (path, *parts)):
        return None
    if family(kind) in ("random", *_FAMILIES):
        return family(kind)
    kinds = [modules[part].kind for part in parts if part not in inner]
    gates = all(family(one) == "activation" and "softmax" not in one.lower() for one in kinds)
    return "activation" if gates else None


def _by_values(
    ours: Mapping[str, str], theirs: Mapping[str, str], trial: Trial, taps: Taps, reference: Reference
) -> dict[str, str]:
    """Those of one family whose first call is given the same and gives the same shape."""
    dtype, given, shapes = trial.inputs.dtype, dict[str, Array](), dict[str, tuple[int, ...]]()

    def visit(tap: Tap, array: Array) -> None:
        if not tap.call and not tap.index and tap.what == "input":
            given[tap.path] = array
        elif not tap.call and not tap.index and tap.what == "output":
            shapes[tap.path] = array.shape

    with taps.watch(visit, paths=frozenset(ours)):
        trial.forward()
    close = []
    for place, twin in enumerate(theirs):
        first, out = (reference.get(f"eval/tap/{Tap(twin, 0, what, 0)}", dtype) for what in ("input", "output"))
        if first is not None and out is not None:
            alike = [path for path in given if ours[path] == theirs[twin] and shapes.get(path) == out.shape]
            apart = {path: distance(given[path], first) for path in alike if given[path].shape == first.shape}
            close += [(error, abs(place - [*ours].index(path)), path, twin) for path, error in apart.items()]
    pairs: dict[str, str] = {}
    for error, _, path, twin in sorted(close):
        if error < _SURE and path not in pairs and twin not in pairs.values():
            pairs[path] = twin
    return pairs


def _by_order(ours: Mapping[str, str], theirs: Mapping[str, str], paths: Mapping[str, str]) -> dict[str, str]:
    """Those of one family within the same modules, in their order, if there are as many on both sides."""
    twins = {twin: path for path, twin in paths.items()}
    groups: dict[tuple[str, str], tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    for side, (modules, known) in enumerate(((ours, {path: path for path in paths}), (theirs, twins))):
        for path, kind in modules.items():
            around = next((known[above] for above in _around(path) if above in known), None)
            if around is not None:
                groups[around, kind][side].append(path)
    pairs = ((own, other) for own, other in groups.values() if len(own) == len(other))
    return {path: twin for own, other in pairs for path, twin in zip(own, other, strict=True)}


def _around(path: str) -> list[str]:
    """Paths of the modules around a module, the nearest first, the model itself last."""
    parts = path.split(".")
    return [".".join(parts[:length]) for length in range(len(parts) - 1, -1, -1)]
