"""What two models really differ in, as lines: tensors without a counterpart, with their place in both models."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from alignment.pair.units import BARE, COUNTER
from alignment.rules.forms import form
from alignment.rules.model import Model
from alignment.rules.side_by_side import SideBySide, Stretch, side_by_side
from alignment.rules.tensor_graph import INPUT
from alignment.rules.ways import Stored
from porting.checkpoint.tensor import Shape
from porting.names import fold, nearest

_NAMED = 3
"""Tensors before one that a line names."""
_LISTED = 6
"""Modules of one difference that a line names."""


def differences(
    reference: Model,
    candidate: Model,
    left: tuple[Sequence[str], Sequence[str]],
    pairs: Mapping[str, str],
    marks: tuple[Mapping[str, object], Mapping[str, object]] = ({}, {}),
    proven: tuple[Collection[str], Collection[str]] = ((), ()),
) -> list[str]:
    """A line for each place in which two models differ, indices folded.

    Args:
        reference: The reference.
        candidate: The candidate.
        left: Tensors of both without a counterpart.
        pairs: Name in the reference to name in the candidate of those that have one.
        marks: Of both sides, tensors whose counterpart the user has given, to what both have in common.
        proven: Of both sides, tensors of which a run has shown what becomes of them.
    """
    if not any(left):
        return []
    plain = _listed(reference, candidate, left, pairs)
    laid = side_by_side(reference, candidate, marks) if len(plain) > 1 else None
    if laid is None or not laid.stretches:
        return plain
    beside = _of_stretches(reference, candidate, left, replace(laid, stretches=_without(laid.stretches, proven)))
    return min(plain, beside, key=len)


def _listed(
    reference: Model, candidate: Model, left: tuple[Sequence[str], Sequence[str]], pairs: Mapping[str, str]
) -> list[str]:
    """A line for all tensors of one shape and place that have no counterpart."""
    back = {target: source for source, target in pairs.items()}
    return [
        *_only("reference", reference, candidate, (left[0], left[1]), pairs),
        *_only("candidate", candidate, reference, (left[1], left[0]), back),
    ]


def _only(
    side: str, own: Model, other: Model, left: tuple[Sequence[str], Sequence[str]], pairs: Mapping[str, str]
) -> Iterator[str]:
    other_side = "candidate" if side == "reference" else "reference"
    groups: dict[tuple[str, Shape], list[str]] = defaultdict(list)
    for name in left[0]:
        module = own.stored[name]
        groups[module.kind, module.shape].append(name)
    free = {name: other.stored[name].shape for name in left[1]}
    everything = {name: how.shape for name, how in other.stored.items()}
    for (kind, shape), names in groups.items():
        same = [name for name, free_shape in free.items() if free_shape == shape]
        for folded in fold(names):
            close = nearest(folded, same) or same[:1] or nearest(folded, free) or nearest(folded, everything)
            hint = f"; nearest in the {other_side}: {close[0]} {everything[close[0]]}" if close else ""
            where = _place(own, names[0], pairs, other_side)
            kind_words = "a bare tensor" if kind == "parameter" else f"of a {kind}"
            yield f"only in the {side}: {folded} {shape}, {kind_words}{where}{hint}"


def _place(own: Model, name: str, pairs: Mapping[str, str], other_side: str) -> str:
    """Where a tensor stands, and where that is in the other model; empty where nothing is known."""
    before = own.description.before.get(name, ())
    for earlier in before:
        if earlier in pairs:
            return f", after {earlier} ({pairs[earlier]} in the {other_side})"
    return ", right after the input" if INPUT in before else ""


def _without(stretches: Iterable[Stretch], proven: tuple[Collection[str], Collection[str]]) -> list[Stretch]:
    """Stretches without tensors whose counterpart a run has shown; those of which nothing is left are gone."""
    rest = [
        Stretch(
            [name for name in stretch.reference if name not in proven[0]],
            [name for name in stretch.candidate if name not in proven[1]],
            stretch.after,
        )
        for stretch in stretches
    ]
    return [stretch for stretch in rest if stretch.reference or stretch.candidate]


def _of_stretches(
    reference: Model, candidate: Model, left: tuple[Sequence[str], Sequence[str]], laid: SideBySide
) -> list[str]:
    """A line for each stretch of the data flow that differs, and one for each buffer that none of them explains."""
    sides = (reference, candidate)
    lines = [difference(sides, _with_buffers(sides, stretch, left)) for stretch in laid.stretches]
    flows = [{model.stored[name].path for name in model.flow.shapes} for model in sides]
    rest = [
        [name for name in names if name not in model.flow.shapes and model.stored[name].path not in flow]
        for names, model, flow in zip(left, sides, flows, strict=True)
    ]
    return [*lines, *_listed(reference, candidate, (rest[0], rest[1]), laid.pairs)]


def _with_buffers(sides: tuple[Model, Model], stretch: Stretch, left: tuple[Sequence[str], Sequence[str]]) -> Stretch:
    """A stretch with the buffers of its modules."""
    both = []
    for model, names, rest in zip(sides, (stretch.reference, stretch.candidate), left, strict=True):
        paths = {model.stored[name].path for name in names}
        both.append([*names, *(n for n in rest if n not in model.flow.shapes and model.stored[n].path in paths)])
    return Stretch(both[0], both[1], stretch.after)


def difference(sides: tuple[Model, Model], stretch: Stretch) -> str:
    """A difference in words: what, and where it is in both models.

    Args:
        sides: The reference and the candidate.
        stretch: What differs.
    """
    earlier, later = stretch.after
    names = ("reference", "candidate")
    if _same_forms(sides, stretch):
        places = "; ".join(
            f"{_tensors(model, own)} in the {side}, after {_directly_before(model, own[0])}"
            for model, own, side in zip(sides, (stretch.reference, stretch.candidate), names, strict=True)
        )
        return f"in another place: {places}"
    if stretch.reference and stretch.candidate:
        what = " against ".join(
            f"{_tensors(model, own)} in the {side}"
            for model, own, side in zip(sides, (stretch.reference, stretch.candidate), names, strict=True)
        )
        where = f", after {earlier} ({later} in the candidate)" if earlier else ", right after the input"
        return f"not the same: {what}{where}"
    place = 0 if stretch.reference else 1
    own, other = (earlier, later) if place == 0 else (later, earlier)
    where = f", after {own} ({other} in the {names[1 - place]})" if own else ", right after the input"
    tensors = _tensors(sides[place], stretch.reference or stretch.candidate)
    return f"only in the {names[place]}: {tensors}{where}"


def _same_forms(sides: tuple[Model, Model], stretch: Stretch) -> bool:
    """Whether a stretch has the same tensors on both sides, which then differ in what they are given or given to."""
    theirs, ours = (
        sorted(form(model.stored[name].shape) for name in names)
        for model, names in zip(sides, (stretch.reference, stretch.candidate), strict=True)
    )
    return bool(theirs) and theirs == ours


def _directly_before(model: Model, name: str) -> str:
    """The tensors directly before one along the data flow, in words."""
    before = [earlier if earlier != INPUT else "the input" for earlier in model.description.before.get(name, ())]
    return " and ".join(before[:_NAMED]) + (" and others" if len(before) > _NAMED else "") if before else "nothing"


def _tensors(model: Model, names: Sequence[str]) -> str:
    """The first modules of a difference, or tensors of modules that only differ in part, with shape and kind."""
    groups: dict[tuple[str, Shape], list[str]] = defaultdict(list)
    for name, how in _whole_modules(model, names):
        groups[how.kind, how.shape].append(name)
    listed = [
        f"{folded} {shape}" + (f" of a {kind}" if kind != BARE else "")
        for (kind, shape), own in groups.items()
        for folded in fold(own)
    ]
    more = f" and {len(listed) - _LISTED} more" if len(listed) > _LISTED else ""
    return ", ".join(listed[:_LISTED]) + more


def _whole_modules(model: Model, names: Sequence[str]) -> Iterator[tuple[str, Stored]]:
    """Each module of which all tensors are among some, with its first one; other tensors by themselves."""
    parts: dict[str, set[str]] = defaultdict(set)
    for name, how in model.stored.items():
        if how.part != COUNTER:
            parts[how.path].add(name)
    done: set[str] = set()
    for name in names:
        how = model.stored[name]
        whole = how.kind != BARE and parts[how.path] <= set(names)
        if not whole:
            yield name, how
        elif how.path not in done:
            done.add(how.path)
            yield how.path or "the model", how
