"""Modules that are called in each other's place are named, and nothing else is by that name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from alignment.arrays import Array
from alignment.backends.functions.calls import FunctionCall
from alignment.hypotheses.arithmetic import ACTIVATIONS
from alignment.hypotheses.base import Case, Prediction, cause_of
from alignment.hypotheses.bench import Answers, OutOfTimeError, Result, Weight
from alignment.hypotheses.exchanged import exchanged
from alignment.hypotheses.explain import explain
from alignment.results.findings import Cause, Evidence, Finding

NAMES = ("blocks.0", "blocks.1", "blocks.2", "blocks.3")
WEIGHTS = {f"part.{name}.weight": np.random.default_rng(at).uniform(0.5, 1.5, 6) for at, name in enumerate(NAMES)}
X = np.random.default_rng(8).standard_normal((3, 6))


def ran(order: Sequence[str], weights: Mapping[str, Array]) -> tuple[Array, dict[str, Array]]:
    """Return what blocks give one after the other, and what each gets and gives."""
    x, seen = X, {}
    for name in order:
        seen[f"{name}:0/input/0"] = x
        x = x + np.tanh(x * weights[f"part.{name}.weight"])
        seen[f"{name}:0/output/0"] = x
    return x, seen


class Blocks:
    """A module that runs its blocks in one order."""

    def __init__(self, order: Sequence[str], tensors: Mapping[str, Array] = WEIGHTS) -> None:
        self._order = order
        self.tensors = tensors
        self.calls: tuple[FunctionCall, ...] = ()
        self.weights: Mapping[str, Weight] = {}
        self.out_of_time = False

    def run(self, answers: Answers | None = None, weights: Mapping[str, Array] | None = None) -> Result:
        if self.out_of_time:
            raise OutOfTimeError
        return Result((ran(self._order, {**WEIGHTS, **(weights or {})})[0],))


def case_of(order: Sequence[str], bench: Blocks | None = None) -> Case:
    finding = Finding("module", "part", "part", "eval", "forward", (Evidence("output 0", 1.0, ""),))
    (right, recorded), (wrong, seen) = ran(NAMES, WEIGHTS), ran(order, WEIGHTS)
    return Case(
        finding,
        (right,),
        (wrong,),
        candidate_kind="Part",
        children=seen,
        reference_children=recorded,
        bench=lambda: bench or Blocks(order),
    )


def causes(case: Case) -> list[Cause]:
    return [cause for cause in explain(case).causes if cause.name == "modules exchanged"]


@pytest.mark.parametrize(
    ("places", "says"),
    [
        ((0, 2, 1, 3), "blocks.2 is called where blocks.1 is meant, and blocks.1 where blocks.2 is"),
        ((3, 2, 1, 0), "the modules of blocks are called in reverse, where 0, 1, 2, 3 is meant"),
        ((1, 2, 0, 3), "the modules of blocks are called in the order 1, 2, 0, 3, where 0, 1, 2, 3 is meant"),
    ],
)
def test_blocks_in_another_order_are_named(places: tuple[int, ...], says: str) -> None:
    first, *others = causes(case_of([NAMES[place] for place in places]))
    assert first.says == says
    assert first.after < 1e-12
    assert first.look_at.startswith("part: where blocks.")
    assert not others


def test_modules_in_the_order_in_which_they_are_held_have_their_inputs_exchanged() -> None:
    """Two heads that get each other's tokens: `wiring` says so, and where."""
    order = ("blocks.1", "blocks.0", "blocks.2", "blocks.3")
    held = {f"part.{name}.weight": WEIGHTS[f"part.{name}.weight"] for name in order[:2]}
    assert not list(exchanged(case_of(order, Blocks(order, held))))


def test_right_order_missing_block_and_time_that_is_over_give_no_cause() -> None:
    assert not causes(case_of(NAMES))
    assert not causes(case_of(("blocks.0", "blocks.1", "blocks.3")))
    bench = Blocks(NAMES[::-1])
    bench.out_of_time = True
    assert not list(exchanged(case_of(NAMES[::-1], bench)))


def test_blocks_with_tensors_of_other_shapes_or_equal_weights_are_not_exchanged() -> None:
    order = ("blocks.1", "blocks.0", "blocks.2", "blocks.3")
    other = {**WEIGHTS, "part.blocks.0.weight": np.ones(2)}
    assert not list(exchanged(case_of(order, Blocks(order, other))))
    same = dict.fromkeys(WEIGHTS, np.ones(6))
    assert not list(exchanged(case_of(order, Blocks(order, same))))
    assert not list(exchanged(case_of(order, Blocks(order, {}))))


def test_sentence_whose_sum_begins_with_what_is_there_is_no_empty_one() -> None:
    """`is 0.1, not 0.1` says nothing; `is mlp, not mlp + x` names the shortcut that is lost."""

    def cause(says: str) -> Cause | None:
        return cause_of(Prediction("name", says, "place", [X]), 1.0, 0.0, limit=1e-9, smallest=1e-11)

    assert cause("its output 0 is mlp, not mlp + what it gets")
    assert not cause("its epsilon is 1e-05, not 1e-05")
    assert not cause("its epsilon is 1e-05, not 1e-05 (of its norm)")


@pytest.mark.parametrize("activation", ["tanh", "sigmoid"])
def test_lost_shortcut_beside_a_function_is_named(activation: str) -> None:
    fc, x = np.random.default_rng(0).standard_normal((2, 4, 5, 6))
    branch = ACTIVATIONS[activation](fc)
    gives = {"fc:0/input/0": x, "fc:0/output/0": fc}
    finding = Finding("module", "part", "part", "eval", "forward", (Evidence("output 0", 1.0, ""),))
    case = Case(finding, (x + branch,), (branch,), inputs=(x,), children=gives, reference_children=gives)
    cause = explain(case).causes[0]
    assert cause.name == "residual lost"
    assert cause.says == f"its output 0 is {activation} of fc, not what it gets + {activation} of fc"
