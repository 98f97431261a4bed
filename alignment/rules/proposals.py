"""Proposals of which tensor becomes which: what structure settles, and decisions where it leaves several choices.

A decision has options, the likeliest first: by the names of the tensors, by their order, by the usual way to store
them. `alignment.rules.proof` runs the candidate with each and keeps the one that agrees.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import permutations
from math import prod
from typing import TypeAlias

from alignment.rules.model import Model
from alignment.rules.refine import Refined, refine
from alignment.rules.regroup import regrouped
from alignment.rules.similar_names import in_numbered_order, named_alike, pair_by_names, roles_of
from alignment.rules.tensor_graph import INPUT
from alignment.rules.used_again import Choice, used_again
from alignment.rules.ways import ways
from porting.operations import Op

Key: TypeAlias = "tuple[frozenset[str], frozenset[str]]"
"""What tells a decision from others: the tensors of the reference and of the candidate that it is about."""
USUAL = "usual form"
"""Of a decision on how a tensor is stored: the way that is most usual goes first."""
_TOLD = 12
"""Options that tell kinds of decisions apart; of more, some are taken."""
_MANY = 4
"""Largest number of tensors of which every order is tried."""


@dataclass(frozen=True)
class Link:
    """Tensors of the reference that become tensors of the candidate.

    Attributes:
        sources: Names in the reference.
        targets: Names in the candidate.
        op: What happens on the way.
        evidence: What says so.
    """

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    op: Op | None = None
    evidence: str = "structure"


@dataclass(frozen=True)
class Decision:
    """A choice that structure leaves.

    Attributes:
        sources: Tensors of the reference.
        targets: Tensors of the candidate that depend on it.
        options: The choices, the likeliest first.
        by: What makes the first one the likeliest: `name`, `order` or `USUAL`.
        sure: Whether that settles it where running the models does not.
        wiring: Whether only what modules are given tells, since how some of the tensors are stored is decided apart.
        named: Whether both sides tell the tensors from each other by the same words, so that another order would
            contradict both authors.
    """

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    options: tuple[tuple[Link, ...], ...]
    by: str
    sure: bool = False
    wiring: bool = False
    named: bool = False

    @property
    def key(self) -> Key:
        """What tells it from others."""
        return frozenset(self.sources), frozenset(self.targets)

    @cached_property
    def kind(self) -> object:
        """What decisions share whose options mean the same: those of the blocks of one model."""
        some = self.options if len(self.options) <= _TOLD else self.options[:: len(self.options) // _TOLD]
        return self.by, len(self.options), tuple(tuple(str(link.op) for link in option) for option in some)


@dataclass
class Proposal:
    """What structure settles, the decisions, and what has no counterpart.

    Attributes:
        links: Settled, and the chosen option of each decision.
        decisions: The choices.
        left: Tensors of the reference, and of the candidate, without a counterpart.
    """

    links: list[Link] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    left: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())


def propose(
    reference: Model, candidate: Model, given: Sequence[Link] = (), chosen: Mapping[Key, int] | None = None
) -> Proposal:
    """Match the tensors of two models.

    The order of the data flow is kept, unless fewer tensors are left without a counterpart otherwise.

    Args:
        reference: The reference.
        candidate: The candidate.
        given: What is settled already, by the user.
        chosen: Place of the option of decisions that were made; the first is taken of all others.
    """
    sides = reference, candidate, given, chosen or {}
    ordered = _Proposer(*sides, ordered=True).run()
    if not any(ordered.left):
        return ordered
    free = _Proposer(*sides, ordered=False).run()
    return free if sum(map(len, free.left)) < sum(map(len, ordered.left)) else ordered


class _Proposer:
    def __init__(
        self,
        reference: Model,
        candidate: Model,
        given: Sequence[Link],
        chosen: Mapping[Key, int],
        *,
        ordered: bool,
    ) -> None:
        self._reference, self._candidate, self._chosen = reference, candidate, chosen
        self._ordered = ordered
        self._proposal = Proposal()
        self._pairs: dict[str, str] = {}
        self._marks: tuple[dict[str, object], dict[str, object]] = ({}, {})
        for place, link in enumerate(given):
            self._settle(link, ("given", place))

    def run(self) -> Proposal:
        weak = False
        while True:
            refined = self._refined(self._pairs, weak=weak)
            fresh = {source: target for source, target in refined.pairs.items() if source not in self._pairs}
            for source, target in fresh.items():
                self._pair(source, target)
            if refined.classes:
                self._choose(min(refined.classes, key=lambda sides: len(sides[0])), refined, weak)
            elif not self._regroup(refined.left):
                if weak and not self._regroup_anywhere(refined.left) and not self._use_again(refined.left):
                    self._proposal.left = refined.left
                    return self._proposal
                weak = not weak
                continue
            weak = False

    def _refined(self, pairs: Mapping[str, str], *, weak: bool) -> Refined:
        return refine(self._reference.flow, self._candidate.flow, pairs, self._marks, weak=weak, ordered=self._ordered)

    def _settle(self, link: Link, mark: object) -> None:
        if len(link.sources) == len(link.targets) == 1:
            self._pairs[link.sources[0]] = link.targets[0]
        else:
            self._marks[0].update(dict.fromkeys(link.sources, mark))
            self._marks[1].update(dict.fromkeys(link.targets, mark))

    def _pair(self, source: str, target: str) -> None:
        """Take a pair that structure has settled; how it is stored may be a decision."""
        self._pairs[source] = target
        links = self._links({source: target})
        if len(links) > 1:
            self._decide(Decision((source,), (target,), tuple((link,) for link in links), "usual form"))
        else:
            self._proposal.links += links

    def _links(self, pairs: Mapping[str, str]) -> list[Link]:
        """A link for each way to take one tensor to another."""
        return [
            Link((source,), (target,), op)
            for source, target in pairs.items()
            for op in ways(self._reference.stored[source], self._candidate.stored[target])
        ]

    def _choose(self, sides: tuple[tuple[str, ...], tuple[str, ...]], refined: Refined, weak: bool) -> None:
        """Decide which of some tensors that structure cannot tell apart is which."""
        theirs, ours = sides
        first, sure = pair_by_names(theirs, ours)
        effects = [effect for order in _orders(first, theirs, ours) if (effect := self._effect(order, refined, weak))]
        same = [effect for effect in effects if set(effect.values()) == set(effects[0].values())]
        sources, targets = tuple(effects[0]), tuple(effects[0].values())
        named = sure and named_alike(sources, targets)
        options = tuple(tuple(self._usual_links(effect)) for effect in same)
        several = {source: target for source, target in effects[0].items() if len(self._links({source: target})) > 1}
        decision = Decision(sources, targets, options, "name" if sure else "order", sure, bool(several), named)
        self._decide(decision, same)
        place = self._chosen.get(decision.key, 0) % len(same)
        for source, target in same[place].items():
            links = self._links({source: target})
            if len(links) > 1:
                self._decide(Decision((source,), (target,), tuple((link,) for link in links), USUAL))

    def _effect(self, order: Mapping[str, str], refined: Refined, weak: bool) -> dict[str, str]:
        """All pairs that follow from some; empty where they cannot be."""
        after = self._refined({**refined.pairs, **order}, weak=weak).pairs
        return {source: target for source, target in after.items() if source not in refined.pairs}

    def _usual_links(self, pairs: Mapping[str, str]) -> Iterator[Link]:
        """A link for each pair, by the usual way."""
        for source, target in pairs.items():
            yield self._links({source: target})[0]

    def _decide(self, decision: Decision, effects: Sequence[Mapping[str, str]] = ()) -> None:
        place = self._chosen.get(decision.key, 0)
        self._proposal.decisions.append(decision)
        self._proposal.links = replaced(self._proposal.links, decision.options[place])
        if effects:
            self._pairs |= effects[place % len(effects)]

    def _regroup_anywhere(self, left: tuple[tuple[str, ...], tuple[str, ...]]) -> bool:
        """The same with tensors that are at other places, if as many numbers are left on both sides.

        Parameters that no data flows through are taken too where only then the numbers are equal: a layer that joins
        what is used with what is not.
        """
        models = self._reference, self._candidate
        if not all(model.anywhere for model in models) or not any(left):
            return False
        done = [
            own | {*marks} for own, marks in zip(({*self._pairs}, {*self._pairs.values()}), self._marks, strict=True)
        ]
        more = [[n for n in model.unused if n not in own] for model, own in zip(models, done, strict=True)]
        for names in (left, ((*left[0], *more[0]), (*left[1], *more[1]))):
            sizes = [sum(prod(m.stored[n].shape) for n in own) for m, own in zip(models, names, strict=True)]
            if sizes[0] == sizes[1]:
                return self._regroup(names, places=False)
        return False

    def _use_again(self, left: tuple[tuple[str, ...], tuple[str, ...]]) -> bool:
        """Decide about tensors that hold what one of the reference is used for again; returns whether any do."""
        choices = used_again(self._reference, self._candidate, left, self._labels(), self._pairs)
        for target in filter(None, (self._pairs.pop(sources[0], "") for sources, _, _ in choices)):
            self._proposal.decisions = [one for one in self._proposal.decisions if target not in one.targets]
        return self._take(choices)

    def _regroup(self, left: tuple[tuple[str, ...], tuple[str, ...]], *, places: bool = True) -> bool:
        """Decide about tensors that are several on one side and one on the other; returns whether there were any."""
        return self._take(regrouped(self._reference, self._candidate, left, self._labels(), places=places))

    def _labels(self) -> tuple[dict[str, object], dict[str, object]]:
        """Of both sides, name to what both call a tensor that is settled."""
        labels: tuple[dict[str, object], dict[str, object]] = ({INPUT: INPUT}, {INPUT: INPUT})
        for source, target in self._pairs.items():
            labels[0][source] = labels[1][target] = ("pair", source, target)
        for own, marks in zip(labels, self._marks, strict=True):
            own.update(marks)
        return labels

    def _take(self, choices: Sequence[Choice]) -> bool:
        """Make decisions of choices; returns whether there were any."""
        for sources, targets, choice in choices:
            options = tuple(tuple(Link(*ends) for ends in option) for option in choice)
            known = [option for option in options if self._is_packed(option[0])][:1]
            options = tuple(dict.fromkeys((*known, *options)))
            decision = Decision(sources, targets, options, USUAL, sure=bool(known) or self._is_a_stack(options[0]))
            self._decide(decision)
            for link in decision.options[self._chosen.get(decision.key, 0)]:
                self._settle(link, ("regrouped", link.sources, link.targets))
        return bool(choices)

    def _is_packed(self, link: Link) -> bool:
        """Whether tensors that their names call query, key and value lie in this order in one of torch's attention."""
        many = (self._candidate, link.targets), (self._reference, link.sources)
        (_, names), (whole, others) = many if len(link.targets) > 1 else many[::-1]
        packed = whole.description.framework == "torch" and others[0].rpartition(".")[2] == "in_proj_weight"
        return packed and roles_of(names) == ("q", "k", "v")

    def _is_a_stack(self, option: Sequence[Link]) -> bool:
        """Whether numbered tensors lie in one along its first axis, in the order of their numbers.

        How each lies there, as it is or transposed, its shape has to tell: a square matrix does not.
        """
        for link in option:
            many = (self._reference, link.sources), (self._candidate, link.targets)
            (parts, names), (whole, others) = many if len(link.sources) > 1 else many[::-1]
            shape = whole.description.tensors[others[0]].shape[1:]
            sorted_shapes = {tuple(sorted(parts.description.tensors[name].shape)) for name in names}
            if len(others) > 1 or len(names) < 2 or whole.description.tensors[others[0]].shape[:1] != (len(names),):
                return False
            if not in_numbered_order(names):
                return False
            if sorted_shapes != {tuple(sorted(shape))} or len({*shape}) < len(shape):
                return False
        return True


def _orders(first: Mapping[str, str], theirs: Sequence[str], ours: Sequence[str]) -> Iterator[dict[str, str]]:
    """Ways to pair as many tensors on either side, the likeliest first."""
    yield dict(first)
    if len(theirs) > _MANY:
        by_order = dict(zip(theirs, ours, strict=True))
        if by_order != first:
            yield by_order
        return
    for order in permutations(first.values()):
        pairs = dict(zip(first, order, strict=True))
        if pairs != first:
            yield pairs


def replaced(links: Sequence[Link], others: Sequence[Link]) -> list[Link]:
    """Links with others in the place of those that fill the same tensors.

    Of a tensor that another source fills, the first link stays: how it is stored was decided for its own source.
    """
    new = {target: link for link in others for target in link.targets}
    kept = [link for link in links if not any(target in new for target in link.targets)]
    return [*kept, *dict.fromkeys(new.values())]


def names_in(links: Iterable[Link]) -> tuple[set[str], set[str]]:
    """All sources and all targets of links."""
    links = list(links)
    return {name for link in links for name in link.sources}, {name for link in links for name in link.targets}
