"""Tensors whose rows are used at different places, such as the scales of a block that are kept as one matrix.

The data flow shows such a tensor at one place. Here each of its rows, or of its equal parts, is a tensor of its own, so
that the tensors of both models can be matched; `alignment.rules.rows` makes them one again.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import replace

from alignment.backends.graph import OperationGraph
from alignment.pair.model_description import Cut, ModelDescription
from alignment.rules.forms import form
from alignment.rules.tensor_graph import TensorGraph
from porting.checkpoint.tensor import Shape

_MOST = 8
"""Largest number of pieces of a tensor."""


def piece(name: str, place: int) -> str:
    """The name of a piece of a tensor, which no state dict has."""
    return f"{name}[{place}]"


def piece_shape(shape: Shape, count: int) -> Shape | None:
    """The shape of each of some rows, or else equal parts, of a tensor; None where it has no such parts."""
    if not shape or not 1 < count <= _MOST or shape[0] % count:
        return None
    return shape[1:] if shape[0] == count else (shape[0] // count, *shape[1:])


def cut_graph(graph: OperationGraph, shapes: Mapping[str, Shape]) -> tuple[OperationGraph, dict[str, int]]:
    """A graph in which the pieces of tensors stand for themselves.

    Args:
        graph: Of one pass of a model.
        shapes: Tensor name to shape of those that may be cut.

    Returns:
        The graph, and the number of pieces of each tensor that is cut in it.
    """
    users: dict[int, list[int]] = defaultdict(list)
    for place, operands in enumerate(graph.operands):
        for operand in operands:
            users[operand].append(place)
    cuts = {
        name: branch
        for place, name in graph.tensors.items()
        if name in shapes and (branch := _branch(graph, users, place)) is not None
        if piece_shape(shapes[name], len(users[branch])) is not None
    }
    names = [piece(name, place) for name, branch in cuts.items() for place in range(len(users[branch]))]
    free = {branch: iter(range(len(users[branch]))) for branch in cuts.values()}
    owners = {branch: name for name, branch in cuts.items()}
    places = {name: place for place, name in enumerate(names)}
    shift = len(names)
    taken = [
        tuple(
            places[piece(owners[operand], next(free[operand]))] if operand in owners else operand + shift
            for operand in own
        )
        for own in graph.operands
    ]
    cut = OperationGraph(
        operands=(*(() for _ in names), *taken),
        tensors=dict(enumerate(names)) | {place + shift: name for place, name in graph.tensors.items()},
        inputs={place + shift: name for place, name in graph.inputs.items()},
        lookups=frozenset(place + shift for place in graph.lookups),
        products=frozenset(place + shift for place in graph.products),
        parts=frozenset(place + shift for place in graph.parts),
        outputs=tuple(place + shift for place in graph.outputs),
    )
    return cut, {name: len(users[branch]) for name, branch in cuts.items()}


def _branch(graph: OperationGraph, users: Mapping[int, list[int]], place: int) -> int | None:
    """Where a tensor is taken apart: the place of which several operations take a part; None for nowhere."""
    while len(users.get(place, ())) == 1 and place not in graph.parts:
        place = users[place][0]
        if len(graph.operands[place]) > 1:
            return None
    own = users.get(place, ())
    return place if len(own) > 1 and (place in graph.parts or graph.parts >= set(own)) else None


def in_pieces(model: ModelDescription, names: Collection[str]) -> ModelDescription:
    """A model in which some tensors are in pieces, which are tensors of their modules.

    Args:
        model: The model.
        names: Those of `model.cut.pieces` that are to be cut.
    """
    if not names:
        return model
    whole = {
        piece(name, place): name
        for name, count in model.cut.pieces.items()
        if name not in names
        for place in range(count)
    }
    cut = {
        name: [piece(name, place) for place in range(count)]
        for name, count in model.cut.pieces.items()
        if name in names
    }
    tensors = {
        part: replace(info, shape=piece_shape(info.shape, len(cut[name])) or ()) if name in cut else info
        for name, info in model.tensors.items()
        for part in cut.get(name, [name])
    }
    modules = tuple(
        replace(module, tensors=tuple(part for name in module.tensors for part in cut.get(name, [name])))
        for module in model.modules
    )
    before: dict[str, dict[str, None]] = {}
    for name, earlier in model.cut.before.items():
        own = whole.get(name, name)
        before.setdefault(own, {}).update(dict.fromkeys(whole.get(other, other) for other in earlier))
        before[own].pop(own, None)
    last = dict.fromkeys(whole.get(name, name) for name in model.cut.last)
    return replace(
        model,
        modules=modules,
        tensors=tensors,
        before={name: tuple(earlier) for name, earlier in before.items()},
        last=tuple(last),
    )


def cut_only_here(own: ModelDescription, other: ModelDescription) -> frozenset[str]:
    """Tensors of a model of whose form the other has fewer, but more of the form of their pieces."""
    counts = [Counter(form(model.tensors[name].shape) for name in model.before) for model in (own, other)]
    names: set[str] = set()
    for name, count in own.cut.pieces.items():
        shape = own.tensors[name].shape
        whole, part = form(shape), form(piece_shape(shape, count) or ())
        if counts[0][whole] > counts[1][whole] and counts[0][part] < counts[1][part]:
            names.add(name)
    return frozenset(names)


def cut_of(graph: TensorGraph, pieces: Mapping[str, int]) -> Cut:
    """The order of tensors that are in pieces, as a description keeps it."""
    return Cut(dict(pieces), dict(graph.before), graph.last)
