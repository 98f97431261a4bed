"""Which of the modules that differ alone are wrong by themselves.

A module that differs in isolation and has no children that do is wrong. One that has such children is run again, with
their outputs replaced by the reference's: if it agrees then, they explain the difference; else it is wrong as well.

A module that gives the right numbers in another shape is right, where what is around it expects that shape.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from alignment.arrays import Array
from alignment.backends.base import Tap
from alignment.bisection.arrangements import distance
from alignment.bisection.evidence import CallJudgements, failures, in_another_order
from alignment.bisection.localise import Localiser
from alignment.bisection.replacing import replacing
from alignment.bisection.twins import Call, depth, inside, outermost

_ROUNDED = 1e-10
"""Relative L2 of outputs that are the same but for a factor."""
_MOST_SHAPES = 8
"""Modules whose output has another shape that are tried one by one."""


def classify(search: Localiser) -> None:
    """Sort the calls of a search that differ alone into `differing`, `children_differ` and `incomparable`.

    Args:
        search: A search whose modules have run alone.
    """
    for call in sorted(search.isolated, key=lambda call: -depth(call[0])):
        _classify(search, call)


def _classify(search: Localiser, call: Call) -> None:
    judged = search.isolated[call]
    failed = failures(judged.forward)
    if not failed and not failures(judged.backward):
        return
    if _is_reordered(search, call[0]):
        search.incomparable[call] = "gives its outputs in another order, by the rules of its weights"
        return
    if failed and _is_rescaled(search, call):
        search.incomparable[call] = "works with numbers that the rules of the weights multiply"
        return
    around = _nearest_around(search, call)
    if around is not None and _agrees(search, around) and (around[0] or judged.misshapen):
        search.incomparable[call] = f"does something else than the reference's, and {around[0] or 'the model'} is right"
        return
    below = [other for other in search.isolated if other != call and inside(other[0], call[0])]
    failing = [
        other
        for other in below
        if other not in search.incomparable
        and failures(search.isolated[other].forward if failed else search.isolated[other].backward)
    ]
    failing = _without_other_cuts(search, call, failing)
    if not failing and failed:
        failing = _not_what_is_needed(search, call, below)
    if not failing:
        search.differing[call] = "no module in it differs" if below else "it has no modules that could be compared"
        return
    names = ", ".join(sorted({search.paths[other[0]] for other in failing if other in search.differing}))
    if failed and _fails_with(search, call, replacing(search, call, outermost(failing)), refused=False):
        if _are_cut_otherwise(search, call, outermost(failing)):
            search.children_differ[call] = f"because of {names}"
            return
        search.differing[call] = f"it differs even where {names} return what they should"
        return
    search.children_differ[call] = f"because of {names}" if names else "because of modules in it"


def _not_what_is_needed(search: Localiser, call: Call, below: Sequence[Call]) -> list[Call]:
    """The modules in one that are right by themselves and not what it needs: in their shape, or in what they leave out.

    They are judged again, and blamed.
    """
    around = search.paths[call[0]] or "the model"
    for find, reason in (
        (_wrongly_shaped, f"{around} needs it in the reference's shape"),
        (_wrongly_cut, f"{around} needs all that the reference's gives"),
    ):
        wrong = find(search, call, below)
        if wrong:
            search.differing.update(dict.fromkeys(wrong, reason))
            return wrong
    return []


def _is_reordered(search: Localiser, path: str) -> bool:
    """True if a matrix has the reference's rows in another order, as rotary pairs are for halves."""
    names = [name for name in search.taps.modules[path].parameters if np.ndim(search.weights.get(name, 0)) == 2]
    held = [name for name in search.held[path] if name.rpartition(".")[0] == search.paths[path]]
    arrays = [search.reference.get(f"eval/parameter/{name}", search.dtype) for name in held]
    matrices = [array for array in arrays if array is not None and array.ndim == 2]
    return len(names) == len(matrices) == 1 and in_another_order(matrices[0], search.weights[names[0]])


def _is_rescaled(search: Localiser, call: Call) -> bool:
    """True if a module's own weights are multiplied by the rules, or if it gives the reference's output so multiplied.

    A weight that is twice the reference's stands behind something that halves its input, such as a dropout.
    """
    scales = search.trial.scales
    own = [name for name in search.held[call[0]] if name.rpartition(".")[0] == search.paths[call[0]]]
    if not scales or any(name in scales for name in own):
        return bool(scales)
    factors = {1 / float(scale.flat[0]) for scale in scales.values() if scale.size}
    expected = search.outputs_of(call)
    try:
        found = search.taps.isolate(*call, search.inputs_of(call), integers=search.integers_of(call)).outputs
    except Exception:  # whatever a framework raises of a tensor that does not fit
        return False
    pairs = list(zip(expected, found, strict=False))
    return any(all(a.shape == b.shape and distance(a * factor, b) <= _ROUNDED for a, b in pairs) for factor in factors)


def _nearest_around(search: Localiser, call: Call) -> Call | None:
    around = [other for other in search.isolated if inside(call[0], other[0]) and not search.isolated[other].problem]
    return max(around, key=lambda other: depth(other[0]), default=None)


def _agrees(search: Localiser, call: Call) -> bool:
    judged = search.isolated[call]
    return bool(judged.forward) and not judged.failures


