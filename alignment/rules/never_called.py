"""Tensors that one model uses, and that belong to a module which the other model holds and never calls.

Most often the call was forgotten. The data flow has no place for such a tensor, so its counterpart goes by its name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from alignment.rules.buffers import STATISTICS, never_met
from alignment.rules.choosing import Settled
from alignment.rules.forms import form
from alignment.rules.model import Model
from alignment.rules.proposals import Link, names_in
from alignment.rules.similar_names import similarity
from alignment.rules.ways import ways
from porting.names import by_number, indices_of

EVIDENCE = "name (the {} never calls its module)"
_SIMILAR = 0.5
"""Share of the words that two names have in common, at least."""


def links_of_uncalled(reference: Model, candidate: Model, given: Sequence[Link], settled: Settled) -> list[Link]:
    """Links between tensors in use on one side, and tensors of modules that are never called on the other.

    Args:
        reference: The reference.
        candidate: The candidate.
        given: Links that are settled before.
        settled: What was matched by structure, and what has no counterpart.

    Returns:
        The links; none where modules that are never called do not explain every tensor without a counterpart.
    """
    done, left = names_in(given), settled.proposal.left
    links: list[Link] = []
    for place, (used, uncalled) in enumerate(((reference, candidate), (candidate, reference))):
        open_here = [name for name in left[place] if name in used.flow.shapes]
        if len(open_here) < len(left[place]):
            return []
        free = [name for name in _uncalled(uncalled) if name not in done[1 - place]] if open_here else []
        pairs = dict(_paired(used, uncalled, [n for n in used.flow.shapes if n not in done[place]], open_here, free))
        if _forms(used, pairs) != _forms(used, open_here):
            return []
        evidence = EVIDENCE.format("reference" if place else "candidate")
        for own, other in pairs.items():
            source, target = (other, own) if place else (own, other)
            ops = ways(reference.stored[source], candidate.stored[target])
            links += [Link((source,), (target,), ops[0], evidence)] if ops else []
    return links


def _uncalled(model: Model) -> Iterator[str]:
    """Yield the parameters of modules that are never called, under the first name of each."""
    for name, how in model.stored.items():
        info = model.description.tensors[name]
        if not how.buffer and how.part not in STATISTICS and info.same_as in ("", name) and never_met(model, name):
            yield name


def _paired(
    used: Model, uncalled: Model, names: Sequence[str], left: Sequence[str], free: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """Yield pairs of a tensor in use and one that is not: those with one name, with similar ones, then in their order.

    Args:
        used: The model that uses its tensors.
        uncalled: The other model.
        names: Tensors in use.
        left: Those among them that have no counterpart.
        free: Tensors of modules that are never called.
    """
    taken: set[str] = set()
    rest: list[str] = []
    for other in free:
        own = _namesake(used, uncalled, [name for name in names if name not in taken], other)
        if own:
            taken.add(own)
            yield own, other
        else:
            rest.append(other)
    for own in sorted(left, key=by_number):
        alike = (other for other in sorted(rest, key=by_number) if _alike(used, uncalled, own, other))
        other = "" if own in taken else next(alike, "")
        if other:
            rest.remove(other)
            yield own, other


def _namesake(used: Model, uncalled: Model, names: Sequence[str], other: str) -> str:
    """The tensor in use whose name is the same, or has the same numbers and more in common than any further one."""
    if other in names:
        return other if _alike(used, uncalled, other, other) else ""
    fitting = [name for name in names if _alike(used, uncalled, name, other) and indices_of(name) == indices_of(other)]
    scores = {name: similarity(name, other) for name in fitting}
    best = max(scores.values(), default=0.0)
    names = [name for name, score in scores.items() if score == best]
    return names[0] if best > _SIMILAR and len(names) == 1 else ""


def _alike(used: Model, uncalled: Model, own: str, other: str) -> bool:
    """Whether two tensors have one form, and are the same part of the same kind of module where both are known."""
    one, two = used.stored[own], uncalled.stored[other]
    same = one.family == two.family and one.part == two.part
    return form(one.shape) == form(two.shape) and (same or not (one.family and two.family))


def _forms(model: Model, names: Iterable[str]) -> Counter[object]:
    return Counter(form(model.stored[name].shape) for name in names)
