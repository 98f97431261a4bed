"""The rules between two models from the structure of their data flow, and from trials where that leaves choices."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial

from alignment.pair.contract import Contract, ties_of
from alignment.pair.model_description import ModelDescription
from alignment.pair.units import COUNTER
from alignment.rules.buffers import match_rest
from alignment.rules.choosing import Settled
from alignment.rules.derive import COUNTED, checked, idle, refuse, taken
from alignment.rules.differences import differences
from alignment.rules.forms import form
from alignment.rules.model import Model, both
from alignment.rules.never_called import links_of_uncalled
from alignment.rules.pieces import cut_only_here
from alignment.rules.proposals import Decision, Link, names_in
from alignment.rules.rows import propose_whole
from alignment.rules.ways import Stored, ways
from porting.checkpoint.tensor import Shape
from porting.names import fold, without_indices
from porting.operations import Each, Keep, Op, Tie, chained
from porting.operations.one_sided import Build
from porting.patterns import Pattern
from porting.rules import Rule, drop, fill, rule

_NAMED = 6
"""Tensors that a line about several decisions names."""
_DOUBTS = 2
"""Kinds of decisions that have a line each, where there are many."""
Decide = Callable[[Model, Model, Sequence[Link]], Settled]
"""Tries the proposals between two models; see `alignment.rules.proof.decide`."""


def derive_by_structure(
    reference: ModelDescription, candidate: ModelDescription, rules: Sequence[Rule], decide: Decide
) -> Contract:
    """The contract between two models whose frameworks tell the order of their tensors.

    Args:
        reference: The reference.
        candidate: The candidate.
        rules: Rules of the user's, which go first.
        decide: Makes the decisions that structure leaves.

    Raises:
        AlignmentError: With a line for all that has no counterpart, and for all that could be several things.
    """
    problems = idle(rules, reference, candidate)
    decide = partial(_anywhere, decide)
    given = list(_given(rules, reference, candidate))
    theirs, ours, settled = _decided(reference, candidate, lambda one, other: decide(one, other, given))
    beside: list[Link] = []
    for propose in (_crossed, links_of_uncalled):
        more = list(propose(theirs, ours, [*given, *beside], settled)) if settled.same is not True else []
        if more:
            apart = names_in([*beside, *more])
            models = both(reference, candidate, (frozenset(apart[0]), frozenset(apart[1])), (theirs.cut, ours.cut))
            again = decide(*models, [*given, *beside, *more])
            if again.same or _fewer_left(again, settled):
                theirs, ours, settled, beside = *models, again, [*beside, *more]
    known = (*rules, *(rule(link.sources, link.targets, link.op) for link in beside))
    derived = _Derived(theirs, ours, known, [*given, *beside], settled)
    problems += derived.problems()
    refuse(problems, reference, candidate)
    every = (*known, *derived.rules())  # which fills the evidence too
    evidence = derived.evidence | {link.targets[0]: link.evidence for link in beside}
    return checked(Contract(reference, candidate, every, evidence, settled.same))


def _decided(
    reference: ModelDescription, candidate: ModelDescription, decide: Callable[[Model, Model], Settled]
) -> tuple[Model, Model, Settled]:
    """Both models and what is settled, with tensors that only one keeps as rows matched row by row where that helps."""
    cut = cut_only_here(reference, candidate), cut_only_here(candidate, reference)
    rows = both(reference, candidate, cut=cut)
    in_rows = decide(*rows)
    if in_rows.same or not any(cut) or not any(in_rows.proposal.left):
        return (*rows, in_rows)
    whole = both(reference, candidate)
    settled = decide(*whole)
    return (*rows, in_rows) if _fewer_left(in_rows, settled) and not settled.same else (*whole, settled)


def _anywhere(decide: Decide, theirs: Model, ours: Model, given: Sequence[Link]) -> Settled:
    """What is settled, with tensors matched at other places where only then everything has a counterpart.

    It counts where a run shows that it is right; and where tensors are joined or cut, so that their places tell
    nothing. Tensors of the same forms at other places are what the models differ in.
    """
    left = propose_whole(theirs, ours, given).left
    if any(left):
        apart = theirs.apart, ours.apart
        models = both(theirs.description, ours.description, apart, (theirs.cut, ours.cut), anywhere=True)
        if not any(propose_whole(*models, given).left):
            settled = decide(*models, given)
            forms = [
                sorted(form(model.stored[name].shape) for name in names)
                for model, names in zip((theirs, ours), left, strict=True)
            ]
            if settled.same or forms[0] != forms[1] or settled.shown >= {*left[1]}:
                return settled
    return decide(theirs, ours, given)


def _fewer_left(one: Settled, other: Settled) -> bool:
    """Whether fewer tensors have no counterpart in one."""
    return sum(map(len, one.proposal.left)) < sum(map(len, other.proposal.left))


class _Derived:
    """Links as rules of tensors."""

    def __init__(
        self, reference: Model, candidate: Model, rules: Sequence[Rule], given: Sequence[Link], settled: Settled
    ) -> None:
        self._reference, self._candidate, self._settled = reference, candidate, settled
        self._ties = [ties_of(side.description) for side in (reference, candidate)]
        self._given = (
            taken(rules, reference.description.tensors, sources=True),
            taken(rules, candidate.description.tensors, sources=False),
        )
        links = settled.proposal.links
        done = [one | two for one, two in zip(names_in(links), self._given, strict=True)]
        self._rest = match_rest(
            *(reference, candidate, [*given, *links], (done[0], done[1]), settled.proposal.left),
            own_constants=settled.own_constants,
        )
        self._links = [*links, *self._rest.links]
        self._marks: tuple[dict[str, object], dict[str, object]] = ({}, {})
        for place, link in enumerate(given):
            self._marks[0].update(dict.fromkeys(link.sources, place))
            self._marks[1].update(dict.fromkeys(link.targets, place))
        self.evidence: dict[str, str] = {}

    def rules(self) -> Iterator[Rule]:
        """A rule for every link, then for what may be left out."""
        for link in self._links:
            targets, op = self._with_ties(link)
            self.evidence |= dict.fromkeys(targets, link.evidence)
            yield rule(link.sources, targets, op)
        done = names_in(self._links)
        yield from self._reference_only(done[0] | self._given[0])
        yield from self._candidate_only({*self.evidence} | self._given[1])

    def problems(self) -> list[str]:
        """A line for each tensor without a counterpart and each decision that nothing settled, indices folded."""
        left = self._settled.proposal.left
        both = [
            [name for name in (*own, *rest) if name not in given | done and not self._alias(place, name)]
            for place, (own, rest, given, done) in enumerate(
                zip(left, self._rest.left, self._given, names_in(self._links), strict=True)
            )
        ]
        settled = {source: target for link in self._links for source in link.sources for target in link.targets}
        proven = names_in(link for link in self._settled.proposal.links if "proof" in link.evidence)
        lines = differences(self._reference, self._candidate, (both[0], both[1]), settled, self._marks, proven)
        return [*lines, *_doubts(self._settled.doubtful, alone=not lines), *self._torn()]

    def _with_ties(self, link: Link) -> tuple[tuple[str, ...], Op | None]:
        """Targets with all other names of each, and the operation that fills them."""
        names = [self._all_names(1, target) for target in link.targets]
        names = [[name for name in own if name == own[0] or name not in self._given[1]] for own in names]
        if all(len(own) == 1 for own in names):
            return link.targets, link.op
        if len(names) == 1:
            return tuple(names[0]), chained([link.op, Tie(len(names[0]))])
        ties = Each(tuple(Tie(len(own)) if len(own) > 1 else None for own in names))
        return tuple(name for own in names for name in own), chained([link.op, ties])

    def _all_names(self, place: int, name: str) -> list[str]:
        """A tensor's name and its further names, on one side."""
        names = next((names for names in self._ties[place].values() if name in names), [name])
        return [name, *(other for other in names if other != name)]

    def _alias(self, place: int, name: str) -> bool:
        """Whether a tensor has another name that is accounted for."""
        done = names_in(self._links)[place] | self._given[place]
        return any(other in done for other in self._all_names(place, name)[1:])

    def _reference_only(self, done: set[str]) -> Iterator[Rule]:
        for name in self._rest.kept[0]:
            yield rule(name, (), Keep("a constant that each side builds itself"))
        for name in self._rest.unused[0]:
            yield drop(name, "its module is never called")
        known = {*done, *self._rest.kept[0], *self._rest.unused[0]}
        for name in self._reference.description.tensors:
            if name in known:
                continue
            if name.rpartition(".")[2] == COUNTER:
                yield drop(name, COUNTED, 0)
            else:
                other = next((n for n in self._all_names(0, name)[1:] if n in known), "")
                yield drop(name, f"the same tensor as {other}")

    def _candidate_only(self, done: set[str]) -> Iterator[Rule]:
        for name in self._rest.kept[1]:
            self.evidence[name] = "constant"
            yield rule((), name, Build("a constant that each side builds itself"))
        for name in self._rest.unused[1]:
            self.evidence[name] = "not used"
            yield fill(name, "its module is never called")
        for name in self._candidate.description.tensors:
            if name.rpartition(".")[2] == COUNTER and name not in done:
                self.evidence[name] = "counter"
                yield fill(name, COUNTED)

    def _torn(self) -> list[str]:
        """A line for each tensor of the candidate with several names whose counterparts are several tensors."""
        back = {target: source for link in self._links for source in link.sources for target in link.targets}
        problems = []
        for names in self._ties[1].values():
            there = [back[name] for name in names if name in back]
            if len({self._reference.description.tensors[name].same_as or name for name in there}) > 1:
                problems.append(f"{', '.join(names)} are one tensor in the candidate, {', '.join(there)} are several")
        return problems