def _wrongly_shaped(search: Localiser, call: Call, below: Sequence[Call]) -> list[Call]:
    """The modules in one that give the right numbers in a shape with which it differs, and does not in the reference's.

    They are judged again, by the reference's shape. One that is right in the reference's shapes only passes
    on what it is given.
    """
    shapes = search.twins.other_shapes
    search.trial.backend.set_state(search.weights)
    shaped = [other for other in below if (other, "output", 0) in shapes and not _only_passes_on(search, other)]
    together = [shaped] if len(shaped) > 1 else []
    for wrong in [*([one] for one in shaped[:_MOST_SHAPES]), *together]:
        if not _fails_with(search, call, replacing(search, call, outermost(wrong), as_recorded=True), refused=True):
            for other in wrong:
                search.twins.other_shapes = {
                    place: shape for place, shape in search.twins.other_shapes.items() if place[:2] != (other, "output")
                }
                search.isolated[other] = search.isolate(other)
            return wrong
    return []


def _wrongly_cut(search: Localiser, call: Call, below: Sequence[Call]) -> list[Call]:
    """The modules in one that give what the reference's have on the way to their output, where that is not enough.

    A block without its shortcut gives what the last module in it gives, as one does whose shortcut is added outside.
    The module around them is right once they give all, and no other module of their kinds is cut in the same way.
    """
    cuts, isolated = search.twins.cuts, search.isolated
    own = [other for other in below if other in cuts and any(inside(inner, other[0]) for inner, _ in isolated)]
    for wrong in [*([one] for one in own[:_MOST_SHAPES]), *([own] if len(own) > 1 else [])]:
        ways = {_way(search, other) for other in wrong}
        if any(_way(search, other) in ways for other in cuts if other not in wrong):
            continue
        removed = {other: cuts.pop(other) for other in wrong}
        if not _fails_with(search, call, replacing(search, call, outermost(wrong)), refused=True):
            search.twins.uncut.update(wrong)
            search.trial.backend.set_state(search.weights)
            for other in wrong:
                isolated[other] = search.isolate(other)
            return wrong
        cuts.update(removed)
    return []


def _way(search: Localiser, call: Call) -> tuple[str, str, str]:
    """The kinds of a module and of its counterpart, and with what within that it is compared."""
    path = call[0]
    return search.taps.modules[path].kind, search.twins.kinds[search.paths[path]], search.twins.cuts[call].within


def _without_other_cuts(search: Localiser, call: Call, failing: list[Call]) -> list[Call]:
    """The modules that differ but for those whose shape is meant: what is around them cannot take the reference's.

    An embedding gives a row a token; a bag of embeddings, which holds the same weight, gives their mean.
    """
    shaped = [other for other in failing if other in search.differing and search.isolated[other].misshapen]
    if not shaped or _runs_with(search, call, replacing(search, call, outermost(shaped))):
        return failing  # together they fit: a stride that is at the wrong one of two layers
    for path in dict.fromkeys(path for path, _ in shaped):
        calls = [other for other in shaped if other[0] == path]
        if _runs_with(search, call, replacing(search, call, outermost(calls))):
            continue
        for other in calls:
            del search.differing[other]
            search.incomparable[other] = (
                f"gives another shape than the reference's, which {call[0] or 'the model'} needs so"
            )
    return [other for other in failing if other not in search.incomparable]


def _runs_with(search: Localiser, call: Call, replaced: Mapping[Call, Sequence[Array]]) -> bool:
    """True if a module runs with the outputs of modules in it replaced by these, and gives what has the right shape."""
    try:
        inputs, integers = search.inputs_of(call), search.integers_of(call)
        result = search.taps.isolate(*call, inputs, replaced=replaced, integers=integers)
    except Exception:  # whatever a framework raises of outputs that do not fit
        return False
    expected = search.outputs_of(call)
    return len(expected) == len(result.outputs) and all(
        one.shape == other.shape for one, other in zip(expected, result.outputs, strict=True)
    )


def _only_passes_on(search: Localiser, call: Call) -> bool:
    """True for a module that gives the reference's tensors in their shapes where it is given those of the reference.

    Ids cannot be given in another shape than the candidate's own; a module that takes such is taken to be right.
    """
    twins = search.twins
    before = twins.other_shapes
    if (call, "integers", 0) in before:
        return True
    twins.other_shapes = {place: shape for place, shape in before.items() if place[0] != call}
    try:
        judged = search.isolate(call)
        return bool(judged.forward) and not failures(judged.forward) and not judged.problem
    finally:
        twins.other_shapes = before


def _are_cut_otherwise(search: Localiser, call: Call, failing: Sequence[Call]) -> bool:
    """True if a module is right once modules in it give what the reference's make on the way to their output.

    A norm of the reference may have its activation within, of which the candidate's knows nothing. What such modules
    are compared with is changed then.
    """
    twins, before = search.twins, dict(search.twins.cuts)
    ways = {cut.within: None for other in failing for cut in twins.other_cuts(other) if cut.within}
    for within in ways:
        cuts = {other: twins.like(other, within) for other in failing}
        cuts = {other: cut for other, cut in cuts.items() if other not in before and twins.has(cut)}
        twins.cuts.update(cuts)
        if cuts and not _fails_with(search, call, replacing(search, call, failing), refused=True):
            search.trial.backend.set_state(search.weights)
            for other in cuts:
                search.isolated[other] = search.isolate(other)
            return True
        twins.cuts.clear()
        twins.cuts.update(before)
    return False


def _fails_with(search: Localiser, call: Call, replaced: Mapping[Call, Sequence[Array]], *, refused: bool) -> bool:
    """True if a module differs with the outputs of modules in it replaced by these; `refused` if it does not run."""
    try:
        inputs, integers = search.inputs_of(call), search.integers_of(call)
        result = search.taps.isolate(*call, inputs, replaced=replaced, integers=integers)
    except Exception:  # whatever a framework raises of outputs that do not fit
        return refused
    judged = CallJudgements()
    for index, array in enumerate(result.outputs):
        search.judge(judged, Tap(*call, "output", index), array)
    return bool(judged.failures)
