"""Tensors that are several in one model and one in the other: q, k and v against one qkv, experts against a stack.

Tensors belong together if the same tensors come directly before them, and if their sizes add up; those of an attention
to something else have different ones before them, q another than k and v, but the same after them. In which order they
lie in the one tensor, part by part or head by head, is for a run to decide: each is an option.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import combinations, permutations
from math import prod

from alignment.rules.joining import ways_to_join
from alignment.rules.layouts import head_sizes
from alignment.rules.model import Model, holders
from alignment.rules.orders import orders
from alignment.rules.similar_names import roles_of, similarity
from alignment.rules.used_again import Choice, Ends, all_of_one
from alignment.rules.views import Anywhere, View
from alignment.rules.ways import at, rows_first, ways
from porting.operations import Interleave, Op, chained

_ATTENTION = ("q", "k", "v")
"""Parts of an attention in their usual order; without the first, those of its keys and values."""
_MOST_SIBLINGS = 8
_FEW_RESHAPED = 3
"""Largest number of tensors of one size at one place that are tried in each order."""
_TURNED = 2
"""How unusual rotary positions of another form are, among the ways to join."""
_FEW = 4
"""Of the ways to join keys and values, those that rotary embeddings are tried with."""


def regrouped(
    reference: Model,
    candidate: Model,
    left: tuple[tuple[str, ...], tuple[str, ...]],
    labels: tuple[Mapping[str, object], Mapping[str, object]],
    *,
    places: bool = True,
) -> list[Choice]:
    """The choices among tensors without a counterpart, none of them twice.

    Args:
        reference: The reference.
        candidate: The candidate.
        left: Tensors of both without a counterpart.
        labels: Of both, name to what both sides call a tensor that is settled.
        places: Whether only tensors at one place in the data flow are taken together.
    """
    view = View if places else Anywhere
    sides = view(reference, left[0], labels[0]), view(candidate, left[1], labels[1])
    choices: list[Choice] = []
    done: set[str] = set()
    for choice in (*_reshaped(*sides), *_tied(*sides), *_joined(*sides), *map(_turned, _joined(*reversed(sides)))):
        names = {f"r{name}" for name in choice[0]} | {f"c{name}" for name in choice[1]}
        if not names & done:
            choices.append(choice)
            done |= names
    return choices


def _reshaped(reference: View, candidate: View) -> Iterator[Choice]:
    """Tensors of the same number of elements at the same place: a patch embedding as a convolution or a Linear.

    Two or three of one number, such as biases that one side keeps by heads, are tried in each order.
    """
    done: set[str] = set()
    for target in candidate.left:
        if target in done:
            continue
        sources, targets = _of_one_size(reference, candidate, target)
        done |= set(targets)
        if len(sources) != len(targets) or not 1 <= len(sources) <= _FEW_RESHAPED:
            continue
        options = [
            option
            for order in sorted(permutations(sources), key=lambda names: -_alike(names, targets))
            for option in _each_reshaped(reference, candidate, order, targets)
        ]
        if options:
            yield tuple(sources), tuple(targets), options


def _of_one_size(reference: View, candidate: View, target: str) -> tuple[list[str], list[str]]:
    """The tensors with as many elements as one of the candidate; where these are several, those at its place alone."""
    size = prod(candidate.shape(target))
    sources = [name for name in reference.left if prod(reference.shape(name)) == size]
    targets = [name for name in candidate.left if prod(candidate.shape(name)) == size]
    if len(targets) > 1 or len(sources) > 1:
        before = candidate.before(target)
        sources = [name for name in sources if reference.before(name) == before]
        targets = [name for name in targets if candidate.before(name) == before]
    if len(targets) == 1 or len(sources) == 1:
        return sources, targets
    kinds = [{view.form(name) for name in names} for view, names in ((reference, sources), (candidate, targets))]
    return (sources, targets) if len(kinds[0]) == len(kinds[1]) == 1 and kinds[0] != kinds[1] else ([], [target])


def _each_reshaped(
    reference: View, candidate: View, sources: Sequence[str], targets: Sequence[str]
) -> Iterator[list[Ends]]:
    """Ways to take each of some tensors to another, each in the same way."""
    ops = [
        ways(reference.stored(source), candidate.stored(target))
        for source, target in zip(sources, targets, strict=True)
    ]
    for turn in range(max(map(len, ops)) if all(ops) else 0):
        yield [
            ((source,), (target,), own[min(turn, len(own) - 1)])
            for source, target, own in zip(sources, targets, ops, strict=True)
        ]


def _alike(sources: Sequence[str], targets: Sequence[str]) -> float:
    return sum(similarity(source, target) for source, target in zip(sources, targets, strict=True))


def _tied(reference: View, candidate: View) -> Iterator[Choice]:
    """One tensor of the reference that is used where the candidate has several."""
    for source in reference.left:
        before = reference.before(source)
        targets = [
            name
            for name in candidate.left
            if candidate.before(name) <= before and ways(reference.stored(source), candidate.stored(name))
        ]
        places = [candidate.before(name) for name in targets]
        if len(set(places)) < max(2, len(targets)) or frozenset().union(*places) != before:
            continue  # tensors at one place are branches, not one tensor that is used again
        ops = [ways(reference.stored(source), candidate.stored(name)) for name in targets]
        yield (source,), tuple(targets), all_of_one(source, targets, ops)


def _joined(many: View, one: View) -> Iterator[Choice]:
    """Several tensors of one side that are one of the other side."""
    done: set[str] = set()
    for whole in one.left:
        siblings = _siblings(many, one, whole)
        if whole in done or not 2 <= len(siblings) <= 64 or len(one.shape(whole)) < 1:
            continue
        alike = [name for name in one.left if one.before(name) == one.before(whole)]
        alike = _beside(one, whole, one, [name for name in alike if prod(one.shape(name)) == prod(one.shape(whole))])
        ranked = [option for name in alike for option in _all_options(many, one, siblings, name)]
        options = [option for _, option in sorted(ranked, key=lambda entry: entry[0])]
        if options:
            done |= set(alike)
            sources = dict.fromkeys(name for option in options for ends in option for name in ends[0])
            targets = dict.fromkeys(name for option in options for ends in option for name in ends[1])
            yield tuple(sources), tuple(targets), options


def _siblings(many: View, one: View, whole: str) -> list[str]:
    """The tensors that may be parts of one of the other side: at its place, or together what is before and after it."""
    before = one.before(whole)
    siblings = _beside(one, whole, many, [name for name in many.left if many.before(name) == before])
    if len(before) < 2 or (len(siblings) > 1 and next(_subsets(many, one, siblings, whole), None)):
        return siblings
    after = one.after(whole)
    apart = [name for name in many.left if many.before(name) <= before and after and many.after(name) == after]
    matrices = [name for name in apart if len(many.shape(name)) == len(one.shape(whole))]
    return matrices if frozenset().union(*map(many.before, matrices)) == before else siblings


def _beside(one: View, whole: str, many: View, names: Sequence[str]) -> list[str]:
    """Of tensors at the place of a whole those that come before the same ones; all, where that is not one tensor's.

    One embedding of the time goes into every block of a network, so what is before them does not tell blocks apart.
    """
    after, size = one.after(whole), prod(one.shape(whole))
    same = [name for name in names if many.after(name) == after]
    sums = [sum(prod(many.shape(name)) for name in own) for own in (same, names)]
    if sums[1] > size and (sums[0] < size or isinstance(many, Anywhere)):
        for own in _by_holder(many, names):
            if sum(prod(many.shape(name)) for name in own) == size and _after_any(many, own) == after:
                return own
    return same if sums[0] >= size else list(names)


def _by_holder(view: View, names: Iterable[str]) -> Iterable[list[str]]:
    """Tensors by the modules that hold them, the innermost modules first."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in names:
        for path in holders(view.stored(name).path):
            groups[path].append(name)
    return [groups[path] for path in sorted(groups, key=len, reverse=True)]


