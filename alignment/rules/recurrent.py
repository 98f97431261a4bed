"""The order of the tensors of recurrent layers, which one operation of a framework may read all at once.

Paddle runs an LSTM of several layers and directions in one operation, torch in one for each direction. So the order
in which the operation lists its weights says nothing: it is replaced by that of the layers, both directions of a layer
side by side, on either side.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping

from alignment.rules.tensor_graph import TensorGraph

_PART = re.compile(r"(?P<kind>weight|bias)_(?P<gate>ih|hh|hr)_l(?P<layer>\d+)(?P<direction>_reverse)?")
"""Names of the parameters of recurrent layers, in torch and in Paddle."""


def by_layers(graph: TensorGraph, parts: Mapping[str, tuple[str, str]]) -> TensorGraph:
    """The graph with the tensors of each recurrent module in the order of its layers.

    Args:
        graph: The order along the data flow.
        parts: Tensor to the path of its module, and to its own name there.
    """
    modules: dict[str, dict[int, dict[str, list[str]]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for name, (path, part) in parts.items():
        match = _PART.fullmatch(part)
        if match is not None and name in graph.before:
            modules[path][int(match["layer"])][match["direction"] or ""].append(name)
    for layers in modules.values():
        graph = _in_order(graph, [layers[number] for number in sorted(layers)], parts)
    return graph


def _in_order(
    graph: TensorGraph, layers: list[dict[str, list[str]]], parts: Mapping[str, tuple[str, str]]
) -> TensorGraph:
    names = {name for layer in layers for chain in layer.values() for name in chain}
    came = tuple(dict.fromkeys(one for name in names for one in graph.before[name] if one not in names))
    before: dict[str, tuple[str, ...]] = {}
    for layer in layers:
        ends = []
        for chain in layer.values():
            ordered = sorted(chain, key=lambda name: _rank(parts[name][1]))
            for earlier, name in zip([None, *ordered], ordered, strict=False):
                before[name] = came if earlier is None else (earlier,)
            ends.append(ordered[-1])
        came = tuple(ends)
    last = came

    def moved(earlier: tuple[str, ...]) -> tuple[str, ...]:
        if not names & set(earlier):
            return earlier
        return tuple(dict.fromkeys([*(name for name in earlier if name not in names), *last]))

    others = {name: moved(own) for name, own in graph.before.items() if name not in names}
    return TensorGraph({**others, **before}, moved(graph.last))


def _rank(part: str) -> tuple[bool, int]:
    """Weights before biases, those for the input before those for the state."""
    return part.startswith("bias"), ("ih", "hh", "hr").index(part.split("_")[1])
