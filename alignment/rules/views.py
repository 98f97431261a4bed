"""One side while tensors without a counterpart are regrouped: what is around each, in words of both sides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from alignment.rules.forms import form
from alignment.rules.model import Model
from alignment.rules.ways import Stored
from porting.checkpoint.tensor import Shape


@dataclass(frozen=True)
class View:
    """One side while tensors are regrouped.

    Attributes:
        model: The model.
        left: Its tensors without a counterpart.
        labels: Name to what both sides call a tensor that is settled.
    """

    model: Model
    left: tuple[str, ...]
    labels: Mapping[str, object]

    def before(self, name: str) -> frozenset[object]:
        """The tensors directly before one, in words of both sides; none for one that the model does not use.

        One without a counterpart is that of this side alone: the other may call something else by its name.
        """
        names = self.model.flow.graph.before.get(name, ())
        return frozenset(self.labels.get(other, (id(self.model), other)) for other in names)

    def after(self, name: str) -> frozenset[object]:
        """The next settled tensors after one, in words of both sides."""
        settled: set[object] = set()
        seen, left = {name}, [name]
        while left:
            for other in self._after.get(left.pop(), ()):
                if other in self.labels:
                    settled.add(self.labels[other])
                elif other not in seen:
                    seen.add(other)
                    left.append(other)
        return frozenset(settled)

    def around(self, name: str) -> frozenset[object]:
        """The tensors directly before one and the next settled ones after it, in words of both sides."""
        return frozenset(
            {*(("before", other) for other in self.before(name)), *(("after", o) for o in self.after(name))}
        )

    @cached_property
    def _after(self) -> Mapping[str, Sequence[str]]:
        return self.model.flow.graph.after

    def companions(self, name: str) -> list[str]:
        """The vectors that go with the rows of a weight, one after the other: its bias, scale and shift of its norm.

        Each is the one tensor that comes after the one before it, and comes after nothing else.
        """
        first = self._companion(name)
        vectors = [] if first is None else [first]
        while vectors:
            following = self._companion(vectors[-1])
            if following is None or following in vectors or self.shape(following) != self.shape(vectors[0]):
                break
            vectors.append(following)
        return vectors

    def _companion(self, name: str) -> str | None:
        """The vector that is the one tensor after another, and that nothing else comes before."""
        graph = self.model.flow.graph
        after = self._after.get(name, ())
        alone = [other for other in after if graph.before[other] == (name,) and other in self.left]
        return alone[0] if len(after) == len(alone) == 1 and len(self.shape(alone[0])) == 1 else None

    def stored(self, name: str) -> Stored:
        """How a tensor is stored."""
        return self.model.stored[name]

    def shape(self, name: str) -> Shape:
        """The shape of a tensor, as it is stored."""
        return self.model.stored[name].shape

    def form(self, name: str) -> Shape:
        """The form by which structure matches a tensor."""
        return form(self.model.flow.shapes[name])


class Anywhere(View):
    """One side where the place of a tensor is not looked at."""

    def before(self, name: str) -> frozenset[object]:
        """Nothing, so that all tensors are at one place."""
        return frozenset()

    def after(self, name: str) -> frozenset[object]:
        """Nothing, so that all tensors are at one place."""
        return frozenset()

    def _companion(self, name: str) -> str | None:
        """As where data flows; elsewhere the only other tensor of a module."""
        if name in self.model.flow.shapes:
            return super()._companion(name)
        path = self.stored(name).path
        own = [other for other in self.model.unused if self.stored(other).path == path and other != name]
        return own[0] if len(own) == 1 and own[0] in self.left and len(self.shape(own[0])) == 1 else None

    def form(self, name: str) -> Shape:
        """The form of a tensor, which data need not flow through."""
        return form(self.shape(name))