def _after_any(view: View, names: Iterable[str]) -> frozenset[object]:
    """The next settled tensors after any of some, without these."""
    return frozenset[object]().union(*map(view.after, names))


def _all_options(many: View, one: View, siblings: Sequence[str], whole: str) -> Iterator[tuple[int, list[Ends]]]:
    """Ways to make one tensor of some siblings, with the counterpart of the sibling that is left, and how unusual."""
    for parts in _subsets(many, one, siblings, whole):
        plain = _options(many, one, parts, whole)
        rests = list(_rests(many, one, [name for name in siblings if name not in parts], whole)) or [[]]
        yield from ((unusual, [*option, *rest]) for unusual, option in plain for rest in rests)
        for rest in rests:
            if rest:
                turned = _rotary(many, [option for _, option in plain[:_FEW]], rest)
                yield from ((_TURNED, option) for option in turned)


def _rests(many: View, one: View, siblings: Sequence[str], whole: str) -> Iterator[list[Ends]]:
    """The one tensor that is not among the parts, with its counterpart beside the whole: q, where k and v are one.

    Where another attention follows the same tensors, only what comes before the same ones as the whole is beside it.
    """
    others = [name for name in one.left if name != whole and one.before(name) == one.before(whole)]
    if len(others) > 1:
        others = [name for name in others if one.after(name) == one.after(whole)]
    if len(siblings) != 1 or len(others) != 1:
        return
    added = _vectors(many, siblings, one, others[0])
    vectors = [(part, (own,), ways(many.stored(part[0]), one.stored(own))[0]) for part, own in added]
    for op in ways(many.stored(siblings[0]), one.stored(others[0]))[:_FEW]:
        yield [((siblings[0],), (others[0],), op), *vectors]


