"""Which weights a torch optimizer's numbers stand for: torch counts parameters group by group and keeps no names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

from porting.checkpoint.tensor import Shape

Shapes: TypeAlias = Sequence[Sequence["Shape | None"]]
"""Of each group the shapes of its parameters; None for one whose shape the optimizer does not know."""
Allowed: TypeAlias = Callable[[str, int], bool]

_MOST_STATES = 200_000
"""States that are looked at; two groups of a model with a thousand weights have at most a few thousand."""


class Merged:
    """How the parameters of several groups, each in its own order, make up the weights of a model in their order.

    Args:
        groups: The shapes of each group's parameters.
        weights: Name to shape, in the order of the model.
        allowed: Takes the name of a weight and the number of a group; False where it cannot be in the group.

    Attributes:
        ways: Number of ways to merge them, 2 for any number above 1.
        names: Of each group the names of its parameters, in one of these ways; None where there is none.
        stuck: The first weight with which no group goes on; None where there is a way.
    """

    def __init__(
        self, groups: Shapes, weights: Mapping[str, Shape], allowed: Allowed = lambda name, group: True
    ) -> None:
        self.stuck: str | None = None
        self.names: list[list[str]] | None = None
        self.ways = 0
        if sum(map(len, groups)) != len(weights):
            return
        self._groups, self._weights, self._allowed = groups, list(weights.items()), allowed
        layers = list(self._layers())
        if len(layers) > len(self._weights):
            self.ways = min(2, next(iter(layers[-1].values())))
            self.names = self._back(layers)
        else:
            self.stuck = self._weights[len(layers) - 1][0]

    def _layers(self) -> Iterator[dict[tuple[int, ...], int]]:
        """Yield, before each weight and after the last, how far each group may have come, and in how many ways."""
        layer, seen = {(0,) * len(self._groups): 1}, 0
        for name, shape in self._weights:
            yield layer
            following: dict[tuple[int, ...], int] = {}
            for places, ways in layer.items():
                for number in self._takers(places, name, shape):
                    after = _moved(places, number, 1)
                    following[after] = min(2, following.get(after, 0) + ways)
            layer, seen = following, seen + len(following)
            if not layer or seen > _MOST_STATES:
                return
        yield layer

    def _takers(self, places: tuple[int, ...], name: str, shape: Shape) -> Iterator[int]:
        for number, group in enumerate(self._groups):
            if places[number] < len(group) and group[places[number]] in (shape, None) and self._allowed(name, number):
                yield number

    def _back(self, layers: list[dict[tuple[int, ...], int]]) -> list[list[str]]:
        names: list[list[str]] = [[] for _ in self._groups]
        places = next(iter(layers[-1]))
        for (name, shape), before in zip(reversed(self._weights), reversed(layers[:-1]), strict=True):
            for number in range(len(self._groups)):
                earlier = _moved(places, number, -1)
                if earlier in before and number in self._takers(earlier, name, shape):
                    names[number].insert(0, name)
                    places = earlier
                    break
        return names


def _moved(places: tuple[int, ...], number: int, by: int) -> tuple[int, ...]:
    return (*places[:number], places[number] + by, *places[number + 1 :])


def names_of(groups: Shapes, decays: Sequence[float | None], weights: Mapping[str, Shape]) -> list[list[str]]:
    """Return the names of the parameters of each group.

    The groups are taken to hold the weights in the model's order, or, where these do not fit, in that of their names.
    Where shapes alone leave several ways and some groups do not decay, vectors and biases are taken to be in one of
    these, as in timm, DeiT and nearly every other program; matrices and convolutions may be in any.

    Args:
        groups: Of each group the shapes of its parameters.
        decays: The weight decay of each group; None where it is not known.
        weights: Name to shape of the weights that may be in a group, in the model's order.

    Raises:
        ValueError: No way fits, or several do; the message says what was found.
    """
    merged = Merged(groups, weights)
    if merged.ways == 1 and merged.names is not None:
        return merged.names
    if merged.ways == 0:
        by_name = Merged(groups, dict(sorted(weights.items())))
        if by_name.ways == 1 and by_name.names is not None:
            return by_name.names
        raise ValueError(_misfit(groups, weights, merged.stuck))
    if any(decay == 0 for decay in decays) and any(decays):
        usual = Merged(groups, weights, lambda name, group: not decays[group] or not _is_vector(name, weights[name]))
        if usual.ways == 1 and usual.names is not None:
            return usual.names
    raise ValueError(
        f"it has {len(groups)} groups without names, and the shapes of their parameters fit the weights in several ways"
    )


def _is_vector(name: str, shape: Shape) -> bool:
    return len(shape) <= 1 or name.endswith(".bias")


def _misfit(groups: Shapes, weights: Mapping[str, Shape], stuck: str | None) -> str:
    count = sum(map(len, groups))
    if count != len(weights):
        return f"it has {count} parameters, the model {len(weights)} weights, and nothing says which are left out"
    at = f"no group goes on with {stuck} {weights[stuck]}" if stuck is not None else "the orders are too many to try"
    return f"its parameters are those of the model in no order that is known: {at}"
