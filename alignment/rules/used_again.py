"""One tensor of the reference that the candidate keeps several times, as a shared embedding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from alignment.rules.model import Model
from alignment.rules.views import View
from alignment.rules.ways import ways
from porting.operations import Each, Op, Tie, chained

Ends: TypeAlias = "tuple[tuple[str, ...], tuple[str, ...], Op | None]"
"""Sources, targets, and the operation between them."""
Choice: TypeAlias = "tuple[tuple[str, ...], tuple[str, ...], list[list[Ends]]]"
"""All sources, all targets, and the options."""


def used_again(
    reference: Model,
    candidate: Model,
    left: tuple[tuple[str, ...], tuple[str, ...]],
    labels: tuple[Mapping[str, object], Mapping[str, object]],
    pairs: Mapping[str, str],
) -> list[Choice]:
    """The choices for tensors of the candidate that hold what a tensor of the reference is used for at another place.

    An encoder and a decoder share an embedding on one side, and have one each on the other: what comes before or after
    any of these does so with the one tensor, which may have one of them as its counterpart already.

    Args:
        reference: The reference.
        candidate: The candidate.
        left: Tensors of both without a counterpart.
        labels: Of both, name to what both sides call a tensor that is settled.
        pairs: Tensor of the reference to its counterpart.
    """
    theirs, ours = View(reference, left[0], labels[0]), View(candidate, left[1], labels[1])
    choices: list[Choice] = []
    done: set[str] = set()
    for source in (*left[0], *pairs):
        own = [pairs[source]] if source in pairs else []
        around, covered = theirs.around(source), frozenset[object]().union(*map(ours.around, own))
        more = [name for name in left[1] if name not in done and ours.around(name) <= around]
        targets = [*own, *(name for name in more if not ours.around(name) <= covered)]
        ops = [ways(reference.stored[source], candidate.stored[name]) for name in targets]
        different = len({ours.around(name) for name in targets}) == len(targets) > 1
        if different and all(ops) and frozenset[object]().union(*map(ours.around, targets)) == around:
            choices.append(((source,), tuple(targets), all_of_one(source, targets, ops)))
            done |= {*targets}
    return choices


def all_of_one(source: str, targets: Sequence[str], ops: Sequence[Sequence[Op | None]]) -> list[list[Ends]]:
    """Ways to make several tensors of one."""
    turns = [Each(tuple(some[turn % len(some)] for some in ops)) for turn in range(max(map(len, ops)))]
    return [[((source,), tuple(targets), chained([Tie(len(targets)), op]))] for op in turns]
