"""One side of a drawn pair: its own names, order, storage and constants, and what every tensor of it is made of."""

from __future__ import annotations

import importlib
import random
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from benchmarks.rules.naming import SCHEMES, Names

Array: TypeAlias = Any
Weights: TypeAlias = Mapping[str, Array]
"""What both sides' tensors are made of, by keys that both share."""


@dataclass(frozen=True)
class Made:
    """What one tensor of the state dict is made of.

    Attributes:
        keys: Of the weights.
        of: The tensor, given the weights.
    """

    keys: tuple[str, ...]
    of: Callable[[Weights], Array]


@dataclass(frozen=True)
class Bare:
    """A parameter that a module holds itself.

    Attributes:
        key: Of the weights.
        shape: As it is stored.
        value: As it is built.
    """

    key: str
    shape: tuple[int, ...]
    value: float = 0.02


@dataclass(frozen=True)
class Constant:
    """A constant, and whether it is kept in the state dict, held outside it, or made in each forward pass."""

    values: Array
    kept: str


@dataclass(frozen=True)
class Difference:
    """One real difference, planted into a side.

    Attributes:
        kind: `bias`, `norm`, `width` or `layer`.
        place: Which of the places that could have it.
        more: One layer more, not one less.
    """

    kind: str
    place: int
    more: bool = True


class Parts:
    """What a module holds, by role."""

    def __init__(self, module: Any, paths: Mapping[str, Any], side: Side) -> None:
        self._module, self._paths, self._side = module, paths, side

    def has(self, role: str) -> bool:
        """Whether there is something in this role."""
        return role in self._paths

    def constant(self, role: str, like: Any) -> Any:
        """A constant."""
        found = self._paths[role]
        return self._side.kit.constant(found.values, like) if isinstance(found, Constant) else self._at(found)

    def __getattr__(self, role: str) -> Any:
        found = self._paths[role]
        return [self._at(path) for path in found] if isinstance(found, list) else self._at(found)

    def _at(self, path: str) -> Any:
        found = self._module
        for name in path.split("."):
            found = getattr(found, name)
        return found


@dataclass
class _Style:
    """How a side is written, in general; the rest is chosen role by role."""

    scheme: str
    nesting: float
    shuffled: bool
    flat: bool
    plain: bool
    dead: int


