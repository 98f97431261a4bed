"""Tensors that no data flows through on its way to a gradient: statistics, counters, constants, modules never run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from alignment.pair.units import COUNTER
from alignment.rules.forms import form
from alignment.rules.model import Model
from alignment.rules.proposals import Link, names_in
from alignment.rules.similar_names import pair_by_names
from alignment.rules.ways import ways
from porting.checkpoint.tensor import Shape

STATISTICS = ("running_mean", "running_var")
"""Buffers of a norm that are as long as its weight, in the same order."""
_ROUNDING = 1e-5
"""What frameworks differ by at most where they compute the same constant."""


@dataclass
class Rest:
    """What becomes of the tensors that the data flow does not show.

    Attributes:
        links: Those with a counterpart.
        kept: Constants that each side builds itself, of the reference and of the candidate.
        unused: Tensors of modules that are never called, of the reference and of the candidate.
        left: Tensors without a counterpart that are in use.
    """

    links: list[Link] = field(default_factory=list)
    kept: tuple[list[str], list[str]] = field(default_factory=lambda: ([], []))
    unused: tuple[list[str], list[str]] = field(default_factory=lambda: ([], []))
    left: tuple[list[str], list[str]] = field(default_factory=lambda: ([], []))


def match_rest(
    reference: Model,
    candidate: Model,
    links: Sequence[Link],
    done: tuple[set[str], set[str]],
    left: tuple[Sequence[str], Sequence[str]],
    *,
    own_constants: bool = False,
) -> Rest:
    """Account for the tensors that are not in the data flow.

    Args:
        reference: The reference.
        candidate: The candidate.
        links: What became of those that are.
        done: Names that are accounted for, of the reference and of the candidate.
        left: Tensors of both in the data flow that are not: one side's may be a buffer on the other.
        own_constants: Whether constants that differ are each side's own, such as anchors in other units.
    """
    rest = Rest(
        [
            link
            for link in statistics(reference, candidate, links)
            if done[0].isdisjoint(link.sources) and done[1].isdisjoint(link.targets)
        ]
    )
    beside = names_in(rest.links)
    done = done[0] | beside[0], done[1] | beside[1]
    theirs, ours = (_open(side, names) for side, names in zip((reference, candidate), done, strict=True))
    both = [*theirs, *left[0]], [*ours, *left[1]]
    in_modules = _in_modules(reference, candidate, links), _only_in_modules(reference, candidate, links, theirs, ours)
    for pairs in (*in_modules, _alike(reference, candidate, *both)):
        for source, target, what in pairs:
            if source not in both[0] or target not in both[1] or (source in left[0] and target in left[1]):
                continue
            used = source in left[0] or target in left[1]
            if not used or not (never_met(reference, source) or never_met(candidate, target)):
                own = own_constants and constants_differ(reference, candidate, source, target)
                ops = ways(reference.stored[source], candidate.stored[target])
                if ops and not own:
                    rest.links.append(Link((source,), (target,), ops[0], what))
                    both[0].remove(source)
                    both[1].remove(target)
    theirs, ours = ([name for name in names if name in own] for names, own in zip(both, (theirs, ours), strict=True))
    for place, (side, names) in enumerate(((reference, theirs), (candidate, ours))):
        for name in names:
            if side.stored[name].buffer and side.stored[name].part not in STATISTICS:
                rest.kept[place].append(name)
            elif never_met(side, name):
                rest.unused[place].append(name)
            else:
                rest.left[place].append(name)
    return rest


def constants_differ(reference: Model, candidate: Model, source: str, target: str) -> bool:
    """Whether two tensors are constants that the sides build with other values, by more than rounding."""
    theirs, ours = reference.description.tensors[source].constant, candidate.description.tensors[target].constant
    if theirs is None or ours is None:
        return False
    return theirs.shape != ours.shape or not np.allclose(theirs, ours, rtol=_ROUNDING, atol=0, equal_nan=True)


def statistics(reference: Model, candidate: Model, links: Iterable[Link]) -> list[Link]:
    """The statistics of norms, joined, cut and put in order as the weights of these norms are.

    Args:
        reference: The reference.
        candidate: The candidate.
        links: What becomes of other tensors; those of norms count.
    """
    own: dict[tuple[str, ...], Link] = {}
    for link in links if reference.norms and candidate.norms else ():
        for part in STATISTICS:
            sources = tuple(_beside(reference, name, part) for name in link.sources)
            targets = tuple(_beside(candidate, name, part) for name in link.targets)
            if all(sources) and all(targets):
                own.setdefault(targets, Link(sources, targets, link.op, link.evidence))
    return list(own.values())


def _beside(side: Model, name: str, part: str) -> str:
    """The statistics of the norm that holds a tensor, if they have its shape; else an empty name."""
    how = side.stored.get(name)
    other = side.norms.get((how.path, part), "") if how else ""
    return other if how and other and side.stored[other].shape == how.shape else ""


def _open(side: Model, done: set[str]) -> list[str]:
    """The tensors, each under its first name, that are not accounted for; counters are never compared."""
    flow = side.flow.shapes
    return [
        name
        for name, how in side.stored.items()
        if name not in done
        and name not in flow
        and how.part != COUNTER
        and side.description.tensors[name].same_as in ("", name)
    ]


def never_met(side: Model, name: str) -> bool:
    """Whether no data meets a tensor: not in the data flow, no constant, its module never called."""
    how = side.stored[name]
    if name in side.flow.shapes or (how.buffer and how.part not in STATISTICS):
        return False
    return not any(module.path == how.path and module.call is not None for module in side.description.modules)


def _in_modules(reference: Model, candidate: Model, links: Iterable[Link]) -> Iterator[tuple[str, str, str]]:
    """Tensors of the same meaning in modules of which other tensors are a pair."""
    own: dict[tuple[str, str], str] = {(how.path, how.part): name for name, how in reference.stored.items()}
    done: set[tuple[str, str]] = set()
    for link in links:
        if len(link.sources) == len(link.targets) == 1:
            there, here = reference.stored[link.sources[0]].path, candidate.stored[link.targets[0]].path
            if (there, here) in done:
                continue
            done.add((there, here))
            for name, how in candidate.stored.items():
                if how.path == here and (there, how.part) in own:
                    yield own[there, how.part], name, link.evidence


def _only_in_modules(
    reference: Model, candidate: Model, links: Iterable[Link], theirs: Sequence[str], ours: Sequence[str]
) -> Iterator[tuple[str, str, str]]:
    """Constants under other names, the only ones of their form in modules that hold each other's tensors and no else's.

    The noise of one layer of a generator is that of the same layer, though others have noise of its size.
    """
    there: dict[str, set[str]] = defaultdict(set)
    back: dict[str, set[str]] = defaultdict(set)
    for link in links:
        for source in link.sources:
            for target in link.targets:
                there[reference.stored[source].path].add(candidate.stored[target].path)
                back[candidate.stored[target].path].add(reference.stored[source].path)
    constants = _constants_of(reference, theirs), _constants_of(candidate, ours)
    for path, others in there.items():
        if len(others) == 1 and len(back[(other := next(iter(others)))]) == 1:
            for key, names in constants[0].get(path, {}).items():
                if len(names) == len(same := constants[1].get(other, {}).get(key, [])) == 1:
                    yield names[0], same[0], "only one"


def _constants_of(side: Model, names: Iterable[str]) -> dict[str, dict[tuple[Shape, str], list[str]]]:
    """Buffers other than statistics, by module, then by form and kind of their numbers."""
    groups: dict[str, dict[tuple[Shape, str], list[str]]] = defaultdict(lambda: defaultdict(list))
    for name in names:
        how = side.stored[name]
        if how.buffer and how.part not in STATISTICS:
            groups[how.path][form(how.shape), _kind(side, name)].append(name)
    return groups


def _kind(side: Model, name: str) -> str:
    return "int" if side.description.tensors[name].dtype.startswith(("int", "uint", "bool")) else "float"


def _alike(
    reference: Model, candidate: Model, theirs: Sequence[str], ours: Sequence[str]
) -> Iterator[tuple[str, str, str]]:
    """Tensors of one form: those that hold the same constant, then those with the same name, then the only ones."""
    yield from _same_constants(reference, candidate, list(theirs), list(ours))
    groups: dict[tuple[Shape, str], tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    for place, (side, names) in enumerate(((reference, theirs), (candidate, ours))):
        for name in names:
            groups[form(side.stored[name].shape), _kind(side, name)][place].append(name)
    for (_, kind), (names, others) in groups.items():
        names = [name for name in names if name in theirs]
        others = [name for name in others if name in ours]
        if len(names) != len(others) or not names:
            both = {name.rpartition(".")[2]: name for name in others}
            yield from (
                (name, both[last], "name")
                for name in names
                if (last := name.rpartition(".")[2]) in both and len(names) == 1
            )
            continue
        pairs, sure = pair_by_names(names, others)
        if sure or (kind == "float" and len(names) == 1):
            yield from ((name, other, "name" if sure else "only one") for name, other in pairs.items())


def _same_constants(
    reference: Model, candidate: Model, theirs: list[str], ours: list[str]
) -> Iterator[tuple[str, str, str]]:
    for name in theirs:
        constant = reference.description.tensors[name].constant
        if constant is None:
            continue
        for other in ours:
            values = candidate.description.tensors[other].constant
            if values is not None and values.shape == constant.shape and np.array_equal(values, constant):
                yield name, other, "its values"
                ours.remove(other)
                break