def _rotary(many: View, plain: Sequence[Sequence[Ends]], rest: Sequence[Ends]) -> Iterator[list[Ends]]:
    """The same with rotary halves as pairs, or the other way round, in the one tensor and in one of the parts.

    They are the queries, and the keys, which are one tensor with the values.
    """
    for option in plain:
        count = len(option[0][0])
        for place in range(count):
            lengths = [many.shape(names[0][part])[0] for names, part in ((option[0], place), (rest[0], 0))]
            for dim in head_sizes(*lengths):
                for parts in dict.fromkeys((2, dim // 2)):
                    turn = parts, dim // parts, dim
                    keys = [_with_rows(many, ends, turn, (place, count)) for ends in option]
                    yield [*keys, *(_with_rows(many, ends, turn, (0, 1)) for ends in rest)]


def _with_rows(many: View, ends: Ends, turn: tuple[int, int, int], part: tuple[int, int]) -> Ends:
    """Sources, targets and operation, with the rows of one source in another order first."""
    before, after, shape = rows_first(many.stored(ends[0][part[0]]))[0]
    parts, groups, dim = turn
    return (
        ends[0],
        ends[1],
        chained([at(chained([before, Interleave(parts, groups, shape[0] // dim), after]), part), ends[2]]),
    )


def _subsets(many: View, one: View, siblings: Sequence[str], whole: str) -> Iterator[tuple[str, ...]]:
    """The siblings whose sizes add up to the whole: all of them, else some."""
    size = prod(one.shape(whole))
    if sum(prod(many.shape(name)) for name in siblings) == size:
        yield tuple(siblings)
    elif len(siblings) <= _MOST_SIBLINGS:
        for count in range(len(siblings) - 1, 1, -1):
            for names in combinations(siblings, count):
                if sum(prod(many.shape(name)) for name in names) == size:
                    yield names


def _options(many: View, one: View, parts: tuple[str, ...], whole: str) -> list[tuple[int, list[Ends]]]:
    """Ways to make one tensor, and the vectors that go with it, of several, with how unusual; the usual ones first."""
    added = _vectors(many, parts, one, whole)
    options: list[tuple[int, list[Ends]]] = []
    for order, usual in orders(_ranks(many, parts)):
        names = tuple(parts[place] for place in order)
        vectors = [(tuple(own[place] for place in order), vector) for own, vector in added]
        ops = [
            {way.form: way.op for way in ways_to_join(list(map(many.stored, own)), one.stored(vector))}
            for own, vector in vectors
        ]
        for way in ways_to_join(list(map(many.stored, names)), one.stored(whole)):
            if way.unusual and not usual:
                break
            if all(way.form in own for own in ops):
                beside = [(own, (vector,), op[way.form]) for (own, vector), op in zip(vectors, ops, strict=True)]
                options.append((way.unusual, [(names, (whole,), way.op), *beside]))
    return sorted(options, key=lambda entry: entry[0])


def _ranks(many: View, parts: Sequence[str]) -> list[int]:
    """The place of each part: query, key and value in this order where names tell them, else as in the state dict."""
    places = {name: place for place, name in enumerate(many.model.description.tensors)}
    roles = dict(zip(parts, roles_of(parts), strict=True))
    if {*roles.values()} == {*_ATTENTION[-len(parts) :]}:
        return [_ATTENTION.index(roles[name]) for name in parts]
    return [places[name] for name in parts]


def _vectors(many: View, parts: Sequence[str], one: View, whole: str) -> list[tuple[tuple[str, ...], str]]:
    """The vectors that go with the rows of several tensors, each with that of the whole: biases, what norms hold."""
    return list(zip(zip(*map(many.companions, parts), strict=False), one.companions(whole), strict=False))


def _turned(choice: Choice) -> Choice:
    """A choice with the sides exchanged."""
    sources, targets, options = choice
    back = [[(ends[1], ends[0], _inverse(ends[2]) if ends[2] else None) for ends in option] for option in options]
    return targets, sources, back


@lru_cache(maxsize=16384)  # the same operations are turned each time that proposals are made
def _inverse(op: Op) -> Op | None:
    return op.inverse
