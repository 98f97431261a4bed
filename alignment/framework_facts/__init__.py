"""What layers and functions of a framework do differently from torch's, as measured: read without any framework.

`<framework>.json` beside this module is written by `python -m benchmarks.frameworks --write`, and says with which
versions it was measured.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent

SAME = "same"
PRECISION = "precision"
BEHAVIOUR = "behaviour"

LIMIT = 1e-12
"""Relative L2 distance in float64 up to which both sides agree."""


@dataclass(frozen=True)
class Difference:
    """A quantity of a case that differs in float64.

    Attributes:
        quantity: `output`, `gradient of x`, `gradient of weight`, `running_var`.
        training: True if the layer was in training mode.
        error: Relative L2 distance from torch's; None where the shapes or the finite elements differ.
    """

    quantity: str
    training: bool
    error: float | None


@dataclass(frozen=True)
class Fact:
    """One case: a layer, function or optimizer of torch beside its counterpart.

    Attributes:
        group: The kind of layer, as the page of docs has it.
        torch: The text for torch: `nn.AvgPool2d(3)`.
        counterpart: The text for the other framework: `nn.AvgPool2D(3)`.
        inputs: Shapes of the inputs: `2 x 3 x 7 x 7`.
        kind: SAME, PRECISION or BEHAVIOUR.
        differences: What differs by more than LIMIT; empty where it raised.
        note: What is different in words; empty where it is only precision.
        float32: Largest relative distances, in float32, of the framework and of torch from torch's float64 result;
            None where the behaviour differs.
    """

    group: str
    torch: str
    counterpart: str
    inputs: tuple[str, ...]
    kind: str
    differences: tuple[Difference, ...]
    note: str
    float32: tuple[float, float] | None

    @property
    def error(self) -> float | None:
        """The largest error of the differences; None where it is not known, 0 where there are none."""
        errors = [difference.error for difference in self.differences]
        known = [error for error in errors if error is not None]
        return None if len(known) < len(errors) else max(known, default=0.0)


@dataclass(frozen=True)
class Facts:
    """What was measured of one framework.

    Attributes:
        framework: Its name: `paddle`.
        versions: Versions that it was measured with, by package.
        cases: One fact for each case, in the order of the page.
    """

    framework: str
    versions: Mapping[str, str]
    cases: tuple[Fact, ...]

    def of(self, kind: str) -> tuple[Fact, ...]:
        """Return the facts of one kind: SAME, PRECISION or BEHAVIOUR."""
        return tuple(fact for fact in self.cases if fact.kind == kind)


@cache
def framework_facts(framework: str) -> Facts:
    """Return what was measured of a framework.

    Args:
        framework: `paddle`.

    Raises:
        KeyError: Nothing was measured of such a framework.
    """
    path = FOLDER / f"{framework}.json"
    if path.parent != FOLDER or not path.is_file():
        known = ", ".join(sorted(file.stem for file in FOLDER.glob("*.json")))
        raise KeyError(f"no differences of {framework!r} were measured; known are: {known}")
    data = json.loads(path.read_text(encoding="utf-8"))
    cases = (
        Fact(
            **{
                **case,
                "inputs": tuple(case["inputs"]),
                "differences": tuple(Difference(**difference) for difference in case["differences"]),
                "float32": None if case["float32"] is None else tuple(case["float32"]),
            }
        )
        for case in data["cases"]
    )
    return Facts(data["framework"], data["versions"], tuple(cases))
