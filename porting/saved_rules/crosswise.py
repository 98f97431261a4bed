"""Rules that give a module the weights of another one, whose name the other model has as well."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping

from porting.names import indices_of, without_indices
from porting.plan import Plan

_MOST = 4
"""Modules that are named."""


def crosswise(plan: Plan, reference: Collection[str], candidate: Collection[str]) -> str:
    """Return which modules take each other's weights, in a sentence; empty where none do.

    Such rules are right where a port has renamed its modules, and hide a mistake where it has not: the candidate's code
    then calls its modules in another order, and computes something else with weights that were converted by name.

    Args:
        plan: From the reference to the candidate.
        reference: Names of the reference's tensors.
        candidate: Names of the candidate's tensors.
    """
    sources = {target: plan.sources_of(target) for target in plan.outputs}
    pairs = {names[0]: target for target, names in sources.items() if len(names) == 1}
    places = dict.fromkeys(
        _places(*pair)
        for pair in (*_cycles(pairs, {*reference} & {*candidate}), *_permuted(pairs))
        if pair[0] != pair[1]
    )
    if not places:
        return ""
    (first, its), *others = [*places][:_MOST]
    named = [f"{first} of the reference is {its} of the candidate", *(f"{one} is {other}" for one, other in others)]
    rest = f" and {len(places) - _MOST} more" if len(places) > _MOST else ""
    return (
        f"the rules go crosswise to the names: {', '.join(named)}{rest}; if weights are to be read by "
        "name there, its code calls these modules in each other's place"
    )


def _cycles(pairs: Mapping[str, str], shared: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield the pairs of names that both models have and that the rules only permute."""
    left = {source: target for source, target in pairs.items() if source in shared and target in shared}
    while left:
        start = next(iter(left))
        way = [start]
        while left.get(way[-1], start) not in (start, *way[1:]):
            way.append(left[way[-1]])
        closed = left.get(way[-1]) == start
        steps = [(source, left.pop(source)) for source in way if source in left]
        yield from steps if closed else ()


def _permuted(pairs: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the pairs of names, alike but for their indices, that the rules permute: `layers.1` to `blocks.2`."""
    groups: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for pair in pairs.items():
        groups[without_indices(pair[0]), without_indices(pair[1])].append(pair)
    for group in groups.values():
        before, after = ([indices_of(pair[at]) for pair in group] for at in (0, 1))
        if sorted(before) == sorted(after):
            yield from (pair for pair, one, other in zip(group, before, after, strict=True) if one != other)


def _places(source: str, target: str) -> tuple[str, str]:
    """Return two names without what both end with: the modules that are exchanged, and not their tensors."""
    one, other = source.split("."), target.split(".")
    while len(one) > 1 and len(other) > 1 and one[-1] == other[-1]:
        del one[-1], other[-1]
    return ".".join(one), ".".join(other)