def _given(rules: Iterable[Rule], reference: ModelDescription, candidate: ModelDescription) -> Iterator[Link]:
    """What the user's rules say, tensor by tensor; rules that only drop or fill are left out."""
    for given in rules:
        if not given.sources or not given.targets:
            continue
        for name in reference.tensors:
            bindings = given.sources[0].match(name)
            if bindings is None:
                continue
            sources, targets = (_names(patterns, bindings) for patterns in (given.sources, given.targets))
            if set(sources) <= reference.tensors.keys() and set(targets) <= candidate.tensors.keys():
                yield Link(sources, targets, given.op, "")


def _crossed(reference: Model, candidate: Model, given: Sequence[Link], settled: Settled) -> Iterator[Link]:
    """What is a parameter on one side and a buffer on the other: the data flow shows parameters only.

    They have the same name, or are the only ones of their form without a counterpart. Only a run that differs, without
    them, makes it worth looking.
    """
    if settled.same is not False:
        return
    done = names_in(given)
    for name, how in reference.stored.items():
        other = candidate.stored.get(name)
        if other is None or how.buffer == other.buffer or name in done[0] | done[1]:
            continue
        ops = ways(how, other)
        if ops:
            done[0].add(name)
            done[1].add(name)
            yield Link((name,), (name,), ops[0], "name")
    theirs, ours = (
        _alone(model, own | linked)
        for model, own, linked in zip((reference, candidate), done, names_in(settled.proposal.links), strict=True)
    )
    for shape in theirs.keys() & ours.keys():
        if len(theirs[shape]) == len(ours[shape]) == 1:
            source, target = theirs[shape][0], ours[shape][0]
            ops = ways(source, target) if source.buffer != target.buffer else []
            if ops:
                yield Link((source.name,), (target.name,), ops[0], "only one")


