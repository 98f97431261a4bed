"""What the reference recorded for each call of the candidate's modules: the same tensors in the same order.

Two ports may hand a module its tensors in another order, or cut a function into modules elsewhere: a batch norm with
its ReLU within on one side, two modules on the other. So tensors are matched by their values, and a module may be
compared with another tensor of the reference than the output of its counterpart.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations
from typing import TypeAlias

import numpy as np

from alignment.arrays import Array
from alignment.backends.base import Module, Tap
from alignment.bisection.arrangements import Arrangements, Axes, arranged, distance, is_arranged
from alignment.bisection.evidence import Arrange, Reference

Call: TypeAlias = tuple[str, int]
"""Path of a module of the candidate, and number of its calls before this one."""
Place: TypeAlias = tuple[Call, str, int]
"""A call, what of it (`input`, `integers` or `output`), and the place among these."""
_ALIKE = 0.5
"""Relative L2 of two tensors below which one is taken for the other, whatever its place."""
_SURE = 1e-2
"""Relative L2 of all inputs of a call below which their order is certain."""
_MOST_INPUTS = 4
_MOST = 12
"""Tensors of the reference that are tried in the place of an output."""


@dataclass(frozen=True)
class Cut:
    """A tensor of the reference that stands for the output of a module which is cut otherwise there.

    Attributes:
        tap: The tensor.
        within: Its name within the counterpart of the module; empty for a tensor outside of it.
    """

    tap: Tap
    within: str = ""


class Twins:
    """The recorded tensors of one mode.

    Args:
        reference: The recordings.
        modules: The reference's modules by path.
        paths: Path in the candidate to path in the reference.
        mode: `eval` or `train`.
        dtype: The precision of the candidate.

    Attributes:
        orders: For `input`, `integers` and `output`, the calls that take or return tensors of this kind in another
            order, with the place of each in the reference's call; None for one that the reference's does not have.
        tied: For calls that take the same values several times, the places of each such set of inputs.
        unsure: Calls whose order could not be told from values, with the places of those that differ too much.
        cuts: For modules that are cut otherwise, what their output is compared with.
        uncut: Calls that are compared with the output of their counterpart, whatever else they give.
        other_shapes: Tensors that the candidate keeps in another shape, by call, kind and place: the shape, and the
            order in which the reference's axes have to be; None for one that cannot be told from the values.
        opposite: Masks of booleans that the candidate is given the other way round: it may mean them so.
        inverted: Those of them that are the reference's once they are turned round.
    """

    def __init__(
        self, reference: Reference, modules: Mapping[str, Module], paths: Mapping[str, str], mode: str, dtype: str
    ) -> None:
        self._reference, self._paths, self._mode, self._dtype = reference, paths, mode, dtype
        self._held = _held(modules)
        self._own = {path for path, module in modules.items() if module.parameters}
        self.kinds = {path: module.kind for path, module in modules.items()}
        self.orders: dict[str, dict[Call, list[int | None]]] = {"input": {}, "integers": {}, "output": {}}
        self.tied: dict[Call, list[list[int]]] = {}
        self.unsure: dict[Call, set[int]] = {}
        self.cuts: dict[Call, Cut] = {}
        self.uncut: set[Call] = set()
        self.other_shapes: dict[Place, tuple[tuple[int, ...], Axes | None]] = {}
        self.opposite: set[Place] = set()
        self.inverted: set[Place] = set()
        self._arrangements = Arrangements()

    def key(self, call: Call, what: str, index: int) -> str | None:
        """Key of the recorded tensor for one of a call of the candidate; None where the reference has none for it."""
        cut = self.cuts.get(call)
        if cut is not None and what in ("output", "output_gradient"):
            tap = cut.tap
            return self._key(tap.path, tap.call, f"{tap.what}_gradient" if "gradient" in what else tap.what, tap.index)
        places = self.orders[what.removesuffix("_gradient")].get(call)
        if places is None:
            return self._key(self._paths[call[0]], call[1], what, index)
        place = places[index] if index < len(places) else None
        return None if place is None else self._key(self._paths[call[0]], call[1], what, place)

    def get(self, call: Call, what: str, index: int) -> Array | None:
        """One recorded tensor for a call of the candidate; None where the reference has none for it."""
        key = self.key(call, what, index)
        array = None if key is None else self._reference.get(key, self._dtype)
        return array if array is None else self._as_own(array, call, what, index)

    def arrangement(self, call: Call, what: str, index: int) -> Arrange | None:
        """What makes the candidate's shape of the reference's tensor for one of a call; None where both are the same.

        An order of axes that the values do not tell, since something before differs, is that of most other tensors, or
        unchanged where only axes of length one are there or not.
        """
        if call in self.cuts and what in ("output", "output_gradient"):
            return None
        shape, axes = self.other_shapes.get((call, what.removesuffix("_gradient"), index), ((), None))
        if not shape:
            return None

        def arrange(array: Array) -> Array:
            order = axes or self._arrangements.usual(array.ndim, len(shape)) or _unchanged(array.shape, shape)
            return array if order is None or array.size != np.prod(shape) else arranged(array, order, shape)

        return arrange

    def _as_own(self, array: Array, call: Call, what: str, index: int) -> Array:
        arrange = self.arrangement(call, what, index)
        array = array if arrange is None else arrange(array)
        return np.logical_not(array) if (call, what, index) in self.inverted else array

    def all(self, call: Call, what: str) -> list[Array]:
        """The recorded tensors of a kind for a call, in the candidate's order; empty if one is missing."""
        if call in self.cuts and what == "output":
            one = self.get(call, what, 0)
            return [] if one is None else [one]
        places = self.orders[what].get(call)
        if places is not None:
            arrays = [self.get(call, what, index) for index in range(len(places))]
            return [array for array in arrays if array is not None]
        return [self._as_own(array, call, what, index) for index, array in enumerate(self._recorded(call, what))]

    def as_recorded(self, call: Call) -> list[Array]:
        """The outputs of the reference's call, in its order and shapes."""
        return list(self._recorded(call, "output"))

    def _recorded(self, call: Call, what: str) -> Iterator[Array]:
        index = 0
        while (array := self._at(call, what, index)) is not None:
            yield array
            index += 1

    def _at(self, call: Call, what: str, index: int) -> Array | None:
        return self._reference.get(self._key(self._paths[call[0]], call[1], what, index), self._dtype)

    def order(self, call: Call, what: str, arrays: Sequence[Array]) -> None:
        """Note the order of the tensors of a kind that a call of the candidate takes or returns."""
        if what == "input" and len(arrays) > 1:
            self.tied[call] = _tied(arrays)
        expected = list(self._recorded(call, what))
        if not expected:
            return
        places = match(arrays, expected)
        far = set[int]()
        for index, (array, place) in enumerate(zip(arrays, places, strict=True)):
            if place is not None and is_arranged(array, expected[place]) and call[0]:
                axes = self._arrangements.find(array, expected[place])
                self.other_shapes[call, what, index] = array.shape, axes
                far |= {index} if axes is None else set()
            if place is not None and what == "integers" and _is_opposite(array, expected[place]):
                self.opposite.add((call, what, index))
            elif place is not None and (call, what, index) not in self.other_shapes:
                other = array.shape != expected[place].shape or distance(array, expected[place]) > _SURE
                far |= {index} if other else set()
        if len(arrays) == len(expected) == 1:
            return
        if far and what == "input":
            self.unsure[call] = far
        if places != list(range(len(expected))):
            self.orders[what][call] = places

    def other_orders(self, call: Call) -> Iterator[list[int | None]]:
        """Further orders of the inputs of a call, that of the reference first.

        Of calls whose order could not be told, those of the inputs that differ too much; the others stay in their
        places. And of calls that are given their inputs in another order: which of both is wrong, the call or what is
        called, shows when it runs alone.
        """
        expected = list(self._recorded(call, "input"))
        told = call not in self.unsure and call not in self.orders["input"]
        if told or not 1 < len(expected) <= _MOST_INPUTS:
            return
        now = self.orders["input"].get(call, list(range(len(expected))))
        shapes = [None if place is None else expected[place].shape for place in now]
        free = set(range(len(now))) if call in self.orders["input"] else self.unsure[call]
        for places in permutations(range(len(expected)), len(now)):
            stays = all(index in free or place == now[index] for index, place in enumerate(places))
            if stays and list(places) != now and [expected[place].shape for place in places] == shapes:
                yield list(places)

    def counterparts(self, call: Call, gradients: Sequence[Array | None]) -> list[int]:
        """For each input gradient of a call the place of that which it is compared with: its own, but for tied inputs.

        Which of several inputs with the same values has which part of their gradient is a matter of order alone.
        """
        order = list(range(len(gradients)))
        for places in self.tied.get(call, ()):
            own = [gradients[place] for place in places]
            recorded = [self.get(call, "input_gradient", place) for place in places]
            if all(a is not None for a in (*own, *recorded)):
                places_of_own = match([a for a in own if a is not None], [a for a in recorded if a is not None])
                for place, at in zip(places, places_of_own, strict=True):
                    order[place] = place if at is None else places[at]
        return order

    def is_called_again(self, call: Call) -> bool:
        """True if the reference calls the counterpart of a module again after this call."""
        return any(self._at((call[0], call[1] + 1), what, 0) is not None for what in ("input", "integers", "output"))

    def other_cuts(self, call: Call) -> list[Cut]:
        """Tensors of the reference that may stand for the output of a module that is cut otherwise.

        These are what goes into and comes out of modules within its counterpart that hold no parameters or all of the
        counterpart's, and what modules without parameters make of the counterpart's output.
        """
        twin = self._paths[call[0]]
        if not twin:
            return []
        cuts = []
        for path, held in self._held.items():
            inner = path.startswith(f"{twin}.")
            if (inner and (not held or held == self._held[twin])) or (
                twin.startswith(f"{path}.") and held == self._held[twin]
            ):
                for what in ("input", "output") if inner else ("output",):
                    within = f"{path[len(twin) :]}/{what}" if inner else ""
                    cuts.append(Cut(Tap(path, call[1], what, 0), within))
        return (cuts[:_MOST] + [Cut(tap) for tap in self._followers(twin, call[1])])[: 2 * _MOST]

    def _followers(self, twin: str, number: int) -> Iterator[Tap]:
        """Outputs of the modules without parameters that take the output of a module."""
        output = self._key(twin, number, "output", 0)
        first = self._reference.aliases.get(f"{self._dtype} {output}", output)
        for key in self._same.get(first, ()):
            path, _, rest = key.removeprefix(f"{self._mode}/tap/").partition(":")
            call, _, what = rest.partition("/")
            if what == "input/0" and not self._held.get(path, frozenset({""})):
                yield Tap(path, int(call), "output", 0)

    @cached_property
    def _same(self) -> Mapping[str, list[str]]:
        """Key under which an array is stored to every further key of it."""
        same: dict[str, list[str]] = defaultdict(list)
        for key, first in self._reference.aliases.items():
            dtype, _, own = key.partition(" ")
            if dtype == self._dtype:
                same[first].append(own)
        return same

    def bypassed(self, call: Call) -> bool:
        """True if a call is compared with a tensor within its counterpart, which may pass its input by: a skip does."""
        return call in self.cuts and self._paths[call[0]] not in self._own

    def has(self, cut: Cut) -> bool:
        """True if the reference recorded the tensor of a cut."""
        tap = cut.tap
        return self._reference.get(self._key(tap.path, tap.call, tap.what, tap.index), self._dtype) is not None

    def like(self, call: Call, within: str) -> Cut:
        """The cut of another module of the same kinds, for a call."""
        path, _, what = within.rpartition("/")
        return Cut(Tap(self._paths[call[0]] + path, call[1], what, 0), within)

    def _key(self, path: str, number: int, what: str, index: int) -> str:
        return f"{self._mode}/tap/{Tap(path, number, what, index)}"


