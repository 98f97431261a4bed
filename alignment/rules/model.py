"""A described model with what matching needs of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from alignment.pair.model_description import ModelDescription
from alignment.rules.forms import common_forms, form
from alignment.rules.pieces import in_pieces
from alignment.rules.recurrent import by_layers
from alignment.rules.refine import Flow
from alignment.rules.tensor_graph import TensorGraph
from alignment.rules.ways import Stored, stored
from porting.checkpoint.tensor import Shape


@dataclass(frozen=True)
class Model:
    """One model with what matching needs of it.

    Attributes:
        description: The model.
        apart: Tensors that are left out of the data flow, since the other model has them as buffers.
        forms: Forms of this model to those that the other model has in their place; see `common_forms`.
        cut: Tensors that are matched piece by piece.
        in_pieces: The model with these in pieces; None where there are none.
        anywhere: Whether tensors that have no counterpart at their place may have one elsewhere.
    """

    description: ModelDescription
    apart: frozenset[str] = frozenset()
    forms: Mapping[Shape, Shape] = field(default_factory=dict)
    cut: frozenset[str] = frozenset()
    in_pieces: Model | None = None
    anywhere: bool = False

    @property
    def pieces(self) -> Model:
        """The model with the tensors that are matched piece by piece in pieces."""
        return self.in_pieces or self

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
        shapes = {name: self.description.tensors[name].shape for name in graph.before}
        return Flow({name: self.forms.get(form(shape), shape) for name, shape in shapes.items()}, graph)

    @cached_property
    def unused(self) -> tuple[str, ...]:
        """Parameters of floats that no data flows through, each under its first name."""
        return tuple(
            name
            for name, info in self.description.tensors.items()
            if name in self.stored and name not in self.flow.shapes and name not in self.apart
            if not info.buffer and info.same_as in ("", name)
        )

    @cached_property
    def norms(self) -> Mapping[tuple[str, str], str]:
        """The buffers in modules of known classes: path and part to name."""
        return {(how.path, how.part): name for name, how in self.stored.items() if how.buffer and how.family}

    @cached_property
    def contents(self) -> Mapping[str, frozenset[str]]:
        """Path of each module to the tensors of the data flow in it and in all modules that it holds."""
        contents: dict[str, set[str]] = defaultdict(set)
        for name in self.flow.shapes:
            for path in holders(self.stored[name].path):
                contents[path].add(name)
        return {path: frozenset(names) for path, names in contents.items()}


def holders(path: str) -> list[str]:
    """The path of a module and those of all that hold it, the innermost first; the last is empty, the model's."""
    parts = path.split(".") if path else []
    return [".".join(parts[:count]) for count in range(len(parts), -1, -1)]


def both(
    reference: ModelDescription,
    candidate: ModelDescription,
    apart: tuple[frozenset[str], frozenset[str]] = (frozenset(), frozenset()),
    cut: tuple[frozenset[str], frozenset[str]] = (frozenset(), frozenset()),
    *,
    anywhere: bool = False,
) -> tuple[Model, Model]:
    """Return both models; what one has cut or merged has the form that it has in the other.

    Args:
        reference: The reference.
        candidate: The candidate.
        apart: Tensors of each that are left out of the data flow.
        cut: Tensors of each that are matched piece by piece.
        anywhere: Whether tensors that have no counterpart at their place may have one elsewhere.
    """
    models = Model(reference, apart[0]), Model(candidate, apart[1])
    forms = common_forms(*(model.flow.shapes.values() for model in models))
    pieces: tuple[Model | None, Model | None] = (None, None)
    if any(cut):
        pieces = both(in_pieces(reference, cut[0]), in_pieces(candidate, cut[1]), apart, anywhere=anywhere)
    return (
        Model(reference, apart[0], forms, cut[0], pieces[0], anywhere),
        Model(candidate, apart[1], forms, cut[1], pieces[1], anywhere),
    )
