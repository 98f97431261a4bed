"""RandAugment and AutoAugment, in timm's notation and with timm's draws."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import TypeAlias

from PIL import Image

from porting.names import nearest
from recipe.augmentation.operations import OPERATIONS, TOP, Canvas
from recipe.augmentation.policies import AUTO, INCREASING, PLAIN, SETS
from recipe.draws import Draws
from recipe.errors import ConfigError

_UNIFORM = 100
"""If the spread is above this, the level is uniform instead of normal."""


@dataclass(frozen=True, slots=True)
class Step:
    """One operation of a policy.

    Attributes:
        name: One of `OPERATIONS`.
        probability: Probability of applying the operation at all.
        level: Strength, 0 to 10.
        spread: Standard deviation of the level; infinity draws it uniformly from 0 to `level`.
        highest: Upper limit of the drawn level.
    """

    name: str
    probability: float
    level: float
    spread: float = 0.0
    highest: float = TOP

    def __call__(self, image: Image.Image, draws: Draws, canvas: Canvas) -> Image.Image:
        """Take an RGB image; return it changed, or as it is."""
        if self.probability < 1 and draws.random() > self.probability:
            return image
        level = self.level
        if self.spread == inf:
            level = float(draws.uniform(0, level))
        elif self.spread > 0:
            level = float(draws.normal(level, self.spread))
        return OPERATIONS[self.name](image, max(0.0, min(level, self.highest)), draws, canvas)


@dataclass(frozen=True, slots=True)
class RandAugment:
    """Some operations, drawn anew for each image (arXiv 1909.13719).

    Attributes:
        steps: Operations to choose from.
        count: Operations applied to an image.
        weights: Probability of each; then no operation is taken twice. None takes all equally often, even twice.
    """

    steps: tuple[Step, ...]
    count: int = 2
    weights: tuple[float, ...] | None = None

    def __call__(self, image: Image.Image, draws: Draws, canvas: Canvas) -> Image.Image:
        """Take and return an RGB image."""
        for at in draws.choice(len(self.steps), self.count, self.weights is None, self.weights):
            image = self.steps[at](image, draws, canvas)
        return image


@dataclass(frozen=True, slots=True)
class AutoAugment:
    """A short sequence of operations, drawn for each image from those that a search found (arXiv 1805.09501).

    Attributes:
        sequences: Sequences to choose from.
    """

    sequences: tuple[tuple[Step, ...], ...]

    def __call__(self, image: Image.Image, draws: Draws, canvas: Canvas) -> Image.Image:
        """Take and return an RGB image."""
        for step in self.sequences[int(draws.integers(0, len(self.sequences)))]:
            image = step(image, draws, canvas)
        return image


Policy: TypeAlias = "RandAugment | AutoAugment"


def parse(notation: str) -> Policy:
    """The policy that timm's notation describes.

    `rand` with `m` (level), `n` (operations of an image), `p` (probability of each), `mstd` (spread of the level),
    `mmax` (highest level), `inc1` (stronger at a higher level) and `t` (a named set of operations); or an AutoAugment
    policy (`original`, `originalr`, `v0`, `v0r`, `3a`) with `mstd`. Parts are joined by dashes: `rand-m9-mstd0.5-inc1`.

    Raises:
        ConfigError: The notation describes no policy.
    """
    kind, *parts = notation.split("-")
    if kind == "rand":
        return _rand(notation, parts)
    if kind not in AUTO:
        close = nearest(kind, ("rand", *AUTO))
        hint = f"did you mean {close[0]}?" if close else f"known: rand, {', '.join(AUTO)}"
        raise ConfigError(f"augmentation.auto {notation!r}: unknown policy {kind!r}; {hint}")
    spread = _numbers(notation, parts, {"mstd": 0.0})["mstd"]
    return AutoAugment(tuple(tuple(Step(*step, spread=spread) for step in steps) for steps in AUTO[kind]))


def _rand(notation: str, parts: Sequence[str]) -> RandAugment:
    named = [part[1:] for part in parts if part.startswith("t")]
    rest = [part for part in parts if not part.startswith("t")]
    numbers = _numbers(notation, rest, {"m": TOP, "n": 2.0, "p": 0.5, "mstd": 0.0, "mmax": TOP, "inc": 0.0})
    count, spread = int(numbers["n"]), inf if numbers["mstd"] > _UNIFORM else numbers["mstd"]
    step = Step("", numbers["p"], int(numbers["m"]), spread, int(numbers["mmax"]) or TOP)
    if not named:
        names = INCREASING if numbers["inc"] else PLAIN
        return RandAugment(tuple(replace(step, name=name) for name in names), count)
    if named[0] not in SETS:
        raise ConfigError(f"augmentation.auto {notation!r}: unknown operations {named[0]!r}; known: {', '.join(SETS)}")
    operations = SETS[named[0]]
    total = sum(operations.values())
    weights = tuple(weight / total for weight in operations.values()) if total else None
    if weights is not None and count > len(weights):
        raise ConfigError(f"augmentation.auto {notation!r}: {count} different ones of {len(weights)} operations")
    return RandAugment(tuple(replace(step, name=name) for name in operations), count, weights)


def _numbers(notation: str, parts: Sequence[str], defaults: dict[str, float]) -> dict[str, float]:
    numbers = dict(defaults)
    for part in parts:
        match = re.fullmatch(r"([a-z]+)(\d+(?:\.\d+)?)", part)
        if match is None or match[1] not in defaults:
            raise ConfigError(
                f"augmentation.auto {notation!r}: cannot understand {part!r}; known: "
                f"{', '.join(f'{name}NUMBER' for name in defaults)}"
            )
        numbers[match[1]] = float(match[2])
    return numbers