class Side:
    """Builds one side of a pair and remembers what its tensors are made of.

    Args:
        framework: `torch` or `paddle`.
        seed: Of everything that may differ between the sides.
        plain: Nothing unusual: the names that come first, modules of the framework.
        difference: What is planted.
    """

    def __init__(self, framework: str, seed: str, *, plain: bool = False, difference: Difference | None = None) -> None:
        self.kit: Any = importlib.import_module(f"benchmarks.rules.{framework}_kit")
        self.framework, self.difference = framework, difference
        self._seed = seed
        generator = self.generator("style")
        self.style = _Style(
            scheme="first" if plain else generator.choice(SCHEMES),
            nesting=0 if plain else generator.choice((0, 0, 0.3)),
            shuffled=not plain and generator.random() < 0.5,
            flat=not plain and generator.random() < 0.2,
            plain=plain,
            dead=0 if plain else generator.choice((0, 0, 0, 1, 2)),
        )
        self.names = Names(self.generator("names"), self.style.scheme, self.style.nesting)
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.silent: set[str] = set()
        self.tied: dict[str, str] = {}
        self.choices: dict[str, str] = {}
        self.places: dict[str, int] = {"bias": 0, "norm": 0, "width": 0, "layer": 0}
        self._made: list[tuple[Any, str, Made]] = []
        self._dead: list[Any] = []

    def generator(self, what: str) -> random.Random:
        """A generator of this side, of its own for each purpose."""
        return random.Random(f"{self._seed}/{what}")

    def choose(self, what: str, usual: str, *others: str, share: float = 0.4) -> str:
        """The usual way, or another one; the same for all that is asked for under one name."""
        if what not in self.choices:
            generator = self.generator(f"choice/{what}")
            unusual = not self.style.plain and generator.random() < share
            self.choices[what] = generator.choice(others) if unusual and others else usual
        return self.choices[what]

    def planted(self, kind: str) -> bool:
        """Whether the difference of this kind belongs here; every place asks once."""
        self.places[kind] += 1
        wanted = self.difference
        return wanted is not None and wanted.kind == kind and wanted.place == self.places[kind] - 1

    def width(self, width: int) -> int:
        """The width of a hidden layer."""
        return width + 4 if self.planted("width") else width

    def depth(self, depth: int) -> int:
        """Number of blocks."""
        more = self.difference is not None and self.difference.more
        return (depth + 1 if more or depth == 1 else depth - 1) if self.planted("layer") else depth

    def want(self, key: str, shape: Sequence[int]) -> None:
        """Declare a weight."""
        self.shapes[key] = tuple(shape)

    def made(self, module: Any, name: str, keys: Sequence[str], of: Callable[[Weights], Array]) -> None:
        """Remember what a tensor is made of."""
        self._made.append((module, name, Made(tuple(keys), of)))

    def tensors(self, model: Any) -> dict[str, Made]:
        """Name in the state dict to what it is made of; tensors that take no part are left out."""
        paths = self.kit.names(model)
        named = {(f"{paths[id(module)]}.{name}").lstrip("."): made for module, name, made in self._made}
        return {name: named[name] for name in model.state_dict() if name in named}

    def constant(self, role: str, values: Array) -> Constant:
        """A constant, kept or not as this side does."""
        return Constant(values, self.choose(f"constant/{role}", "kept", "held", "made", share=0.6))

    def bare(self, key: str, shape: Sequence[int], value: float = 0.02, *, ones: bool = False) -> Bare:
        """A parameter of a module itself; with `ones`, this side may store axes of length one before it."""
        self.want(key, shape)
        role = key.rpartition(".")[2]
        more = {"none": 0, "one": 1, "two": 2}[self.choose(f"axes/{role}", "none", "one", "two")] if ones else 0
        return Bare(key, (1,) * more + tuple(shape), value)

    def module(self, kind: str, parts: Mapping[str, Any], function: Callable[..., Any]) -> Any:
        """A module of a class of its own.

        Args:
            kind: What it is.
            parts: Role to module, list of modules, `Bare`, `Constant`, or None where it has none.
            function: Of the `Parts` and the inputs.
        """
        paths: dict[str, Any] = {}
        kit = self.kit
        made = kit.own(self.names.kind(kind), lambda module, *inputs: function(Parts(module, paths, self), *inputs))
        entries: list[tuple[str, Any]] = []
        for role, part in parts.items():
            if part is None:
                continue
            if isinstance(part, Constant) and part.kept == "made":
                paths[role] = part
            elif isinstance(part, list):
                paths[role] = [self._path(kind, role, index) for index in range(len(part))]
                entries += zip(paths[role], part, strict=True)
            else:
                whole = isinstance(part, Bare | Constant)
                paths[role] = self.names.of(kind, role).split(".")[0] if whole else self.names.of(kind, role)
                if whole and paths[role].isdigit():
                    paths[role] = f"p{paths[role]}"
                entries.append((paths[role], part))
        if self.style.shuffled:
            self.generator(f"order/{kind}").shuffle(entries)
        for path, part in entries:
            self._put(made, path, part)
        return made

    def _path(self, kind: str, role: str, index: int) -> str:
        name = self.names.of(kind, role).split(".")[0]
        return f"{name}_{index + 1}" if self.style.flat else f"{name}.{index}"

    def _put(self, module: Any, path: str, part: Any) -> None:
        *above, last = path.split(".")
        for name in above:
            if not hasattr(module, name):
                self.kit.add(module, name, self.kit.Module())
            module = getattr(module, name)
        if isinstance(part, Bare):
            self.kit.parameter(module, last, np.full(part.shape, part.value))
            self.made(module, last, [part.key], lambda weights: weights[part.key].reshape(part.shape))
        elif isinstance(part, Constant):
            self.kit.buffer(module, last, part.values, part.kept == "kept")
            if part.kept == "kept":
                self.made(module, last, [], lambda _: part.values)
        else:
            self.kit.add(module, last, part)

    def add_dead(self, model: Any) -> None:
        """Add modules that are never called, of shapes that others have."""
        shapes = [shape for shape in self.shapes.values() if len(shape) == 2]
        for number in range(self.style.dead if shapes else 0):
            generator = self.generator(f"dead/{number}")
            out, into = generator.choice(shapes)
            dead = self.kit.linear(into, out, True) if generator.random() < 0.6 else self.kit.batch_norm(out)
            self.kit.add(model, generator.choice(("aux", "unused", "old_head", "dist", "extra")) + str(number), dead)


def draw_weights(shapes: Mapping[str, Sequence[int]], seed: int) -> dict[str, Array]:
    """Random weights in float64 of which every one matters: no zeros, no ones, variances above zero."""
    return {key: _drawn(key, tuple(shape), seed) for key, shape in shapes.items()}


def _drawn(key: str, shape: tuple[int, ...], seed: int) -> Array:
    generator = np.random.default_rng((seed, zlib.crc32(key.encode())))
    values = generator.standard_normal(shape)
    role = key.rpartition(".")[2]
    if role in ("var", "running_var"):
        return 0.5 + generator.random(shape)
    if role == "scale":
        return 1 + 0.3 * values
    if len(shape) >= 2 and role == "weight":
        return values / np.sqrt(np.prod(shape[1:]))
    return 0.5 * values


__all__ = ["Bare", "Constant", "Difference", "Made", "Parts", "Side", "draw_weights"]
