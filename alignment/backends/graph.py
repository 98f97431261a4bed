"""The operations of one pass of a model, as automatic differentiation recorded them: what was made of what."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_PRODUCT = re.compile("(b|add|baddb)?mm|mv|linear|matmul|einsum|(depthwise)?conv", re.IGNORECASE)
_PART = re.compile("(unsafe)?split|(strided)?slice|select|unbind|unstack|index|narrow|gather|getitem", re.IGNORECASE)


@dataclass(frozen=True)
class OperationGraph:
    """Operations and what each takes; plain values.

    Attributes:
        operands: For each operation the places of those whose results it takes; these come before it.
        tensors: Place of an operation that only stands for a tensor of the state dict, to the tensor's first name.
        inputs: Place of an operation that only stands for an input of the model, to the input's name.
        lookups: Places of operations that pick rows of a table by integers.
        products: Places of operations that multiply matrices, or convolve.
        parts: Places of operations that take a part of a tensor, or take it apart.
        outputs: Places of the operations that gave the outputs of the model.
    """

    operands: tuple[tuple[int, ...], ...]
    tensors: Mapping[int, str]
    inputs: Mapping[int, str]
    lookups: frozenset[int]
    products: frozenset[int]
    parts: frozenset[int]
    outputs: tuple[int, ...]


def walk(
    roots: Sequence[Any],
    *,
    key: Callable[[Any], Hashable],
    operands: Callable[[Any], Iterable[Any]],
    tensor: Callable[[Any], str | None],
    model_input: Callable[[Any], str | None],
    kind: Callable[[Any], str],
) -> OperationGraph:
    """The graph behind the results of a pass; a loop, since deep models have graphs deeper than Python's stack.

    Args:
        roots: The operations that gave the outputs, in the framework's own objects.
        key: What tells two operations apart.
        operands: The operations whose results an operation takes.
        tensor: Name of the tensor of the state dict that an operation stands for; None for any other operation.
        model_input: Likewise for the inputs of the model.
        kind: The framework's name of an operation.
    """
    places: dict[Hashable, int] = {}
    order: list[Any] = []  # holds every operation, since frameworks reuse the address of one that is gone
    taken: list[tuple[int, ...]] = []
    for root in roots:
        stack: list[tuple[Any, list[Any] | None]] = [(root, None)]
        while stack:
            node, children = stack.pop()
            if key(node) in places:
                continue
            if children is None:
                children = [child for child in operands(node) if child is not None]
                stack.append((node, children))
                order.append(children)
                stack += [(child, None) for child in reversed(children) if key(child) not in places]
                continue
            places[key(node)] = len(taken)
            taken.append(tuple(places[key(child)] for child in children if key(child) in places))
            order.append(node)
    nodes = {places[key(node)]: node for node in order if not isinstance(node, list)}
    return OperationGraph(
        operands=tuple(taken),
        tensors={place: name for place, node in nodes.items() if (name := tensor(node)) is not None},
        inputs={place: name for place, node in nodes.items() if (name := model_input(node)) is not None},
        lookups=frozenset(place for place, node in nodes.items() if kind(node).startswith("Embedding")),
        products=frozenset(place for place, node in nodes.items() if _PRODUCT.match(kind(node))),
        parts=frozenset(place for place, node in nodes.items() if _PART.match(kind(node))),
        outputs=tuple(places[key(root)] for root in roots),
    )