def match(arrays: Sequence[Array], expected: Sequence[Array]) -> list[int | None]:
    """For each array the place of the expected one that it stands for; None for one that stands for none.

    Those of the same shape and nearly the same values belong together, then those of the same shape in order. An array
    that comes twice, as the state that Paddle's LSTMCell also gives as its output, comes last the second time.
    """
    close = [
        (error, abs(own - place), own, place)
        for own, array in enumerate(arrays)
        for place, other in enumerate(expected)
        if array.shape == other.shape and (error := distance(array, other)) < _ALIKE
    ]
    places: list[int | None] = [None] * len(arrays)
    taken: set[int] = set()
    for _, _, own, place in sorted(close):
        if places[own] is None and place not in taken:
            places[own] = place
            taken.add(place)
    again = [any(map(np.array_equal, arrays[:own], [array] * own)) for own, array in enumerate(arrays)]
    for own, array in sorted(enumerate(arrays), key=lambda pair: again[pair[0]]):
        free = (at for at, other in enumerate(expected) if at not in taken and other.shape == array.shape)
        if places[own] is None and (place := next(free, -1)) >= 0:
            places[own] = place
            taken.add(place)
    if len(arrays) == len(expected) and places.count(None) == 1:
        (left,) = set(range(len(expected))) - taken
        places[places.index(None)] = left  # another shape: a mistake, and not another order
    return places