def _alone(model: Model, done: Collection[str]) -> dict[Shape, list[Stored]]:
    """By form, the tensors of floats that have no counterpart; statistics of norms and aliases left out."""
    groups: dict[Shape, list[Stored]] = defaultdict(list)
    for name, how in model.stored.items():
        info = model.description.tensors[name]
        statistics = how.part in ("running_mean", "running_var", COUNTER)
        if name not in done and not statistics and info.dtype.startswith("float") and info.same_as in ("", name):
            groups[form(how.shape)].append(how)
    return groups


def _names(patterns: Iterable[Pattern], bindings: dict[str, int | str]) -> tuple[str, ...]:
    return tuple(pattern.format(bindings) for pattern in patterns)


def _doubts(doubtful: Sequence[Decision], *, alone: bool) -> Iterator[str]:
    """A line for the decisions of a kind that nothing settled; one for all where the models differ, perhaps therefore.

    Args:
        doubtful: The decisions.
        alone: Whether everything has its counterpart.
    """
    kinds: dict[object, list[Decision]] = defaultdict(list)
    for decision in doubtful:
        kinds[frozenset(_last_words(decision.sources)), frozenset(_last_words(decision.targets))].append(decision)
    groups = list(kinds.values())
    told = len(groups) if alone or len(doubtful) < 2 else 0
    told = told if told <= _DOUBTS + 1 else _DOUBTS
    yield from map(_doubt, groups[:told])
    rest = [decision for own in groups[told:] for decision in own]
    if rest:
        names = ", ".join(fold(name for decision in rest for name in decision.targets)[:_NAMED])
        yield (
            f"no way fits at {len(rest)} more places, perhaps for that reason: {names} of the candidate; settle "
            "the differences above first"
        )


def _last_words(names: Iterable[str]) -> Iterator[str]:
    """The last two parts of names, without numbers: the same for the same tensors of several blocks."""
    return (without_indices(".".join(name.split(".")[-2:])) for name in names)


def _doubt(decisions: Sequence[Decision]) -> str:
    """A line for decisions that nothing settled, of the same tensors of several blocks, with the rule to give."""
    option = decisions[0].options[0]
    written = ", ".join(
        f"rule({_written(link.sources)}, {_written(link.targets)}{f', op({str(link.op)!r})' if link.op else ''})"
        for link in option[:2]
    )
    sources = ", ".join(fold(name for decision in decisions for name in decision.sources))
    targets = ", ".join(fold(name for decision in decisions for name in decision.targets))
    return (
        f"no way fits: {sources} of the reference with {targets} of the "
        f"candidate; with none of the ways that were tried, of {len(decisions[0].options)}, does the candidate compute "
        "what the reference does: it computes something else there, or the right way is not among them; "
        f"give the rule that you mean, such as {written}, and a run says where the two differ"
    )


def _written(names: tuple[str, ...]) -> str:
    return repr(names[0] if len(names) == 1 else names)
