"""Proposed rules, tried: the candidate is run with the reference's weights, until every decision is made.

All decisions are tried in the same passes, since a mistake at one place says nothing about any other there; see
`alignment.rules.trial`.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice, product
from math import prod

from alignment.rules.model import Model
from alignment.rules.proposals import USUAL, Decision, Key, Link, Proposal, propose, replaced
from alignment.rules.trial import Check, Trial, checks_of
from alignment.rules.turns import turned

PASSES = 8
"""Passes of the candidate that are made to decide; more, up to `MORE_PASSES`, while they take less than `SECONDS`."""
MORE_PASSES, SECONDS = 48, 30.0
ALL_SECONDS = 90.0
"""Time after which no further option is tried: seconds of work of this thread, so that a busy machine decides alike."""
_MOST_TOGETHER = 2000
_ROWS = "the order of rows and proof"
_FEW = 6
"""Of no more options all are tried, so that a symmetry is told."""


@dataclass
class Settled:
    """Proposals after they were tried.

    Attributes:
        proposal: The links to take, with what settled each as its evidence.
        doubtful: Decisions of which no option, or none that is likelier than others, agrees.
        same: Whether the outputs of both models agree with these links; None where they could not be compared.
    """

    proposal: Proposal
    doubtful: list[Decision] = field(default_factory=list)
    same: bool | None = None


def decide(
    reference: Model,
    candidate: Model,
    trial: Trial,
    given: Sequence[Link],
    progress: Callable[[int], None] = lambda _: None,
) -> Settled:
    """Try the proposals until every decision is made, or no pass is left.

    Args:
        reference: The reference.
        candidate: The candidate.
        trial: The candidate, to be run.
        given: What is settled already.
        progress: Called with the number of passes that were made.
    """
    return _Deciding(reference, candidate, trial, given, progress).run()


class _Deciding:
    """What is known of the decisions between two models while they are made."""

    def __init__(
        self,
        reference: Model,
        candidate: Model,
        trial: Trial,
        given: Sequence[Link],
        progress: Callable[[int], None],
    ) -> None:
        self._models, self._trial, self._given, self._progress = (reference, candidate), trial, given, progress
        self._scores: dict[Key, dict[int, float]] = defaultdict(dict)
        self._chosen: dict[Key, int] = {}
        self._crossed: set[Key] = set()
        self._begun = time.thread_time()

    def run(self) -> Settled:
        proposal = propose(*self._models, self._given, self._chosen)
        if proposal.decisions:
            few = [decision for decision in proposal.decisions if len(decision.options) <= _FEW]
            self._try_all(replace(proposal, decisions=few), again=False)
            proposal = propose(*self._models, self._given, self._chosen)
            self._run(proposal.links)
            self._try_alone(proposal)
            proposal = propose(*self._models, self._given, self._chosen)
        proposal = self._try_again(self._try_all(proposal, again=True))
        settled = _settled(proposal, self._scores)
        settled.same = self._same(settled.proposal.links)
        if settled.same is False:
            settled = self._exchange(proposal) or self._turn(proposal, settled)
        return settled

    def _score_all(self, proposal: Proposal, tried: Mapping[Key, int]) -> None:
        """Run the candidate with these options, and note how they agree."""
        checks = self._run(_with(proposal, tried))
        for decision in proposal.decisions:
            if decision.key in tried:
                self._scores[decision.key][tried[decision.key]] = _score(decision, self._models[1], checks)
                if decision.named and self._given_otherwise(decision, checks):
                    self._scores[decision.key] = dict.fromkeys(range(len(decision.options)), 0.0)
                    self._crossed.add(decision.key)

    def _given_otherwise(self, decision: Decision, checks: Mapping[Check, bool]) -> bool:
        """Whether modules that both sides call by the same words are given something else on one.

        Another order would only hide that mistake of the candidate's.
        """
        stored = self._models[1].stored
        return not all(checks.get((stored[name].path, "input"), True) for name in decision.targets)

    def _try_alone(self, proposal: Proposal) -> None:
        """Try the options of decisions that have many on the smallest module around each, run alone."""
        groups: dict[str, list[Decision]] = defaultdict(list)
        for decision in proposal.decisions:
            path = self._trial.within(decision.targets)
            if path is not None and self._fails(decision) and decision.key not in self._crossed:
                groups[path].append(decision)
        begun = time.thread_time()
        known: dict[object, tuple[int, ...]] = {}
        for path, decisions in sorted(groups.items(), key=lambda group: _combinations(group[1])):
            if len(decisions) < 2 and not any(_open(decision, self._scores[decision.key]) for decision in decisions):
                continue
            kind = tuple(decision.kind for decision in decisions)
            sole = self._sole_within(path, decisions, proposal)
            for places in _together(decisions, known.get(kind)):
                tried = {d.key: place for d, place in zip(decisions, places, strict=True)}
                if self._trial.alone(path, _with(proposal, self._chosen | tried)):
                    known[kind] = places
                    self._chosen |= tried
                    for key, place in tried.items():
                        self._scores[key][place] = 1.0
                    break
                if sole:
                    self._scores[decisions[0].key][places[0]] = 0.0
                if time.thread_time() > min(begun + SECONDS, self._begun + ALL_SECONDS):
                    return

    def _sole_within(self, path: str, decisions: Sequence[Decision], proposal: Proposal) -> bool:
        """Whether there is one decision, and nothing else within the module is open: only then does a failure count."""
        others = [
            d for d in proposal.decisions if any(self._models[1].stored[t].path.startswith(path) for t in d.targets)
        ]
        failing = {d.key for d in others if self._fails(d)}
        return len(decisions) == 1 and failing <= {decisions[0].key}

    def _fails(self, decision: Decision) -> bool:
        """Whether none of the options of a decision that were tried agrees."""
        return max(self._scores[decision.key].values(), default=0.0) < 1

    def _try_all(self, proposal: Proposal, *, again: bool) -> Proposal:
        """Try the options of all decisions; where a better one shows, proposals that follow from it are made again."""
        first, begun = self._trial.passes, time.thread_time()
        while (made := self._trial.passes - first) < PASSES or (
            made < MORE_PASSES and time.thread_time() < begun + SECONDS
        ):
            if time.thread_time() > self._begun + ALL_SECONDS:
                break
            pending = [d for d in proposal.decisions if _open(d, self._scores[d.key])]
            if not pending:
                break
            tried = self._apart(pending, _next_options(pending, self._scores, proposal.decisions))
            self._score_all(proposal, tried)
            better = {
                key: best
                for key, options in self._scores.items()
                if options and (best := _best(options)) != self._chosen.get(key, 0)
            }
            if better:
                self._chosen |= better
                proposal = (
                    propose(*self._models, self._given, self._chosen)
                    if again
                    else replace(proposal, links=_with(proposal, self._chosen))
                )
        return proposal

    def _try_again(self, proposal: Proposal) -> Proposal:
        """Try once more what failed while other decisions were not made yet, as long as that settles any."""
        failing = {d.key for d in proposal.decisions if self._fails(d)}
        while failing and len(failing) < len(proposal.decisions):
            for decision in proposal.decisions:
                if decision.key in failing - self._crossed and len(decision.options) <= _FEW:
                    del self._scores[decision.key]
            proposal = self._try_all(proposal, again=True)
            left = {d.key for d in proposal.decisions if self._fails(d)}
            if not left < failing:
                break
            failing = left
        return proposal

    def _apart(self, pending: Sequence[Decision], tried: Mapping[Key, int]) -> dict[Key, int]:
        """The options to try, without how tensors are stored that another decision moves in the same pass."""
        moved = {
            name
            for decision in pending
            if decision.by != USUAL and tried[decision.key] != self._chosen.get(decision.key, 0)
            for name in decision.targets
        }
        return {d.key: tried[d.key] for d in pending if d.by != USUAL or not moved & set(d.targets)}

    def _exchange(self, proposal: Proposal) -> Settled | None:
        """Exchange tensors that nothing but what they are given told apart, such as q and k; None if that is no cure.

        They are exchanged in all blocks of a kind at once, and how each is stored is decided again. Where both sides
        call them by the same words, an exchange would only hide a mistake in the candidate.
        """
        chosen, scores = dict(self._chosen), {key: dict(own) for key, own in self._scores.items()}
        kinds: dict[object, list[Decision]] = defaultdict(list)
        for decision in proposal.decisions:
            if decision.by != USUAL and not decision.named and len(decision.options) <= _FEW:
                kinds[decision.kind].append(decision)
        for decisions in kinds.values():
            for place in range(len(decisions[0].options)):
                if time.thread_time() > self._begun + ALL_SECONDS:
                    return None
                if all(chosen.get(decision.key, 0) == place for decision in decisions):
                    continue
                moved = {name for decision in decisions for name in decision.targets}
                for decision in proposal.decisions:
                    if moved & set(decision.targets):
                        self._scores.pop(decision.key, None)
                self._chosen |= {decision.key: place for decision in decisions}
                self._scores |= {decision.key: {place: 1.0} for decision in decisions}
                tried = self._try_all(propose(*self._models, self._given, self._chosen), again=True)
                settled = _settled(tried, self._scores)
                settled.same = self._same(settled.proposal.links)
                if settled.same:
                    return settled
                self._chosen = dict(chosen)
                self._scores = defaultdict(dict, {key: dict(own) for key, own in scores.items()})
        return None

    def _turn(self, proposal: Proposal, settled: Settled) -> Settled:
        """Try other orders of rows where the outputs differ although everything has its counterpart.

        With each option of the decisions that nothing has settled, the same for all, since what is what and in which
        order its rows are may only agree together.
        """
        failing = [d for d in proposal.decisions if self._fails(d) and d.key not in self._crossed]
        for place in range(max((min(len(d.options), _FEW) for d in failing), default=1)):
            tried = {d.key: place if place < len(d.options) else 0 for d in failing}
            if time.thread_time() > self._begun + ALL_SECONDS:
                break
            plain = _with(proposal, {d.key: self._chosen.get(d.key, 0) for d in proposal.decisions} | tried)
            links = self._turn_rows(proposal, plain)
            if links is not None:
                for key, option in tried.items():
                    self._scores[key] = {option: 1.0}
                again = _settled(replace(proposal, links=plain), self._scores)
                evidence = {link.targets: link.evidence for link in again.proposal.links}
                links = [replace(link, evidence=evidence[link.targets] if link in plain else _ROWS) for link in links]
                return Settled(replace(proposal, links=links), again.doubtful, self._same(links))
        return settled

    def _turn_rows(self, proposal: Proposal, links: list[Link]) -> list[Link] | None:
        """The links with the rows of some weights in another order, where that makes all of them agree."""
        checks = self._run(links)
        decisions = turned(*self._models, links, checks)
        if not decisions:
            return None
        for decision in decisions:
            self._scores[decision.key] = {0: _score(decision, self._models[1], checks)}
        plain = replace(proposal, links=links, decisions=decisions)
        self._try_alone(plain)
        self._try_all(plain, again=False)
        if not any(max(self._scores[d.key].values()) == 1 for d in decisions):
            return None
        best = {d.key: self._best_or_plain(d) for d in decisions}
        return _with(plain, best)

    def _best_or_plain(self, decision: Decision) -> int:
        scores = self._scores[decision.key]
        return _best(scores) if max(scores.values()) == 1 else 0

    def _run(self, links: Iterable[Link]) -> dict[Check, bool]:
        checks = self._trial.run([*self._given, *links])
        self._progress(self._trial.passes)
        return checks

    def _same(self, links: Iterable[Link]) -> bool | None:
        """Whether the outputs agree when nothing is replaced."""
        checks = self._trial.run([*self._given, *links], force=False)
        self._progress(self._trial.passes)
        return checks.get(("", "output"))


def _combinations(decisions: Sequence[Decision]) -> int:
    """Number of ways in which several decisions can be made."""
    return prod(len(decision.options) for decision in decisions)


def _together(decisions: Sequence[Decision], first: tuple[int, ...] | None) -> Iterator[tuple[int, ...]]:
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


def _likeliest(counts: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Places of one option of each decision: all of the first two each, then with the third, and so on."""
    for most in range(2, max(2, *counts) + 1):
        for places in product(*(range(min(count, most)) for count in counts)):
            if most == 2 or max(places) == most - 1:
                yield places