def _is_opposite(array: Array, expected: Array) -> bool:
    """True for a mask of booleans that is another one the other way round, whatever their shapes."""
    alike = array.dtype == expected.dtype == np.bool_ and array.size == expected.size
    return alike and np.array_equal(array.ravel(), ~expected.ravel())


def _unchanged(shape: tuple[int, ...], other: tuple[int, ...]) -> Axes | None:
    """The order of axes that changes nothing, if two shapes differ in axes of length one only; else None."""
    same = [size for size in shape if size != 1] == [size for size in other if size != 1]
    return tuple(range(len(shape))) if same else None


def outermost(calls: Sequence[Call]) -> list[Call]:
    """Those of the calls whose modules are in no other module of them."""
    paths = {path for path, _ in calls}
    return [call for call in calls if not any(path != call[0] and inside(call[0], path) for path in paths)]


def inside(path: str, parent: str) -> bool:
    """True if a module is in another one."""
    return path != parent and (not parent or path.startswith(f"{parent}."))


def depth(path: str) -> int:
    """Number of modules around a module; 0 for the model itself."""
    return path.count(".") + 1 if path else 0


def _tied(arrays: Sequence[Array]) -> list[list[int]]:
    sets: dict[tuple[tuple[int, ...], bytes], list[int]] = defaultdict(list)
    for place, array in enumerate(arrays):
        sets[array.shape, hashlib.blake2b(np.ascontiguousarray(array).tobytes()).digest()].append(place)
    return [places for places in sets.values() if len(places) > 1]


def _held(modules: Mapping[str, Module]) -> dict[str, frozenset[str]]:
    """Path of a module to the tensors in it and in the modules in it."""
    held: dict[str, set[str]] = {path: set() for path in modules}
    for path, module in modules.items():
        parts = path.split(".")
        for count in range(len(parts) + 1):
            above = ".".join(parts[:count])
            if above in held:
                held[above] |= set(module.parameters)
    return {path: frozenset(names) for path, names in held.items()}
