"""Proposals between models of which some tensors were matched piece by piece, with these tensors whole again.

In which order the pieces lie in a tensor is a decision: the order in which they are used goes first, and a run tells.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import permutations

from alignment.rules.model import Model
from alignment.rules.pieces import piece
from alignment.rules.proposals import USUAL, Decision, Key, Link, Proposal, propose, replaced
from porting.operations import Concat, Each, Op, Stack, chained

_MANY = 4
"""Largest number of pieces of which every order is tried."""


def propose_whole(
    reference: Model, candidate: Model, given: Sequence[Link] = (), chosen: Mapping[Key, int] | None = None
) -> Proposal:
    """Match the tensors of two models, of which some may be matched piece by piece.

    Args:
        reference: The reference.
        candidate: The candidate.
        given: What is settled already, by the user.
        chosen: Place of the option of decisions that were made; the first is taken of all others.
    """
    if not reference.cut and not candidate.cut:
        return propose(reference, candidate, given, chosen)
    proposal = propose(reference.pieces, candidate.pieces, given, chosen)
    wholes: dict[str, str] = {}
    for model in (reference, candidate):
        wholes |= {part: name for name in model.cut for part in _parts(model, name)}
    joined = _without(proposal, wholes)
    for place, model in enumerate((reference, candidate)):
        for name in sorted(model.cut):
            options = list(_options(model, name, proposal.links, wholes, forward=place == 1))
            if options:
                decision = Decision(options[0][0].sources, options[0][0].targets, tuple(options), USUAL)
                joined.decisions.append(decision)
                option = decision.options[(chosen or {}).get(decision.key, 0)]
                joined.links = replaced(joined.links, option)
            else:
                joined.left = _with_left(joined.left, place, name)
    return _with_rest(joined, proposal, wholes)


def _parts(model: Model, name: str) -> list[str]:
    return [piece(name, place) for place in range(model.description.cut.pieces[name])]


def _without(proposal: Proposal, wholes: Mapping[str, str]) -> Proposal:
    """A proposal without pieces; a decision on nothing else is gone."""
    decisions = []
    for decision in proposal.decisions:
        options = [tuple(link for link in option if not _has_pieces(link, wholes)) for option in decision.options]
        if any(_has_pieces(link, wholes) for option in decision.options for link in option):
            options = list(dict.fromkeys(option for option in options if option))
            sources, targets = (
                tuple(name for name in names if name not in wholes) for names in (decision.sources, decision.targets)
            )
            decision = replace(decision, sources=sources, targets=targets, options=tuple(options))
        if decision.options and decision.targets:
            decisions.append(decision)
    links = [link for link in proposal.links if not _has_pieces(link, wholes)]
    left = tuple(tuple(name for name in names if name not in wholes) for names in proposal.left)
    return Proposal(links, decisions, (left[0], left[1]))


def _has_pieces(link: Link, wholes: Mapping[str, str]) -> bool:
    return any(name in wholes for name in (*link.sources, *link.targets))


def _options(
    model: Model, name: str, links: Sequence[Link], wholes: Mapping[str, str], *, forward: bool
) -> Iterator[tuple[Link, ...]]:
    """A link of a whole tensor for each order of its pieces; none where not every piece has a counterpart of its own.

    Args:
        model: The model that has the tensor.
        name: The tensor.
        links: What becomes of the pieces.
        wholes: Piece to tensor, of both models.
        forward: Whether the model is the candidate.
    """
    parts = _parts(model, name)
    own: dict[str, tuple[str, Op | None]] = {}
    for link in links:
        if len(link.sources) == len(link.targets) == 1:
            here, there = (link.targets[0], link.sources[0]) if forward else (link.sources[0], link.targets[0])
            if here in parts and there not in wholes:
                own[here] = there, link.op if forward else link.op.inverse if link.op else None
    if len(own) < len(parts):
        return
    shape = model.description.tensors[name].shape
    join: Op = Stack(len(parts), 0) if shape[0] == len(parts) else Concat(len(parts), 0)
    for order in permutations(parts) if len(parts) <= _MANY else (parts, parts[::-1]):
        others = tuple(own[part][0] for part in order)
        op = chained([Each(tuple(own[part][1] for part in order)), join])
        yield (Link(others, (name,), op) if forward else Link((name,), others, op.inverse if op else None),)


def _with_left(
    left: tuple[tuple[str, ...], tuple[str, ...]], place: int, name: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return ((*left[0], name), left[1]) if place == 0 else (left[0], (*left[1], name))


def _with_rest(joined: Proposal, proposal: Proposal, wholes: Mapping[str, str]) -> Proposal:
    """A proposal in which what was linked to pieces of a tensor that is left is left, too."""
    done = [{name for link in joined.links for name in names(link)} for names in (_sources, _targets)]
    linked = [
        [name for link in proposal.links if _has_pieces(link, wholes) for name in names(link) if name not in wholes]
        for names in (_sources, _targets)
    ]
    left = [
        (*own, *(name for name in dict.fromkeys(more) if name not in known))
        for own, more, known in zip(joined.left, linked, done, strict=True)
    ]
    joined.left = left[0], left[1]
    return joined


def _sources(link: Link) -> tuple[str, ...]:
    return link.sources


def _targets(link: Link) -> tuple[str, ...]:
    return link.targets
