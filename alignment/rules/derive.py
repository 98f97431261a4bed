"""The rules between two models, derived from the classes, names and order of their modules; doubts are errors."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from alignment.errors import AlignmentError
from alignment.pair.contract import Contract, ties_of
from alignment.pair.model_description import ModelDescription
from alignment.pair.units import COUNTER, Unit, units_of
from alignment.rules.matching import Ambiguity, Match, Matching, match_units
from porting.names import fold, nearest
from porting.operations import Op, Tie, between
from porting.rules import Rule, drop, fill, rule

COUNTED = "counts batches, which takes no part in the function"
REMEDY = (
    "say what they are: rules=['auto', rule('a.weight', 'b.weight'), drop('a.bias', 'why'), fill('b.bias', 'why')], "
    "with rule, linear, drop and fill from porting.rules; rules that are given go first"
)


def derive(reference: ModelDescription, candidate: ModelDescription, rules: Sequence[Rule], *, auto: bool) -> Contract:
    """The contract between two models.

    Args:
        reference: The reference.
        candidate: The candidate.
        rules: Rules of the user's, which go first.
        auto: Derive the rules of the tensors that these leave.

    Raises:
        AlignmentError: With a line for all that could not be matched, for all that could be in several ways that are
            equally good, and for every given rule that takes nothing.
    """
    if not auto:
        contract = Contract(reference, candidate, tuple(rules))
        _ = contract.table
        return contract
    problems = idle(rules, reference, candidate)
    theirs = _without(units_of(reference), taken(rules, reference.tensors, sources=True))
    ours = _without(units_of(candidate), taken(rules, candidate.tensors, sources=False))
    matching = match_units(theirs, ours)
    derived = _Derived(reference, candidate, matching, rules)
    problems += derived.problems(theirs, ours)
    refuse(problems, reference, candidate)
    return checked(Contract(reference, candidate, (*rules, *derived.rules(theirs, ours)), derived.evidence))


def refuse(problems: Sequence[str], reference: ModelDescription, candidate: ModelDescription) -> None:
    """Raise an AlignmentError with all problems and the remedy; do nothing where there are none."""
    if problems:
        summary = (
            f"not every tensor of the reference ({reference.framework}) could be matched with one of the candidate "
            f"({candidate.framework})"
        )
        raise AlignmentError(summary, [*problems, REMEDY])


def checked(contract: Contract) -> Contract:
    """Return a contract whose rules fit both models, or raise an AlignmentError with the remedy."""
    try:
        _ = contract.table
    except AlignmentError as error:
        raise AlignmentError(error.summary, [*error.details, REMEDY]) from None
    return contract


class _Derived:
    """Matched units as rules of tensors."""

    def __init__(
        self, reference: ModelDescription, candidate: ModelDescription, matching: Matching, given: Iterable[Rule]
    ) -> None:
        self._reference, self._candidate, self._matching = reference, candidate, matching
        self._given = taken(given, reference.tensors, sources=True)
        self._taken = taken(given, candidate.tensors, sources=False)
        self._ties, self._their_ties = ties_of(candidate), ties_of(reference)
        self.evidence: dict[str, str] = {}
        self._pairs = {source: target for match in matching.matches for source, target, _ in _tensors(match)}

    def rules(self, theirs: Sequence[Unit], ours: Sequence[Unit]) -> Iterator[Rule]:
        """A rule for every matched tensor, then for what may be left out."""
        done: set[str] = set()
        for match in self._matching.matches:
            for source, target, op in _tensors(match):
                there = {*self._pairs.values(), *self._taken}
                alone = [name for name in self._tied(target) if name not in there]
                self.evidence |= dict.fromkeys((target, *alone), match.evidence)
                yield rule(source, (target, *alone), Tie(1 + len(alone), op) if alone else op)
                done |= {source, target, *alone}
        left = [unit.parts[part].name for unit, part in _parts(self._matching.reference_only)]
        for name in (*left, *self._aliases):
            yield drop(name, f"the same tensor as {self._kept(name)}")
        yield from (drop(name, COUNTED, 0) for name in _counters(theirs) if name not in done)
        for name in _counters(ours):
            if name not in done:
                self.evidence[name] = "counter"
                yield fill(name, COUNTED)

    def problems(self, theirs: Sequence[Unit], ours: Sequence[Unit]) -> list[str]:
        """A line for each tensor without a counterpart and each ambiguity, indices folded."""
        tied = {name for target in self._pairs.values() for name in self._tied(target)}
        left_here = [
            entry for entry in _parts(self._matching.reference_only) if not self._kept(entry[0].parts[entry[1]].name)
        ]
        left_there = [
            entry for entry in _parts(self._matching.candidate_only) if entry[0].parts[entry[1]].name not in tied
        ]
        unmatched = [
            *_unmatched("reference", left_here, left_there, ours),
            *_unmatched("candidate", left_there, left_here, theirs),
        ]
        return [*unmatched, *map(_several, self._matching.ambiguous), *self._torn()]

    @property
    def _aliases(self) -> list[str]:
        """Further names of tensors of the reference, under paths of modules that are another module as well."""
        listed = {name for module in self._reference.modules for name in module.tensors}
        return [name for name in self._reference.tensors if name not in listed | self._given and self._kept(name)]

    def _torn(self) -> list[str]:
        """A line for each tensor with several names whose counterparts are several tensors."""
        back = {target: source for source, target in self._pairs.items()}
        problems = []
        for side, ties, other, pairs in (
            ("reference", self._their_ties, self._candidate, self._pairs),
            ("candidate", self._ties, self._reference, back),
        ):
            for names in ties.values():
                there = [pairs[name] for name in names if name in pairs]
                if len({other.tensors[name].same_as or name for name in there}) > 1:
                    problems.append(f"{', '.join(names)} are one tensor in the {side}, {', '.join(there)} are several")
        return problems

    def _tied(self, name: str) -> list[str]:
        """All other names of a tensor of the candidate."""
        return [other for names in self._ties.values() if name in names for other in names if other != name]

    def _kept(self, name: str) -> str:
        """Another name of the same tensor of the reference that has a counterpart; empty if none has."""
        names = next((names for names in self._their_ties.values() if name in names), [])
        return next((other for other in names if other in self._pairs), "")


def _tensors(match: Match) -> Iterator[tuple[str, str, Op | None]]:
    """Source, target and operation of every tensor of two matched units."""
    for part, source in match.reference.parts.items():
        target = match.candidate.parts.get(part)
        if target is not None:
            yield source.name, target.name, _between(source.op, target.op) or between(source.shape, target.shape)


def _between(source: Op | None, target: Op | None) -> Op | None:
    """What takes one side's form to the other's: through the common one."""
    if source is None or target is None:
        return target or (source.inverse if source else None)
    if source != target:
        raise NotImplementedError(f"{source} and then {target}")
    return None


def _without(units: Iterable[Unit], taken: set[str]) -> list[Unit]:
    rest = [
        replace(unit, parts={part: tensor for part, tensor in unit.parts.items() if tensor.name not in taken})
        for unit in units
    ]
    return [unit for unit in rest if unit.parts]


def taken(rules: Iterable[Rule], names: Iterable[str], *, sources: bool) -> set[str]:
    """Names that rules take, or give."""
    patterns = [pattern for rule in rules for pattern in (rule.sources if sources else rule.targets)]
    return {name for name in names for pattern in patterns if pattern.match(name) is not None}


def idle(rules: Iterable[Rule], reference: ModelDescription, candidate: ModelDescription) -> list[str]:
    """Given rules with a pattern that no tensor has."""
    problems = []
    for given in rules:
        sides = ("reference", reference, given.sources), ("candidate", candidate, given.targets)
        for side, model, patterns in sides:
            for pattern in patterns:
                if not any(pattern.match(name) is not None for name in model.tensors):
                    close = nearest(str(pattern), model.tensors)
                    hint = f"; did you mean {close[0]}?" if close else ""
                    problems.append(f"rule {given}: the {side} has no {pattern}{hint}")
    return problems


def _parts(units: Iterable[Unit]) -> Iterator[tuple[Unit, str]]:
    return ((unit, part) for unit in units for part in unit.parts)


def _counters(units: Iterable[Unit]) -> Iterator[str]:
    return (unit.parts[COUNTER].name for unit in units if COUNTER in unit.parts)


def _unmatched(
    side: str, left: Sequence[tuple[Unit, str]], right: Sequence[tuple[Unit, str]], others: Iterable[Unit]
) -> Iterator[str]:
    """Lines for what has no counterpart, each with the nearest that the other side has, unmatched ones preferred."""
    other_side = "candidate" if side == "reference" else "reference"
    alike: dict[tuple[str, tuple[int, ...]], list[str]] = defaultdict(list)
    for unit, part in left:
        alike[unit.kind, unit.parts[part].shape].append(unit.parts[part].name)
    free = {unit.parts[part].name: unit.parts[part].shape for unit, part in right}
    everything = {part.name: part.shape for unit in others for part in unit.parts.values()}
    for (kind, shape), names in alike.items():
        same = [name for name, free_shape in free.items() if free_shape == shape]
        for folded in fold(names):
            close = nearest(folded, same) or same[:1] or nearest(folded, free) or nearest(folded, everything)
            hint = f"; nearest in the {other_side}: {close[0]} {everything[close[0]]}" if close else ""
            yield f"only in the {side}: {folded} {shape}, {_of(kind)}{hint}"


def _several(doubt: Ambiguity) -> str:
    """A line for units that could be matched in several ways, with the rule to give where names contradict the rest."""
    names = f"{_listed(doubt.reference)} of the reference with {_listed(doubt.candidate)} of the candidate"
    line = f"several equally good ways: {names}, all {_form(doubt.reference[0])}"
    if doubt.by_evidence is None or doubt.by_name is None:
        return line
    evidence = "order of execution" if doubt.by_evidence.evidence == "order" else doubt.by_evidence.evidence
    unit, other, named = (
        doubt.by_evidence.reference.path,
        doubt.by_evidence.candidate.path,
        doubt.by_name.candidate.path,
    )
    ways = f"{unit} is {other} by {evidence}, {named} by its name"
    return f"{line}; {ways}; if the name is right: {_rules_of(doubt.by_name)}; else: {_rules_of(doubt.by_evidence)}"


def _rules_of(match: Match) -> str:
    """The rules of two matched units as a user writes them."""
    words = {"transpose": ", Transpose()"}
    return ", ".join(
        f"rule({source!r}, {target!r}{words.get(str(op), '')})"
        for source, target, op in _tensors(match)
        if source.rpartition(".")[2] != COUNTER
    )


def _of(kind: str) -> str:
    return "a bare tensor" if kind == "parameter" else f"of a {kind}"


def _form(unit: Unit) -> str:
    shapes = ", ".join(f"{part} {tensor.shape}".strip() for part, tensor in unit.parts.items() if part != COUNTER)
    return f"{'bare tensors' if unit.kind == 'parameter' else unit.kind} with {shapes}"


def _listed(units: Sequence[Unit]) -> str:
    return ", ".join(fold(unit.path or "the model" for unit in units))
