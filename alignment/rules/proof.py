"""Proposed rules, tried: the candidate is run with the reference's weights, until every decision is made.

All decisions are tried in the same passes, since a mistake at one place says nothing about any other there; see
`alignment.rules.trial`.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from alignment.rules.choosing import (
    FEW,
    Settled,
    best_option,
    combinations,
    is_open,
    next_options,
    overlapping,
    score_of,
    settled_by,
    together,
    with_options,
)
from alignment.rules.exchanges import exchanges
from alignment.rules.model import Model
from alignment.rules.other_blocks import as_in_other_blocks
from alignment.rules.proposals import USUAL, Decision, Key, Link, Proposal, replaced
from alignment.rules.rows import propose_whole as propose
from alignment.rules.trial import Check, Trial, checks_of
from alignment.rules.turns import turned

PASSES = 8
"""Passes of the candidate that are made to decide; more, up to `MORE_PASSES`, while they take less than `SECONDS`."""
MORE_PASSES, SECONDS = 48, 30.0
_ROWS = "the order of rows and proof"
_JOINT_PASSES = 16
"""Passes that are made at most to try options together."""
_IN_VAIN = 2
"""Blocks of one kind that are searched without success before the others are left out."""


def decide(
    reference: Model,
    candidate: Model,
    trial: Trial,
    given: Sequence[Link],
    progress: Callable[[int], None],
    latest: float,
) -> Settled:
    """Try the proposals until every decision is made, or no pass is left.

    Args:
        reference: The reference.
        candidate: The candidate.
        trial: The candidate, to be run.
        given: What is settled already.
        progress: Called with the number of passes that were made.
        latest: The `time.thread_time()` after which no further option is tried.
    """
    settled = _Deciding(reference, candidate, trial, given, progress, latest).run()
    return with_own_constants(settled, trial, given) if settled.same is False else settled


def with_own_constants(settled: Settled, trial: Trial, given: Sequence[Link]) -> Settled:
    """What is settled, each side with the constants that it builds, where only then the outputs agree."""
    links = [*given, *settled.proposal.links]
    if settled.doubtful or trial.lacks(settled.proposal) or not trial.keep_constants(links):
        return settled
    same = trial.run(links, force=False).get(("", "output"))
    return replace(settled, same=True, own_constants=True) if same else settled


class _Deciding:
    """What is known of the decisions between two models while they are made."""

    def __init__(
        self,
        reference: Model,
        candidate: Model,
        trial: Trial,
        given: Sequence[Link],
        progress: Callable[[int], None],
        latest: float,
    ) -> None:
        self._models, self._trial, self._given = (reference, candidate), trial, given
        self._progress, self._latest = progress, latest
        self._scores: dict[Key, dict[int, float]] = defaultdict(dict)
        self._chosen: dict[Key, int] = {}
        self._crossed: set[Key] = set()
        self._given_up: set[object] = set()

    def run(self) -> Settled:
        proposal = propose(*self._models, self._given, self._chosen)
        if proposal.decisions:
            few = [decision for decision in proposal.decisions if len(decision.options) <= FEW]
            self._try_all(replace(proposal, decisions=few), again=False)
            proposal = propose(*self._models, self._given, self._chosen)
            checks = self._run(proposal.links)
            self._try_alone(proposal)
            self._try_jointly(proposal, checks)
            proposal = propose(*self._models, self._given, self._chosen)
        proposal = self._try_again(self._try_all(proposal, again=True))
        settled = settled_by(proposal, self._scores)
        settled.same = self._same(settled.proposal.links)
        if settled.same is False:
            settled = self._swap(settled)
        if settled.same is False and not self._trial.lacks(settled.proposal):
            settled = self._exchange(proposal) or self._turn(proposal, settled)
        return as_in_other_blocks(settled, self._scores, self._same, self._models)

    def _score_all(self, proposal: Proposal, tried: Mapping[Key, int]) -> None:
        """Run the candidate with these options, and note how they agree."""
        checks = self._run(with_options(proposal, tried))
        for decision in proposal.decisions:
            if decision.key in tried:
                self._scores[decision.key][tried[decision.key]] = score_of(decision, self._models[1], checks)
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
        """Try the options of decisions that have many on the smallest module around each, run alone.

        Small modules go first, so that what is decided within a larger one does not hide what agrees there.
        """
        groups: dict[str, list[Decision]] = defaultdict(list)
        for decision in proposal.decisions:
            path = self._trial.within(decision.targets)
            if path is not None and self._fails(decision) and decision.key not in self._crossed:
                groups[path].append(decision)
        begun = time.thread_time()
        known: dict[object, tuple[int, ...]] = {}
        in_vain: dict[object, int] = defaultdict(int)
        contents = self._models[1].contents
        for path, decisions in sorted(groups.items(), key=lambda own: (len(contents[own[0]]), combinations(own[1]))):
            if len(decisions) < 2 and not any(is_open(decision, self._scores[decision.key]) for decision in decisions):
                continue
            kind = tuple(decision.kind for decision in decisions)
            if kind not in known and in_vain[kind] == _IN_VAIN:
                self._given_up |= {decision.kind for decision in decisions}
                continue
            in_vain[kind] += 1
            agreed = self._search(path, decisions, proposal, known.get(kind), min(begun + SECONDS, self._latest))
            if agreed is not None:
                known[kind] = agreed
            elif time.thread_time() > min(begun + SECONDS, self._latest):
                return

    def _search(
        self,
        path: str,
        decisions: Sequence[Decision],
        proposal: Proposal,
        first: tuple[int, ...] | None,
        latest: float,
    ) -> tuple[int, ...] | None:
        """Try options of several decisions on a module run alone, and take those that agree.

        Args:
            path: Of the module.
            decisions: Those to make.
            proposal: With all others.
            first: Options that agreed in another module of the kind.
            latest: Time at which to stop.

        Returns:
            The place of the option of each; None where none agreed in that time.
        """
        sole = self._sole_within(path, decisions, proposal)
        for places in together(decisions, first):
            tried = {d.key: place for d, place in zip(decisions, places, strict=True)}
            if self._trial.alone(path, with_options(proposal, self._chosen | tried)):
                self._chosen |= tried
                for key, place in tried.items():
                    self._scores[key][place] = 1.0
                return places
            if sole:
                self._scores[decisions[0].key][places[0]] = 0.0
            if time.thread_time() > latest:
                break
        return None

    def _try_jointly(self, proposal: Proposal, checks: Mapping[Check, bool]) -> None:
        """Try options of decisions together that only agree together, where no module around them can be run alone.

        First those with the same failing checks, of a pass with the options chosen so far; then all that have one in
        common, such as those of blocks that add to one sum.
        """
        failing: dict[Key, frozenset[Check]] = {}
        for decision in proposal.decisions:
            if self._fails(decision) and decision.key not in self._crossed:
                own = checks_of(decision.targets, self._models[1], checks)
                failing[decision.key] = frozenset(check for check in own if not checks[check])
        groups: dict[frozenset[Check], list[Decision]] = defaultdict(list)
        for decision in proposal.decisions:
            groups[failing.get(decision.key, frozenset())].append(decision)
        self._search_jointly(proposal, [own for key, own in groups.items() if key])
        left = {d.key: failing[d.key] for d in proposal.decisions if failing.get(d.key) and self._fails(d)}
        several = [
            [decision for decision in proposal.decisions if decision.key in keys]
            for keys in overlapping(left)
            if len({left[key] for key in keys}) > 1
        ]
        self._search_jointly(proposal, several)

    def _search_jointly(self, proposal: Proposal, groups: Sequence[Sequence[Decision]]) -> None:
        """Try options of the decisions of each group together, until all checks of a group agree."""
        searches = {place: together(own, None) for place, own in enumerate(groups) if len(own) > 1}
        for _ in range(_JOINT_PASSES):
            options = {place: next(search, None) for place, search in searches.items()}
            searches = {place: search for place, search in searches.items() if options[place] is not None}
            if not searches or time.thread_time() > self._latest:
                break
            tried = {
                decision.key: option
                for place in searches
                for decision, option in zip(groups[place], options[place] or (), strict=True)
            }
            made = self._run(with_options(proposal, self._chosen | tried))
            agreeing = [p for p in searches if all(score_of(d, self._models[1], made) == 1 for d in groups[p])]
            for place in agreeing:
                for decision in groups[place]:
                    self._chosen[decision.key] = tried[decision.key]
                    self._scores[decision.key][tried[decision.key]] = 1.0
                del searches[place]

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

    def _is_given_up(self, decision: Decision) -> bool:
        """Whether blocks with such a decision were searched without success, and its first option was tried too."""
        return decision.kind in self._given_up and bool(self._scores[decision.key])

    def _try_all(self, proposal: Proposal, *, again: bool) -> Proposal:
        """Try the options of all decisions; where a better one shows, proposals that follow from it are made again."""
        first, begun = self._trial.passes, time.thread_time()
        while (made := self._trial.passes - first) < PASSES or (
            made < MORE_PASSES and time.thread_time() < begun + SECONDS
        ):
            if time.thread_time() > self._latest:
                break
            pending = [d for d in proposal.decisions if is_open(d, self._scores[d.key]) and not self._is_given_up(d)]
            if not pending:
                break
            tried = self._apart(pending, next_options(pending, self._scores, proposal.decisions))
            self._score_all(proposal, tried)
            better = {
                key: best
                for key, options in self._scores.items()
                if options and (best := best_option(options)) != self._chosen.get(key, 0)
            }
            if better:
                self._chosen |= better
                proposal = (
                    propose(*self._models, self._given, self._chosen)
                    if again
                    else replace(proposal, links=with_options(proposal, self._chosen))
                )
        return proposal

    def _try_again(self, proposal: Proposal) -> Proposal:
        """Try once more what failed while other decisions were not made yet, as long as that settles any."""
        failing = {d.key for d in proposal.decisions if self._fails(d)}
        while failing and len(failing) < len(proposal.decisions):
            for decision in proposal.decisions:
                if decision.key in failing - self._crossed and len(decision.options) <= FEW:
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

    def _swap(self, settled: Settled) -> Settled:
        """Exchange two tensors of a module, such as scale and shift, where all checks of theirs agree then.

        An operation may read both at once, in any order, so that the data flow does not tell which of them comes first.
        """
        links = list(settled.proposal.links)
        checks = self._run(links)
        swaps = [swap for swap in exchanges(*self._models, links, settled.shown) if not self._agree(swap, checks)]
        made = self._run(replaced(links, [link for swap in swaps for link in swap])) if swaps else {}
        kept = [link for swap in swaps if self._agree(swap, made) for link in swap]
        if not kept:
            return settled
        links = replaced(links, kept)
        if not self._same(links):
            return Settled(replace(settled.proposal, links=links), settled.doubtful, False)
        shown = {name for decision in settled.doubtful for name in decision.targets}
        links = [replace(link, evidence="proof") if shown & set(link.targets) else link for link in links]
        return Settled(replace(settled.proposal, links=links), [], True)

    def _agree(self, links: Sequence[Link], checks: Mapping[Check, bool]) -> bool:
        """Whether all checks that the targets of these links have a part in agree."""
        own = checks_of((name for link in links for name in link.targets), self._models[1], checks)
        return bool(own) and all(checks[check] for check in own)

    def _exchange(self, proposal: Proposal) -> Settled | None:
        """Exchange tensors that nothing but what they are given told apart, such as q and k; None if that is no cure.

        They are exchanged in all blocks of a kind at once, and how each is stored is decided again. Where both sides
        call them by the same words, an exchange would only hide a mistake in the candidate.
        """
        chosen, scores = dict(self._chosen), {key: dict(own) for key, own in self._scores.items()}
        kinds: dict[object, list[Decision]] = defaultdict(list)
        for decision in proposal.decisions:
            if decision.by != USUAL and not decision.named and len(decision.options) <= FEW:
                kinds[decision.kind].append(decision)
        for decisions in kinds.values():
            for place in range(len(decisions[0].options)):
                if time.thread_time() > self._latest:
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
                settled = settled_by(tried, self._scores)
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
        first: Settled | None = None
        for place in range(max((min(len(d.options), FEW) for d in failing), default=1)):
            tried = {d.key: place if place < len(d.options) else 0 for d in failing}
            if time.thread_time() > self._latest:
                break
            plain = with_options(proposal, {d.key: self._chosen.get(d.key, 0) for d in proposal.decisions} | tried)
            links = self._turn_rows(proposal, plain)
            if links is None:
                continue
            rows = {link.targets for link in links if link not in plain}
            same = self._same(links)
            if same:
                self._scores |= {key: {option: 1.0} for key, option in tried.items()}
            elif failing:
                links = self._decide_again(replace(proposal, links=links, decisions=failing), tried)
                same = self._same(links)
            again = settled_by(replace(proposal, links=links), self._scores)
            links = [replace(link, evidence=_ROWS) if link.targets in rows else link for link in again.proposal.links]
            again = replace(again, proposal=replace(proposal, links=links), same=same)
            if again.same:
                return again
            first = first or again
        return first or settled

    def _decide_again(self, proposal: Proposal, tried: Mapping[Key, int]) -> list[Link]:
        """The links with decisions made that failed while rows of other weights were in another order.

        Args:
            proposal: Links with these rows, and the decisions.
            tried: The option of each that the links have.
        """
        for decision in proposal.decisions:
            self._scores[decision.key] = {}
        self._given_up -= {decision.kind for decision in proposal.decisions}
        self._chosen |= tried
        self._score_all(proposal, tried)
        self._try_alone(proposal)
        self._try_all(proposal, again=False)
        return with_options(proposal, {d.key: best_option(self._scores[d.key]) for d in proposal.decisions})

    def _turn_rows(self, proposal: Proposal, links: list[Link]) -> list[Link] | None:
        """The links with the rows of some weights in another order, where that makes all of them agree."""
        checks = self._run(links)
        decisions = turned(*self._models, links, checks)
        if not decisions:
            return None
        for decision in decisions:
            self._scores[decision.key] = {0: score_of(decision, self._models[1], checks)}
        plain = replace(proposal, links=links, decisions=decisions)
        self._try_alone(plain)
        self._try_all(plain, again=False)
        if not any(max(self._scores[d.key].values()) == 1 for d in decisions):
            return None
        best = {d.key: self._best_or_plain(d) for d in decisions}
        return with_options(plain, best)

    def _best_or_plain(self, decision: Decision) -> int:
        scores = self._scores[decision.key]
        return best_option(scores) if max(scores.values()) == 1 else 0

    def _run(self, links: Iterable[Link], *, force: bool = True) -> dict[Check, bool]:
        checks = self._trial.run([*self._given, *links], force=force)
        self._progress(self._trial.passes)
        return checks

    def _same(self, links: Iterable[Link]) -> bool | None:
        """Whether the outputs agree when nothing is replaced."""
        return self._run(links, force=False).get(("", "output"))
