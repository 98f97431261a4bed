"""How much a proof is worth: which mistakes planted into the candidate it notices, and which it does not."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from porting.names import fold

_WEIGHTS = "forward/parameters/"


@dataclass(frozen=True, slots=True)
class Planted:
    """One mistake that was planted into the candidate, and whether the proof noticed it.

    Attributes:
        kind: Its kind: `eps`, `bias off`, `gradient stopped`.
        path: The candidate's module or tensor, the input or the function that has it; empty for the whole model.
        of: Class of the module; empty where it is in none.
        says: What is wrong, in words.
        noticed: Whether a quantity of the proof diverges, or the candidate fails.
        by: The first quantity that diverges; empty where none does.
        error: Relative L2 error of that quantity; None where there is none.
        changes: Whether anything that the proof compares changes at all, be it less than a limit.
        needs: What the inputs would have to hold for it to be noticed; empty where that is not known.
        fails: The message with which the candidate fails; empty where it does not.
    """

    kind: str
    path: str
    of: str
    says: str
    noticed: bool
    by: str = ""
    error: float | None = None
    changes: bool = True
    needs: str = ""
    fails: str = ""

    @property
    def by_weights(self) -> bool:
        """Whether only the comparison of the weights themselves notices it: no result depends on what is wrong."""
        return self.by.startswith(_WEIGHTS)

    @property
    def step(self) -> str:
        """The step that notices it first; empty where none does, or the candidate fails."""
        return self.by.partition("/")[0]


@dataclass(frozen=True, slots=True)
class Power:
    """What a proof is worth on one pair and batch.

    Attributes:
        model: Name of the pair.
        planted: The mistakes that were planted, in that order.
        possible: Number of mistakes that could be planted into this candidate.
        unreached: Mistakes in what the inputs never run, as `kind: path`; they count neither way.
        dtype: The precision that the planted candidates were judged in.
        seconds: Time that planting took, the building of the model included.
        proof_seconds: Time that the proof itself took.
        problem: Why nothing was planted; empty otherwise.
    """

    model: str
    planted: tuple[Planted, ...] = ()
    possible: int = 0
    unreached: tuple[str, ...] = ()
    dtype: str = ""
    seconds: float = 0.0
    proof_seconds: float = 0.0
    problem: str = ""

    @property
    def noticed(self) -> int:
        """Number of mistakes that the proof notices."""
        return sum(mistake.noticed for mistake in self.planted)

    @property
    def share(self) -> float:
        """Share of the planted mistakes that the proof notices, from 0 to 1; 0 where none was planted."""
        return self.noticed / len(self.planted) if self.planted else 0.0

    @property
    def missed(self) -> tuple[Planted, ...]:
        """The mistakes that nothing notices."""
        return tuple(mistake for mistake in self.planted if not mistake.noticed)

    @property
    def by_weights(self) -> tuple[Planted, ...]:
        """The mistakes that only the comparison of the weights notices."""
        return tuple(mistake for mistake in self.planted if mistake.by_weights)

    @property
    def unexercised(self) -> tuple[Planted, ...]:
        """The mistakes that change nothing that the proof compares: the inputs never bring them out."""
        return tuple(mistake for mistake in self.missed if not mistake.changes)

    @property
    def below_limits(self) -> tuple[Planted, ...]:
        """The mistakes that change results by less than a limit."""
        return tuple(mistake for mistake in self.missed if mistake.changes)

    def by_kind(self) -> Iterator[tuple[str, int, int, dict[str, int]]]:
        """Yield each kind with the numbers of its mistakes, of those noticed, and of these by the step that does."""
        for kind in dict.fromkeys(mistake.kind for mistake in self.planted):
            own = [mistake for mistake in self.planted if mistake.kind == kind]
            steps = Counter(mistake.step or "fails" for mistake in own if mistake.noticed)
            yield kind, len(own), sum(steps.values()), dict(steps)


def headline(power: Power) -> str:
    """Return what a proof is worth in one line."""
    if power.problem:
        return power.problem
    planted = len(power.planted)
    rest = f"; {power.possible} could be" if planted < power.possible else ""
    if not any(mistake.path for mistake in power.planted):
        rest += "; it has no module or weight to plant others into, so that this says little"
    return f"of {planted} mistakes that were planted the proof notices {power.noticed}, in {power.dtype}{rest}"


def percent(share: float) -> str:
    """Return a share as percent, rounded down, so that 100 % means all."""
    return f"{math.floor(share * 1000) / 10:g} %"


def folded(mistakes: Iterable[Planted]) -> Iterator[tuple[str, str]]:
    """Yield mistakes in words, those of many modules as one: where they are, and what is wrong and what it needs."""
    places: dict[tuple[str, str, str], list[str]] = {}
    for mistake in mistakes:
        of = f" ({mistake.of})" if mistake.of else ""
        places.setdefault((mistake.says, mistake.needs, of), []).append(mistake.path or "the model")
    for (says, needs, of), paths in places.items():
        for path in fold(paths):
            yield f"{path}{of}", f"{says}; it would need {needs}" if needs else says
