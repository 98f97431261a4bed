"""Found rules compared with the truth: tensor by tensor, and then by what the models compute in float64."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from alignment.backends.base import Backend
from alignment.backends.building import in_finest
from alignment.pair import ROLES, Pair, Role
from alignment.pair.inputs import random_inputs
from benchmarks.rules.adapter import Arrays, Found, backends, find
from benchmarks.rules.drawing import Draw
from benchmarks.rules.sides import Array, Made, draw_weights

RIGHT, SYMMETRY, REFUSED, WRONG, CRASHED, BROKEN = "right", "symmetry", "refused", "WRONG", "CRASHED", "BROKEN DRAW"
LIMIT = 1e-6
"""Two models are one function if no output differs by more than this share of the largest; a wrong one is at 1e-3."""
_BATCH = 3
_FOLDED = re.compile(r"\\\{[\d.,\\]+\\\}")


class Known(Protocol):
    """What is known of one side: shapes of the weights, and those that no output shows."""

    shapes: dict[str, tuple[int, ...]]
    silent: set[str]


class Drawn(Protocol):
    """A pair of which the truth is known."""

    @property
    def seed(self) -> int:
        """Of the pair."""

    @property
    def family(self) -> str:
        """Of the architecture."""

    @property
    def name(self) -> str:
        """Of the pair."""

    @property
    def pair(self) -> Pair:
        """The pair as a user declares it."""

    def tensors(self, role: Role) -> tuple[Mapping[str, Made], Known]:
        """What every tensor of a side is made of, and what is known of the side."""


@dataclass(frozen=True)
class Score:
    """What became of one pair.

    Attributes:
        draw: The pair.
        verdict: Rules that do what the truth says are right, a symmetry if they do something else that is the same
            function, wrong if it is another one.
        lines: The refusal, or what is wrong.
        seconds: That it took.
    """

    draw: Drawn
    verdict: str
    lines: Sequence[str] = field(default_factory=tuple)
    seconds: float = 0.0


def score(drawn: Drawn) -> Score:
    """Derive the rules of a pair without a difference, and compare what they do with the truth."""
    start = time.perf_counter()
    try:
        found = find(drawn.pair)
    except Exception as error:  # what a user would see as a traceback
        return Score(drawn, CRASHED, [f"{type(error).__name__}: {error}"], time.perf_counter() - start)
    seconds = time.perf_counter() - start
    if found.convert is None:
        return Score(drawn, REFUSED, found.lines, seconds)
    verdict, lines = _judged(drawn, found)
    return Score(drawn, verdict, lines, seconds)


def truth(made: Mapping[str, Made], weights: Arrays) -> dict[str, Array]:
    """The state dict of a side, in float32, which each checkpoint has."""
    state = {}
    for name, entry in made.items():
        array = np.asarray(entry.of(weights))
        state[name] = array.astype(np.float32) if array.dtype == np.float64 else array
    return state


def outputs(backend: Backend, state: Arrays, drawn: Drawn, seed: int) -> Array:
    """What a model gives in float64 with these tensors."""
    pair = drawn.pair
    batch = random_inputs(pair.input_shape, _BATCH, pair.tokens, seed=seed)
    wide = {name: array.astype(np.float64) if array.dtype.kind == "f" else array for name, array in state.items()}
    with in_finest(backend):
        backend.set_state(wide)
        return backend.forward(batch.astype(np.float64) if batch.dtype.kind == "f" else batch, None).logits


def apart(first: Array, second: Array) -> float:
    """Largest difference, as a share of the largest number; infinite where shapes differ or numbers are not finite."""
    if first.shape != second.shape or not (np.isfinite(first).all() and np.isfinite(second).all()):
        return float("inf")
    return float(np.abs(first - second).max() / max(np.abs(first).max(), 1e-30))


def broken(drawn: Drawn) -> str:
    """Why a draw is no pair of one function; empty for a good one."""
    states, _ = _states(drawn, seed=0)
    made = backends(drawn.pair)
    results = [outputs(made[role], states[role], drawn, seed=0) for role in ROLES]
    distance = apart(*results)
    if distance > LIMIT or np.ptp(results[0]) < 1e-3:
        return f"the two sides are {distance:.1e} apart, outputs spread over {np.ptp(results[0]):.1e}"
    return ""


def _states(drawn: Drawn, seed: int) -> tuple[dict[Role, dict[str, Array]], dict[str, Array]]:
    """The state dict of each side, and where tensors of the candidate have no effect on what it computes."""
    states: dict[Role, dict[str, Array]] = {}
    silent: dict[str, Array] = {}
    for role in ROLES:
        made, side = drawn.tensors(role)
        weights = draw_weights(side.shapes, seed)
        states[role] = truth(made, weights)
        masks = {key: np.full(array.shape, float(key in side.silent)) for key, array in weights.items()}
        silent = {name: np.asarray(entry.of(masks)) > 0 for name, entry in made.items() if entry.keys}
    return states, silent


def _judged(drawn: Drawn, found: Found) -> tuple[str, list[str]]:
    assert found.convert is not None
    problem = broken(drawn)
    if problem:
        return BROKEN, [problem]
    states, silent = _states(drawn, seed=1)
    made = backends(drawn.pair)
    whole = {**made["reference"].state(), **states["reference"]}
    given = found.convert(whole)
    expected = states["candidate"]
    differ = {
        name: given[name].shape != array.shape or not np.array_equal(given[name], array)
        for name, array in expected.items()
        if name in given
    }
    lost = [name for name in expected if name not in given and silent.get(name) is not None]
    if lost:
        return WRONG, [f"nothing fills {name}" for name in lost]
    if not any(differ.values()):
        return RIGHT, []
    names = [name for name, differs in differ.items() if differs]
    if all(name in silent and silent[name][given[name] != expected[name]].all() for name in names):
        return WRONG, [f"{name} is of another tensor, which no output shows" for name in names]
    distances = [
        apart(outputs(made["reference"], whole, drawn, seed), outputs(made["candidate"], dict(given), drawn, seed))
        for seed in (2, 3)
    ]
    if max(distances) > LIMIT:
        return WRONG, [f"outputs are {max(distances):.1e} apart", *(f"{name} is of another tensor" for name in names)]
    return SYMMETRY, names


@dataclass(frozen=True)
class Listing:
    """What was said of a pair with one real difference.

    Attributes:
        draw: The pair.
        names: Tensors of either side that the difference touches.
        lines: What was said.
        named: Whether a line has one of the names.
        accepted: Rules were found all the same.
    """

    draw: Draw
    names: Sequence[str]
    lines: Sequence[str]
    named: bool
    accepted: bool


def listing(drawn: Draw) -> Listing:
    """What is said of a pair in which a difference is planted."""
    names = _touched(drawn)
    try:
        found = find(drawn.pair)
    except Exception as error:
        return Listing(drawn, names, [f"{type(error).__name__}: {error}"], False, False)
    named = any(mentions(line, name) for line in found.lines for name in names)
    return Listing(drawn, names, found.lines, named, found.convert is not None)


def _touched(drawn: Draw) -> list[str]:
    """Tensors of either side whose weights the other side lacks, or has in another shape."""
    sides = {role: drawn.tensors(role) for role in ROLES}
    shapes = [side.shapes for _, side in sides.values()]
    keys = {key for key in {*shapes[0], *shapes[1]} if shapes[0].get(key) != shapes[1].get(key)}
    alike = (
        {re.sub(r"\d+", "#", key) for key in keys} if drawn.difference and drawn.difference.kind == "layer" else set()
    )
    return [
        name
        for made, _ in sides.values()
        for name, entry in made.items()
        if any(key in keys or re.sub(r"\d+", "#", key) in alike for key in entry.keys)
    ]


def mentions(line: str, name: str) -> bool:
    """Whether a line names a tensor or its module, its indices perhaps folded as in `blocks.{0..2}.weight`."""
    paths = {name, name.rpartition(".")[0]} - {""}
    for word in re.split(r"[\s;:()]+", re.sub(r"\{([^}]*)\}", lambda m: "{" + m[1].replace(" ", "") + "}", line)):
        pattern = re.compile(_FOLDED.sub(r"\\d+", re.escape(word.strip(",'\""))))
        if any(pattern.fullmatch(path) for path in paths):
            return True
    return False
