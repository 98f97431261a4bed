"""A tensor that is made and not used, a function left out, and a factor of a loss are named where one explains all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pytest

from alignment.arrays import Array
from alignment.backends.functions.calls import Again, FunctionCall, PassedOn
from alignment.hypotheses.base import Case
from alignment.hypotheses.bench import Answers, Result, Weight
from alignment.hypotheses.explain import explain
from alignment.results.findings import Evidence, Finding

DRAWS = np.random.default_rng(29)
TOKENS, GATE, TARGET = (DRAWS.standard_normal(shape) for shape in ((3, 5, 4), (3, 4), (3, 5, 4)))
IMAGE = DRAWS.standard_normal(())

Function = Callable[..., Array]


@dataclass
class Bench:
    """A module that calls functions one after the other, and gives what the last ones give.

    Attributes:
        steps: Name of each function, the function, what it takes (its number where another one made that), and what
            it gives is part of what the module gives if the last is true.
        within: Number of the steps that a module makes which is right by itself.
    """

    steps: Sequence[tuple[str, Function, Sequence[Array | int], bool]]
    within: frozenset[int] = frozenset()
    weights: Mapping[str, Weight] = field(default_factory=dict)
    tensors: Mapping[str, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.seen: list[FunctionCall] = []
        self.run(lambda call, _: self.seen.append(call))

    @property
    def calls(self) -> Sequence[FunctionCall]:
        return [call for at, call in enumerate(self.seen) if at not in self.within]

    @property
    def ends(self) -> Sequence[FunctionCall]:
        return [call for at, call in enumerate(self.seen) if at in self.within]

    def run(self, answers: Answers | None = None, weights: Mapping[str, Array] | None = None) -> Result:
        made: list[Array] = []
        for name, function, taken, _ in self.steps:
            given = [made[one] if isinstance(one, int) else one for one in taken]
            returned = np.asarray(function(*given))
            takes, place = tuple(array.shape for array in given), f"my_model.py:{len(made) + 1}"
            call = FunctionCall(name, place, f"y = {name}(x)", (), takes, (returned.shape,))
            answer = None if answers is None else answers(call, partial(pair, given, [returned]))
            assert not isinstance(answer, PassedOn | Again)
            made.append(returned if answer is None else np.asarray(answer[0]))
        return Result(tuple(array for array, step in zip(made, self.steps, strict=True) if step[3]))


def pair(given: list[Array], returned: list[Array]) -> tuple[list[Array], list[Array]]:
    return given, returned


def causes(bench: Bench, right: Sequence[Array]) -> list[str]:
    finding = Finding("module", "part", "part", "eval", "forward", (Evidence("output 0", 1.0, ""),))
    case = Case(finding, tuple(right), bench.run().outputs, candidate_kind="Own", bench=lambda: bench)
    return [f"{cause.look_at.partition(':')[2].partition(':')[0]} {cause.says}" for cause in explain(case).causes]


def square(x: Array) -> Array:
    return np.asarray(np.square(x))


def loss(factor: float = 1.0) -> Bench:
    """Two parts of a loss, the first of which is an output as well, and its sum beside a large output."""
    return Bench(
        (
            ("mean", lambda x: np.asarray(np.mean(np.square(x))), [TOKENS], True),
            ("mean", lambda x: np.asarray(np.mean(np.abs(x))), [TARGET], False),
            ("add", lambda x, y: x + factor * y, [0, 1], True),
            ("reshape", lambda x: 1e3 * x, [TOKENS], True),
        )
    )


@pytest.mark.parametrize(
    ("factor", "words"), [(0.1, "divided by 10"), (0.3, "multiplied by 0.3"), (20, "multiplied by 20")]
)
def test_weight_of_a_part_of_a_loss_is_named_by_its_side_of_the_sum(factor: float, words: str) -> None:
    assert causes(loss(), loss(factor).run().outputs) == [f"3 the right side of its '+' is to be {words}"]


def test_weight_of_a_part_that_is_an_output_too_is_named_at_the_sum() -> None:
    right = [*loss().run().outputs]
    right[1] = right[1] - 0.75 * right[0]
    assert causes(loss(), right) == ["3 the left side of its '+' is to be divided by 4"]


def test_sum_for_a_mean_of_a_loss_is_named_by_the_number_of_its_elements() -> None:
    bench = Bench((("mean", np.mean, [square(TARGET)], True),))
    assert causes(bench, [np.asarray(square(TARGET).sum())])[0] == (
        "1 it takes the mean over axes 0, 1, 2, where the sum is meant"
    )
    own = Bench((("square", square, [TARGET], False), ("sum", lambda x: np.sum(x) / 60, [0], True)))
    assert causes(own, [np.asarray(square(TARGET).sum() / 3)]) == ["2 what its sum gives is to be multiplied by 20"]


def test_factor_of_a_product_is_not_shared_between_two_places_of_the_same_call() -> None:
    def product(factor: float) -> Bench:
        means = [("mean", np.mean, [array], False) for array in (TOKENS, TARGET)]
        return Bench((*means, ("multiply", lambda x, y: factor * x * y, [0, 1], True)))

    assert causes(product(1.0), product(4.0).run().outputs) == ["3 what its multiply gives is to be multiplied by 4"]


@pytest.mark.parametrize("factor", [1.37, 0.6180339, 0.123])
def test_factor_of_a_loss_that_nobody_writes_is_no_cause(factor: float) -> None:
    right = [*loss().run().outputs]
    right[0], right[1] = right[0] * factor, right[1] + (factor - 1) * right[0]
    assert causes(loss(), right) == []


def test_factor_of_a_loss_is_not_fitted_in_float32() -> None:
    right, own = (tuple(np.float32(array) for array in bench.run().outputs) for bench in (loss(0.1), loss()))
    finding = Finding("module", "part", "part", "eval", "forward", (Evidence("output 1", 1.0, ""),))
    assert explain(Case(finding, right, own, candidate_kind="Own", bench=loss)).causes == ()


def block(*, gated: bool) -> Bench:
    return Bench(
        (
            ("chunk", lambda x: 3 * x, [GATE], False),
            ("linear", np.sin, [TOKENS], False),
            ("add", lambda x, y, gate: x + (y * gate[:, None] if gated else y), [TOKENS, 1, GATE * 3], True)
            if gated
            else ("add", np.add, [TOKENS, 1], True),
        ),
        frozenset({1}),
    )


def test_gate_that_nothing_is_multiplied_by_is_named_with_its_place() -> None:
    right = block(gated=True).run().outputs
    assert causes(block(gated=False), right)[0] == (
        "2 what its chunk gives in my_model.py:1 is not used: what its linear gives is to be multiplied by it"
    )


def test_gate_that_does_not_explain_the_difference_is_not_named() -> None:
    assert causes(block(gated=False), [TOKENS + np.cos(TOKENS)]) == []


def test_normalisation_left_out_after_a_module_that_is_right_is_named() -> None:
    def bench(after: Function) -> Bench:
        steps = (
            ("linear", lambda x: after(np.sin(x)), [TOKENS], True),
            ("matmul", lambda x: np.tanh(x @ x.mT), [0], True),
        )
        return Bench(steps, frozenset({0}))

    right = bench(lambda x: np.asarray(x / np.linalg.norm(x, axis=-1, keepdims=True))).run().outputs
    assert causes(bench(lambda x: x), right) == [
        "1 what its linear gives is to be normalised: divided by its norm over axis -1"
    ]


@pytest.mark.parametrize(
    ("own", "meant", "says"),
    [
        (None, 30.0, "1 what its linear gives is to be capped: 30 * tanh(x / 30)"),
        (30.0, 20.0, "3 the c of its c * tanh(x / c) is to be divided by 1.5"),
        (10.0, 20.0, "3 the c of its c * tanh(x / c) is to be multiplied by 2"),
        (None, 3.14159265, ""),
    ],
)
def test_soft_cap_that_is_missing_or_another_one_is_named(own: float | None, meant: float, says: str) -> None:
    def bench(cap: float | None) -> Bench:
        scores: tuple[str, Function, Sequence[Array | int], bool] = ("linear", lambda x: 9 * x, [TOKENS], cap is None)
        if cap is None:
            return Bench((scores,), frozenset({0}))
        steps = (
            ("divide", lambda x: x / cap, [0], False),
            ("tanh", np.tanh, [1], False),
            ("multiply", lambda x: cap * x, [2], True),
        )
        return Bench((scores, *steps), frozenset({0}))

    assert causes(bench(own), bench(meant).run().outputs) == ([says] if says else [])
