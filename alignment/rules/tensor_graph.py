"""Which tensors of a model come directly after which, read off the operations of one pass.

Between two tensors lies whatever has no tensor of its own: activations, additions, reshapes. A tensor that is changed
before it meets the data (transposed, normed, joined with others) counts from where it meets the data. So a weight and
its bias are a chain of two, whether the framework adds the bias inside one operation or in a second one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from alignment.backends.graph import OperationGraph

INPUT = ""
"""Stands among the predecessors of a tensor that an input of the model meets first."""
_MANY = 5
"""Number of tensors of which a result is made that is no weight any more, but data that a learned tensor began."""

_SEVERAL = 3
"""The same where two of them are multiplied: a table, and the weight and bias of a linear layer."""


@dataclass(frozen=True)
class TensorGraph:
    """Order of the tensors of a model along its data flow.

    Attributes:
        before: Tensor name to the tensors directly before it, and `INPUT`.
        last: The tensors directly before the outputs of the model.
    """

    before: Mapping[str, tuple[str, ...]]
    last: tuple[str, ...]

    @cached_property
    def after(self) -> dict[str, tuple[str, ...]]:
        """Tensor name to the tensors directly after it."""
        after: dict[str, list[str]] = {name: [] for name in self.before}
        for name, earlier in self.before.items():
            for other in earlier:
                if other != INPUT:
                    after[other].append(name)
        return {name: tuple(names) for name, names in after.items()}

    def only_before(self, name: str) -> frozenset[str]:
        """The tensors from which data reaches a tensor, but not the other way round."""
        return self._reached(name)[0]

    def only_after(self, name: str) -> frozenset[str]:
        """The tensors that data reaches from a tensor, but not the other way round."""
        return self._reached(name)[1]

    def _reached(self, name: str) -> tuple[frozenset[str], frozenset[str]]:
        if name not in self._known:
            earlier, later = _all_of(name, self.before), _all_of(name, self.after)
            self._known[name] = earlier - later, later - earlier
        return self._known[name]

    @cached_property
    def _known(self) -> dict[str, tuple[frozenset[str], frozenset[str]]]:
        """Of tensors that were asked for, those before and those after it."""
        return {}

    def without(self, names: Collection[str]) -> TensorGraph:
        """The graph without some tensors: what came before them comes before what they came before."""
        if not names:
            return self

        def kept(earlier: Iterable[str], seen: frozenset[str] = frozenset()) -> Iterator[str]:
            for name in earlier:
                if name not in names:
                    yield name
                elif name not in seen:
                    yield from kept(self.before.get(name, ()), seen | {name})

        before = {name: tuple(dict.fromkeys(kept(own))) for name, own in self.before.items() if name not in names}
        return TensorGraph(before, tuple(dict.fromkeys(kept(self.last))))


def contract(
    graph: OperationGraph, shapes: Mapping[str, tuple[int, ...]], *, integers: bool, fixed: Collection[str] = ()
) -> TensorGraph:
    """The order of the tensors in a graph of operations.

    Args:
        graph: Of one pass of the model.
        shapes: Tensor name to shape: of tensors that meet the data in one operation, the one with most axes goes first.
        integers: Whether an input is integers, so that picking rows of a table depends on the data.
        fixed: Tables of which the same rows are picked whatever the input is, such as positions.
    """
    depends = _depends(graph, shapes, integers=integers, fixed=fixed)
    if not any(depends[place] for place in graph.outputs):
        depends = [len(set(names)) > 1 for names in _all_tensors(graph)]
    before: dict[str, dict[str, None]] = {}
    latest: list[dict[str, None]] = []
    held: list[dict[str, None]] = []
    for place, operands in enumerate(graph.operands):
        flows = [operand for operand in operands if depends[operand]]
        tensors = dict.fromkeys(name for operand in operands if not depends[operand] for name in held[operand])
        if place in graph.tensors:
            tensors = {graph.tensors[place]: None}
        came = dict.fromkeys(name for operand in flows for name in latest[operand])
        if place in graph.inputs or (depends[place] and not flows):
            came = {INPUT: None}
        if not depends[place]:
            held.append(tensors)
            latest.append({})
            continue
        for name in sorted(tensors, key=lambda name: -len(shapes.get(name, ()))):
            before.setdefault(name, {}).update(came)
            came = {name: None}
        held.append({})
        latest.append(came)
    last = dict.fromkeys(name for place in graph.outputs for name in latest[place] if name != INPUT)
    return TensorGraph({name: tuple(names) for name, names in before.items()}, tuple(last))


def _depends(
    graph: OperationGraph, shapes: Mapping[str, tuple[int, ...]], *, integers: bool, fixed: Collection[str]
) -> list[bool]:
    """Whether the result of each operation depends on what the model is given, or on a tensor that is like that."""

    def reached(streams: Collection[int]) -> list[bool]:
        depends: list[bool] = []
        for place, operands in enumerate(graph.operands):
            tables = [graph.tensors[operand] for operand in operands if operand in graph.tensors]
            picks = integers and place in graph.lookups and not any(name in fixed for name in tables)
            begins = place in graph.inputs or place in streams
            depends.append(begins or picks or any(depends[operand] for operand in operands))
        return depends

    depends = reached(())
    streams = _streams(graph, depends, shapes) if any(depends) else frozenset()
    return reached(streams) if streams else depends


def _streams(graph: OperationGraph, depends: Sequence[bool], shapes: Mapping[str, tuple[int, ...]]) -> frozenset[int]:
    """Places of tensors that go through layers as an input does: learned queries, embeddings of relative positions.

    Such a tensor meets itself again with others, as at the shortcut around an attention, or is multiplied by another
    one, and of what becomes of it many tensors are a part. A weight that is normed or joined of parts is made of a few.
    """
    made: list[frozenset[str]] = []  # of the results that no input is a part of: all tensors that are
    users: dict[int, list[int]] = defaultdict(list)
    again: dict[int, frozenset[str]] = {}
    for place, operands in enumerate(graph.operands):
        if depends[place]:
            made.append(frozenset())
            continue
        parts = [made[operand] for operand in operands]
        made.append(frozenset({graph.tensors[place]} if place in graph.tensors else ()).union(*parts))
        for operand in operands:
            users[operand].append(place)
        alone = frozenset(name for part in parts if len(part) == 1 for name in part)
        again[place] = alone & frozenset(name for part in parts if len(part) > 1 for name in part)
    most = [len(names) for names in made]
    for place in reversed(range(len(made))):
        most[place] = max([most[place], *(most[user] for user in users[place])])
    names = {name for place, own in again.items() if most[place] >= _MANY for name in own}
    for place in sorted(graph.products & again.keys()):
        if most[place] >= _SEVERAL:
            names |= _multiplied([made[operand] for operand in graph.operands[place]], names, shapes)
    return frozenset(place for place, name in graph.tensors.items() if name in names)


def _multiplied(
    parts: Sequence[Collection[str]], streams: Collection[str], shapes: Mapping[str, tuple[int, ...]]
) -> set[str]:
    """The table that two learned tensors are multiplied as: the first one; none where it goes through layers anyway."""
    tables = [[name for name in part if len(shapes.get(name, ())) > 1] for part in parts]
    tables = [part for part in tables if part]
    if len(tables) < 2 or len(tables[0]) > 1 or any(name in streams for part in tables for name in part):
        return set()
    return set(tables[0])


def _all_tensors(graph: OperationGraph) -> Iterable[set[str]]:
    """All tensors, up to two, that the result of each operation is made of: with two, something flows already."""
    made: list[set[str]] = []
    for place, operands in enumerate(graph.operands):
        names = {name for operand in operands for name in list(made[operand])[:2]}
        made.append(names | {graph.tensors[place]} if place in graph.tensors else names)
    return made


def _all_of(start: str, neighbours: Mapping[str, Iterable[str]]) -> frozenset[str]:
    """All that is reached from a tensor by way of neighbours, itself only where that leads back to it."""
    reached: set[str] = set()
    left = [start]
    while left:
        fresh = {*neighbours.get(left.pop(), ())} - reached
        reached |= fresh
        left += fresh
    return frozenset(reached - {INPUT})
