"""What layers and functions of a framework do differently from torch's, as measured: read without any framework.

`<framework>.json` beside this module is written by `python -m benchmarks.frameworks --framework NAME --write`, and says
with which versions it was measured.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
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
    """A quantity of a case that differs.

    Attributes:
        quantity: `output`, `gradient of x`, `gradient of weight`, `running_var`.
        training: True if the layer was in training mode.
        error: Relative L2 distance from torch's in float64; None where the shapes or the finite elements differ.
        dtype: The precision in which the framework ran.
    """

    quantity: str
    training: bool
    error: float | None
    dtype: str = "float64"


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
        only: The one precision that the framework has the case in, where it is not every one.
    """

    group: str
    torch: str
    counterpart: str
    inputs: tuple[str, ...]
    kind: str
    differences: tuple[Difference, ...]
    note: str
    float32: tuple[float, float] | None
    only: str = ""

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
        framework: Its name: `paddle` or `mindspore`.
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
        framework: `paddle` or `mindspore`.

    Raises:
        KeyError: Nothing was measured of such a framework.
    """
    path = FOLDER / f"{framework}.json"
    if path.parent != FOLDER or not path.is_file():
        known = ", ".join(sorted(file.stem for file in FOLDER.glob("*.json")))
        raise KeyError(f"no differences of {framework!r} were measured; known are: {known}")
    return read_facts(path)


def read_facts(path: Path) -> Facts:
    """Return what `python -m benchmarks.frameworks --save` wrote."""
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


def changes(recorded: Facts, measured: Facts) -> tuple[str, ...]:
    """Return in words what was measured otherwise than it is recorded, a line for each case; none for other cases.

    An error counts as another one where it is ten times larger or smaller.
    """
    before = dict(_numbered(recorded.cases))
    lines = []
    for key, fact in _numbered(measured.cases):
        known = before.get(key)
        what = f"{fact.counterpart} on {', '.join(fact.inputs)}"
        if known is None:
            lines.append(f"{what}: {_words(fact)}; it is not recorded")
        elif known.kind != fact.kind or known.note != fact.note or _other_error(known, fact):
            lines.append(f"{what}: {_words(fact)}; recorded is: {_words(known)}")
    return tuple(lines)


def _numbered(cases: Iterable[Fact]) -> Iterator[tuple[tuple[str, str, tuple[str, ...], int], Fact]]:
    """The cases, each with its texts and which one of this text it is: inputs may differ by more than their shapes."""
    counts: Counter[tuple[str, str, tuple[str, ...]]] = Counter()
    for fact in cases:
        text = fact.torch, fact.counterpart, fact.inputs
        counts[text] += 1
        yield (*text, counts[text]), fact


def _words(fact: Fact) -> str:
    if fact.kind == SAME:
        return "agrees with torch"
    if fact.kind == BEHAVIOUR:
        return f"behaves otherwise: {fact.note}"
    return f"loses precision, {fact.error or 0:.1e}"


def _other_error(one: Fact, other: Fact) -> bool:
    if one.kind != PRECISION or one.error is None or other.error is None:
        return False
    return not 0.1 <= (one.error or LIMIT) / (other.error or LIMIT) <= 10


def behaviours(framework: str, kinds: Iterable[str]) -> dict[str, str]:
    """Return what layers are known to do otherwise than torch's, in words.

    Args:
        framework: `paddle` or `mindspore`.
        kinds: Names of the framework's own classes: `LeakyReLU`.

    Returns:
        Name of the class to all that is known of it; nothing for classes that behave as torch's, or a framework of
        which nothing was measured.
    """
    if not (FOLDER / f"{framework}.json").is_file():
        return {}
    notes: dict[str, list[str]] = {}
    for fact in framework_facts(framework).of(BEHAVIOUR):
        notes.setdefault(fact.counterpart.removeprefix("nn.").partition("(")[0], []).append(fact.note.partition(";")[0])
    return {kind: "; ".join(dict.fromkeys(notes[kind])) for kind in dict.fromkeys(kinds) if notes.get(kind)}
