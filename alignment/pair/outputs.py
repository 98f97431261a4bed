"""What two models give, by the names that both use: which outputs are one, and which of them have gradients."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from alignment.arrays import FLOATS
from alignment.pair.model_description import FEWER, TRACED_BATCH, ModelDescription, OutputInfo

LOGITS = "logits"
"""Name of what a model gives if that is one tensor without a name."""
Names: TypeAlias = Mapping[str, str]


def nameless(names: Iterable[str]) -> bool:
    """Whether outputs have places for names: a tensor alone, or those of a tuple or list."""
    names = list(names)
    return names == [LOGITS] or all(name.partition(".")[0].isdigit() for name in names)


def outputs_of(model: ModelDescription) -> dict[str, OutputInfo]:
    """What a model gives by its own names, those that `Side.gives` chose; one tensor without a name is `logits`."""
    return dict(model.outputs) or {LOGITS: OutputInfo(model.output, model.fewer, model.gives)}


def common_names(reference: ModelDescription, candidate: ModelDescription) -> tuple[Names, Names]:
    """Own name to common name of the outputs of both models, where they differ.

    Outputs that have names on both sides, or on neither, keep them. Where only one side has names, those are given to
    the outputs of the other in their order; a single output of each is called `logits`.
    """
    theirs, ours = list(outputs_of(reference)), list(outputs_of(candidate))
    without = nameless(theirs), nameless(ours)
    if (LOGITS in theirs and LOGITS in ours) or without == (False, False):
        return {}, {}
    alone = len(theirs) == len(ours) == 1
    if alone or (all(without) and LOGITS in (*theirs, *ours)):  # the latter: a tensor alone, and the first of a tuple
        return {theirs[0]: LOGITS}, {ours[0]: LOGITS}
    if all(without):
        return {}, {}
    if without[0]:
        return dict(zip(theirs, ours, strict=False)), {}
    return {}, dict(zip(ours, theirs, strict=False))


def shape_for(info: OutputInfo, batch_size: int) -> tuple[int, ...]:
    """Shape of an output for a batch: axes that followed the batch size when traced follow it here."""
    output, fewer = info.shape, info.fewer
    if len(fewer) != len(output):  # only one batch was traced
        return (batch_size, *output[1:]) if output[:1] == (TRACED_BATCH,) else output
    steps = [(many - few) // (TRACED_BATCH - FEWER) for many, few in zip(output, fewer, strict=True)]
    return tuple(few + step * (batch_size - FEWER) for few, step in zip(fewer, steps, strict=True))


def floating_in_both(reference: ModelDescription, candidate: ModelDescription) -> dict[str, OutputInfo]:
    """The reference's floating-point outputs, by common name, that the candidate gives in floating point as well."""
    named = [
        {names.get(own, own): info for own, info in outputs_of(model).items() if info.dtype in FLOATS}
        for model, names in zip((reference, candidate), common_names(reference, candidate), strict=True)
    ]
    return {name: info for name, info in named[0].items() if name in named[1]}
