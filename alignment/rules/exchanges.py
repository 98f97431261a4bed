"""Two tensors of one module that stand for each other's counterparts: what structure alone may have got wrong."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence

from alignment.rules.forms import form
from alignment.rules.model import Model
from alignment.rules.proposals import Link
from alignment.rules.ways import ways

_PROVEN = "proof"
"""Part of the evidence of links that a run has shown."""


def exchanges(
    reference: Model, candidate: Model, links: Sequence[Link], shown: Collection[str] = ()
) -> Iterator[tuple[Link, Link]]:
    """The links of two tensors exchanged that no run has told apart; no tensor is in two of them.

    They are in one module on each side, whose class is not known on one of them, and one comes directly after the
    other; or they are the only two of their form there, such as the two states that a recurrent layer begins with.

    Args:
        reference: The reference.
        candidate: The candidate.
        links: What becomes what.
        shown: Targets of which a run has shown all; that of others the best of some choices was taken tells nothing.
    """
    single = {link.targets[0]: link for link in links if len(link.sources) == len(link.targets) == 1}
    single = {name: link for name, link in single.items() if _PROVEN not in link.evidence or name not in shown}
    done: set[str] = set()
    for names in (*_neighbours(candidate, single), *_only_two(reference, candidate, single)):
        if done & {*names}:
            continue
        targets = [candidate.stored[name] for name in names]
        sources = [reference.stored[single[name].sources[0]] for name in names]
        if any(one.path != other.path for one, other in (targets, sources)) or all(
            one.family for one in (*targets, *sources)
        ):
            continue
        ops = [ways(source, target) for source, target in zip(sources[::-1], targets, strict=True)]
        if all(ops):
            done |= {*names}
            one, other = (
                Link((source.name,), (target.name,), op[0], "proof")
                for source, target, op in zip(sources[::-1], targets, ops, strict=True)
            )
            yield one, other


def _neighbours(candidate: Model, single: dict[str, Link]) -> Iterator[tuple[str, str]]:
    """Tensors that structure alone has settled, one directly after the other."""
    settled = {name for name, link in single.items() if link.evidence in ("structure", _PROVEN)}
    for name, before in candidate.flow.graph.before.items():
        if len(before) == 1 and {name, before[0]} <= settled:
            yield before[0], name


def _only_two(reference: Model, candidate: Model, single: dict[str, Link]) -> Iterator[tuple[str, str]]:
    """Tensors that are the only two of their form in their modules."""
    groups: dict[object, list[str]] = defaultdict(list)
    for name, link in single.items():
        if name in candidate.flow.shapes:
            path = reference.stored[link.sources[0]].path
            groups[path, candidate.stored[name].path, form(candidate.flow.shapes[name])].append(name)
    yield from ((names[0], names[1]) for names in groups.values() if len(names) == 2)
