"""Pairs drawn from a seed: the same architecture twice, each side written in its own way."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from alignment.pair import Pair, Role
from alignment.pair import Side as Declared
from benchmarks.rules.families import FAMILIES
from benchmarks.rules.sides import Difference, Made, Side

DIFFERENCES = ("bias", "norm", "width", "layer")


@dataclass(frozen=True)
class Draw:
    """One pair.

    Attributes:
        seed: Any integer; decides everything else that is drawn.
        family: One of `FAMILIES`.
        frameworks: Of the reference and of the candidate.
        difference: What the candidate really differs in; None for nothing.
    """

    seed: int
    family: str
    frameworks: tuple[str, str] = ("torch", "torch")
    difference: Difference | None = None

    @property
    def name(self) -> str:
        """Name of the pair."""
        planted = f"-{self.difference.kind}{self.difference.place}" if self.difference else ""
        return f"{self.family}-{self.seed}{planted}"

    @property
    def pair(self) -> Pair:
        """The pair as a user declares it."""
        family = FAMILIES[self.family]
        sides = {}
        for role, framework in zip(("reference", "candidate"), self.frameworks, strict=True):
            difference = asdict(self.difference) if self.difference and role == "candidate" else None
            options = {"seed": self.seed, "family": self.family, "role": role, "framework": framework}
            sides[role] = Declared(framework, f"{__name__}:build", options={**options, "difference": difference})
        return Pair(
            self.name,
            sides["reference"],
            sides["candidate"],
            input_shape=family.shape,
            rules="auto",
            tokens=family.tokens,
        )

    def make(self, role: Role) -> tuple[Any, Side]:
        """The model of a side, and what is known of it."""
        framework = self.frameworks[0] if role == "reference" else self.frameworks[1]
        return made(self.seed, self.family, role, framework, self.difference if role == "candidate" else None)

    def tensors(self, role: Role) -> tuple[Mapping[str, Made], Side]:
        """What every tensor of a side is made of, and the side."""
        model, side = self.make(role)
        return side.tensors(model), side


def made(seed: int, family: str, role: str, framework: str, difference: Difference | None) -> tuple[Any, Side]:
    """A model, and the side that built it."""
    plain = role == "reference" and random.Random(f"plain/{seed}").random() < 0.5
    side = Side(framework, f"{seed}/{role}", plain=plain, difference=difference)
    model = FAMILIES[family].build(side, random.Random(f"{family}/{seed}"))
    side.add_dead(model)
    return model, side


def build(seed: int, family: str, role: str, framework: str, difference: Mapping[str, Any] | None = None) -> Any:
    """A model of a drawn pair, as a side of a pair names it."""
    return made(seed, family, role, framework, Difference(**difference) if difference else None)[0]


def draw(seed: int, families: Sequence[str] = (), frameworks: tuple[str, str] = ("torch", "torch")) -> Draw:
    """The pair of a seed; architectures take turns."""
    families = families or tuple(FAMILIES)
    return Draw(seed, families[seed % len(families)], frameworks)


def plant(drawn: Draw) -> Draw:
    """The same pair with one real difference in the candidate."""
    generator = random.Random(f"plant/{drawn.seed}")
    _, side = drawn.make("candidate")
    kinds = [kind for kind in DIFFERENCES if side.places[kind]]
    kind = kinds[drawn.seed // len(FAMILIES) % len(kinds)]
    place = generator.randrange(side.places[kind])
    return replace(drawn, difference=Difference(kind, place, generator.random() < 0.5))
