"""A described model with what matching needs of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from alignment.pair.model_description import ModelDescription
from alignment.rules.recurrent import by_layers
from alignment.rules.refine import Flow
from alignment.rules.tensor_graph import TensorGraph
from alignment.rules.ways import Stored, stored


@dataclass(frozen=True)
class Model:
    """One model with what matching needs of it.

    Attributes:
        description: The model.
        apart: Tensors that are left out of the data flow, since the other model has them as buffers.
    """

    description: ModelDescription
    apart: frozenset[str] = frozenset()

    @cached_property
    def stored(self) -> Mapping[str, Stored]:
        """How each tensor is stored."""
        return stored(self.description)

    @cached_property
    def flow(self) -> Flow:
        """The tensors that the data meets, buffers left out, with their order."""
        graph = TensorGraph(self.description.before, self.description.last).without(self.apart)
        parts = {name: (how.path, name.rpartition(".")[2]) for name, how in self.stored.items()}
        graph = by_layers(graph, parts)
        return Flow({name: self.description.tensors[name].shape for name in graph.before}, graph)
