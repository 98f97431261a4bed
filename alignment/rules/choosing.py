"""The options of decisions: which to try next, how well one agrees, and what settles a decision."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice, product
from math import prod

from alignment.rules.model import Model
from alignment.rules.proposals import USUAL, Decision, Key, Link, Proposal, replaced
from alignment.rules.trial import Check, checks_of

FEW = 6
"""Of no more options all are tried, so that a symmetry is told."""
_MOST_TOGETHER = 2000


@dataclass
class Settled:
    """Proposals after they were tried.

    Attributes:
        proposal: The links to take, with what settled each as its evidence.
        doubtful: Decisions of which no option, or none that is likelier than others, agrees.
        same: Whether the outputs of both models agree with these links; None where they could not be compared.
        shown: Tensors of the candidate whose decision a run has shown to be right.
        own_constants: Whether only with the constants that the candidate builds itself the outputs agree.
    """

    proposal: Proposal
    doubtful: list[Decision] = field(default_factory=list)
    same: bool | None = None
    shown: frozenset[str] = frozenset()
    own_constants: bool = False


def combinations(decisions: Sequence[Decision]) -> int:
    """Number of ways in which several decisions can be made."""
    return prod(len(decision.options) for decision in decisions)


def together(decisions: Sequence[Decision], first: tuple[int, ...] | None) -> Iterator[tuple[int, ...]]:
    """Options of several decisions at once, the likeliest first; those that agreed in another block before all.

    Decisions of one kind, such as how a query and how a key is stored, are mostly made alike.
    """
    if first is not None:
        yield first
    kinds = list(dict.fromkeys(decision.kind for decision in decisions))
    numbers = [kinds.index(decision.kind) for decision in decisions]
    counts = [min(len(d.options) for d in decisions if d.kind == kind) for kind in kinds]
    alike = (tuple(places[number] for number in numbers) for places in _likeliest(counts))
    apart = _likeliest([len(decision.options) for decision in decisions])
    yield from islice(chain(alike, apart) if len(kinds) < len(decisions) else apart, _MOST_TOGETHER)


def overlapping(checks: Mapping[Key, frozenset[Check]]) -> list[set[Key]]:
    """Decisions in groups: those that have a check in common, directly or through others, are in one."""
    groups: list[tuple[set[Key], set[Check]]] = []
    for key, own in checks.items():
        joined = [group for group in groups if group[1] & own]
        groups = [group for group in groups if not group[1] & own]
        keys = {key}.union(*(group[0] for group in joined))
        groups.append((keys, set(own).union(*(group[1] for group in joined))))
    return [keys for keys, _ in groups]


def _likeliest(counts: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Places of one option of each decision: all of the first two each, then with the third, and so on."""
    for most in range(2, max(2, *counts) + 1):
        for places in product(*(range(min(count, most)) for count in counts)):
            if most == 2 or max(places) == most - 1:
                yield places


def is_open(decision: Decision, scores: Mapping[int, float]) -> bool:
    """Whether further options of a decision are worth a pass: until one agrees, and of few options all."""
    if len(scores) >= len(decision.options):
        return False
    return max(scores.values(), default=0.0) < 1 or (not decision.sure and len(decision.options) <= FEW)


def next_options(
    pending: Sequence[Decision], scores: Mapping[Key, Mapping[int, float]], decisions: Sequence[Decision]
) -> dict[Key, int]:
    """The option to try next of each decision; what agreed for a decision of the same kind goes first."""
    agreed: dict[object, list[int]] = defaultdict(list)
    for decision in decisions:
        agreed[decision.kind] += [place for place, score in scores[decision.key].items() if score == 1]
    tried: dict[Key, int] = {}
    count: dict[object, int] = defaultdict(int)
    for decision in pending:
        kind, done = decision.kind, scores[decision.key]
        left = [place for place in range(len(decision.options)) if place not in done]
        known = next((place for place in agreed[kind] if place in left), None)
        turn = count[kind] % len(left) if len(decision.options) > FEW and done else 0
        tried[decision.key] = left[turn] if known is None else known
        count[kind] += 1
    return tried


def with_options(proposal: Proposal, tried: Mapping[Key, int]) -> list[Link]:
    """The links of a proposal with other options of some decisions."""
    links: list[Link] = list(proposal.links)
    moved: set[str] = set()
    for decision in proposal.decisions:
        if decision.key not in tried:
            continue
        option = decision.options[tried[decision.key]]
        if decision.by == USUAL and moved & set(decision.targets):
            continue  # another source fills it now, whose way to be stored is not decided here
        if decision.wiring:
            sources = {target: link.sources for link in links for target in link.targets}
            moved |= {t for link in option for t in link.targets if sources.get(t) != link.sources}
            option = tuple(link for link in option if any(t in moved for t in link.targets))
        links = replaced(links, option)
    return links


def score_of(decision: Decision, candidate: Model, checks: Mapping[Check, bool]) -> float:
    """Share of the checks that a decision has a part in that agree; nothing where there are none."""
    found = checks_of(decision.targets, candidate, checks)
    outputs = {check for check in found if check[0] and check[1] == "output"}
    if decision.wiring:
        found -= outputs
    elif decision.by == USUAL and len(decision.targets) == 1 and outputs:
        found = outputs  # what a module gives tells how its weight is stored; what comes after has other reasons too
    own = [checks[check] for check in found]
    return sum(own) / len(own) if own else 0.0


def best_option(scores: Mapping[int, float]) -> int:
    """The option that agrees best, the likeliest of those that agree equally."""
    return min(scores, key=lambda place: (-scores[place], place), default=0)


def settled_by(proposal: Proposal, scores: Mapping[Key, Mapping[int, float]]) -> Settled:
    """The links, each with what settled it, and the decisions that nothing settled."""
    evidence: dict[str, str] = {}
    doubtful = []
    for decision in proposal.decisions:
        what = _evidence(decision, scores.get(decision.key, {}))
        if not what:
            doubtful.append(decision)
        evidence |= dict.fromkeys(decision.targets, what or decision.by)
    links = [replace(link, evidence=evidence.get(link.targets[0], link.evidence)) for link in proposal.links]
    agree = [d for d in proposal.decisions if max(scores.get(d.key, {}).values(), default=0.0) == 1]
    shown = frozenset(name for decision in agree for name in decision.targets)
    return Settled(replace(proposal, links=links), doubtful, shown=shown)


def _evidence(decision: Decision, scores: Mapping[int, float]) -> str:
    """What settled a decision; empty for nothing."""
    best = max(scores.values(), default=0.0)
    agreeing = [place for place, score in scores.items() if score == best]
    if best == 1:
        if len(agreeing) > 1:
            return f"symmetry, by {decision.by}"
        if agreeing != [0] and decision.by != USUAL:
            return "proof against the names" if decision.named else "proof"
        return "proof" if decision.by == USUAL else f"{decision.by} and proof"
    if decision.sure:
        return decision.by
    alone = len(agreeing) == 1 and len(scores) == len(decision.options)
    return "proof" if best > 0 and alone else ""
