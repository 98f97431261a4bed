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
        ends = [
            (link.targets, link.sources) if place else (link.sources, link.targets) for link in settled.proposal.links
        ]
        places = _Places(used, uncalled, [(own, other) for owns, others in ends for own in owns for other in others])
        names = [name for name in used.flow.shapes if name not in done[place]]
        pairs = dict(_paired(used, uncalled, names, open_here, free, places))
        if _forms(used, pairs) != _forms(used, open_here) or not _whole(uncalled, free, set(pairs.values())):
            return []
        evidence = EVIDENCE.format("reference" if place else "candidate")
        for own, other in pairs.items():
            source, target = (other, own) if place else (own, other)
            ops = ways(reference.stored[source], candidate.stored[target])
            links += [Link((source,), (target,), ops[0], evidence)] if ops else []
    return links


class _Places:
    """Which modules of two models hold the same tensors.

    Args:
        used: The model that uses its tensors.
        uncalled: The other model.
        pairs: Tensors of both that correspond.
    """

    def __init__(self, used: Model, uncalled: Model, pairs: Sequence[tuple[str, str]]) -> None:
        self._models, self._pairs = (used, uncalled), pairs

    def same(self, own: str, other: str) -> bool:
        """Whether the modules around those of two tensors hold the same tensors, as far as these correspond."""
        around = [_around(model, name) for model, name in zip(self._models, (own, other), strict=True)]
        if around == ["", ""]:
            return True
        within = [tuple(_within(name, path) for name, path in zip(pair, around, strict=True)) for pair in self._pairs]
        return (True, True) in within and not {(True, False), (False, True)} & {*within}


def _around(model: Model, name: str) -> str:
    """Path of the module that holds the module of a tensor."""
    return model.stored[name].path.rpartition(".")[0]


def _within(name: str, path: str) -> bool:
    return not path or name.startswith(f"{path}.")


def _whole(model: Model, free: Sequence[str], taken: set[str]) -> bool:
    """Whether of each module that is never called all parameters have a counterpart, or none."""
    paths = {model.stored[name].path for name in taken}
    return all(name in taken for name in free if model.stored[name].path in paths)


def _uncalled(model: Model) -> Iterator[str]:
    """Yield the parameters of modules that are never called, under the first name of each."""
    for name, how in model.stored.items():
        info = model.description.tensors[name]
        if not how.buffer and how.part not in STATISTICS and info.same_as in ("", name) and never_met(model, name):
            yield name


def _paired(
    used: Model, uncalled: Model, names: Sequence[str], left: Sequence[str], free: Sequence[str], places: _Places
) -> Iterator[tuple[str, str]]:
    """Yield pairs of a tensor in use and one that is not: by one name, by similar ones, by place and order.

    Args:
        used: The model that uses its tensors.
        uncalled: The other model.
        names: Tensors in use.
        left: Those among them that have no counterpart.
        free: Tensors of modules that are never called.
        places: Which modules of both hold the same tensors.
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
        fitting = (other for other in sorted(rest, key=by_number) if _alike(used, uncalled, own, other))
        alike = (other for other in fitting if places.same(own, other))
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
