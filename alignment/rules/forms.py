"""Forms of tensors that one model has and the other has cut or merged: (out, in) as (in, heads, size of a head)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from math import prod

from alignment.rules.ways import bridges
from porting.checkpoint.tensor import Shape


def form(shape: Shape) -> Shape:
    """The lengths of a shape in falling order, without axes of length one."""
    return tuple(sorted((length for length in shape if length != 1), reverse=True))


def common_forms(reference: Iterable[Shape], candidate: Iterable[Shape]) -> dict[Shape, Shape]:
    """Forms of one model to those that stand for them in the other, where these are the only ones that can.

    A form that only one model has stands for one of the other if axes can be merged or cut to make it, and if both
    models then have as many tensors of it. So models that really differ keep their forms.

    Args:
        reference: Shapes of the tensors of the reference.
        candidate: Shapes of the tensors of the candidate.
    """
    counts = [Counter(map(form, shapes)) for shapes in (reference, candidate)]
    replaced: dict[Shape, Shape] = {}
    for own, other in (counts, counts[::-1]):
        for alone in [shape for shape in own if shape not in other]:
            fitting = list(_fitting(alone, own, other))
            if len(fitting) == 1 and alone not in replaced.values():
                replaced[alone] = fitting[0]
    return {alone: shape for alone, shape in replaced.items() if shape not in replaced}


def _fitting(alone: Shape, own: Mapping[Shape, int], other: Mapping[Shape, int]) -> Iterator[Shape]:
    """The forms of the other model that a form can stand for."""
    for shape, count in other.items():
        if prod(shape) == prod(alone) and own.get(shape, 0) + own[alone] == count and bridges(alone, shape):
            yield shape