def _open(decision: Decision, scores: Mapping[int, float]) -> bool:
    """Whether further options of a decision are worth a pass: until one agrees, and of few options all."""
    if len(scores) >= len(decision.options):
        return False
    return max(scores.values(), default=0.0) < 1 or (not decision.sure and len(decision.options) <= _FEW)


def _next_options(
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
        turn = count[kind] % len(left) if len(decision.options) > _FEW and done else 0
        tried[decision.key] = left[turn] if known is None else known
        count[kind] += 1
    return tried


def _with(proposal: Proposal, tried: Mapping[Key, int]) -> list[Link]:
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


def _score(decision: Decision, candidate: Model, checks: Mapping[Check, bool]) -> float:
    """Share of the checks that a decision has a part in that agree; nothing where there are none."""
    found = checks_of(decision.targets, candidate, checks)
    outputs = {check for check in found if check[0] and check[1] == "output"}
    if decision.wiring:
        found -= outputs
    elif decision.by == USUAL and len(decision.targets) == 1 and outputs:
        found = outputs  # what a module gives tells how its weight is stored; what comes after has other reasons too
    own = [checks[check] for check in found]
    return sum(own) / len(own) if own else 0.0


def _best(scores: Mapping[int, float]) -> int:
    """The option that agrees best, the likeliest of those that agree equally."""
    return min(scores, key=lambda place: (-scores[place], place), default=0)


def _settled(proposal: Proposal, scores: Mapping[Key, Mapping[int, float]]) -> Settled:
    """The links, each with what settled it, and the decisions that nothing settled."""
    evidence: dict[str, str] = {}
    doubtful = []
    for decision in proposal.decisions:
        what = _evidence(decision, scores.get(decision.key, {}))
        if not what:
            doubtful.append(decision)
        evidence |= dict.fromkeys(decision.targets, what or decision.by)
    links = [replace(link, evidence=evidence.get(link.targets[0], link.evidence)) for link in proposal.links]
    return Settled(replace(proposal, links=links), doubtful)


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
