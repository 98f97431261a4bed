"""What two models really differ in, as lines: tensors without a counterpart, with their place in both models."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from alignment.rules.model import Model
from alignment.rules.tensor_graph import INPUT
from porting.checkpoint.tensor import Shape
from porting.names import fold, nearest


def differences(
    reference: Model,
    candidate: Model,
    left: tuple[Sequence[str], Sequence[str]],
    pairs: Mapping[str, str],
) -> list[str]:
    """A line for all tensors of one shape and place that have no counterpart, indices folded.

    Args:
        reference: The reference.
        candidate: The candidate.
        left: Tensors of both without a counterpart.
        pairs: Name in the reference to name in the candidate of those that have one.
    """
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
