"""Two operations in the wrong order are named by the formula that is meant; numbers that nobody wrote are not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from alignment.arrays import Array
from alignment.backends.functions.calls import Again, FunctionCall, PassedOn
from alignment.hypotheses.base import Case
from alignment.hypotheses.bench import Answers, Result, Weight
from alignment.hypotheses.calls.fitted import _is_chosen
from alignment.hypotheses.explain import explain
from alignment.results.findings import Evidence, Finding

DRAWS = np.random.default_rng(3)
A, B, C = (DRAWS.standard_normal((4, 9)) for _ in range(3))
FUNCTIONS: Mapping[str, Callable[..., Array]] = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
}


@dataclass
class Bench:
    """A module that calls two functions, the second on what the first gives and another tensor, if it takes one."""

    inner: tuple[str, Sequence[Array]]
    outer: tuple[str, int, Sequence[Array]]
    weights: Mapping[str, Weight] = field(default_factory=dict)
    tensors: Mapping[str, Array] = field(default_factory=dict)

    @property
    def calls(self) -> tuple[FunctionCall, ...]:
        return tuple(
            FunctionCall(name, "my_model.py:7", "y = f(x)", (), (A.shape,) * count, (A.shape,), (at,))
            for at, (name, count) in enumerate(
                ((self.inner[0], len(self.inner[1])), (self.outer[0], 1 + len(self.outer[2])))
            )
        )

    def run(self, answers: Answers | None = None, weights: Mapping[str, Array] | None = None) -> Result:
        name, given = self.inner
        made = self._called(0, name, [*given], answers)
        name, at, others = self.outer
        given = [made] if not others else [made, others[0]] if at == 0 else [others[0], made]
        return Result((np.tanh(self._called(1, name, given, answers) * 0.3),))

    def _called(self, number: int, name: str, given: list[Array], answers: Answers | None) -> Array:
        returned = [FUNCTIONS[name](*given)]
        answer = None if answers is None else answers(self.calls[number], lambda: (given, returned))
        assert not isinstance(answer, PassedOn | Again)
        return returned[0] if answer is None else np.asarray(answer[0])


CASES = {
    "factor of a part": (Bench(("add", [A, B]), ("multiply", 0, [C])), A + B * C, "(a + b) * c, where a + (b * c)"),
    "factor of the sum": (Bench(("multiply", [A, B]), ("add", 1, [C])), (C + B) * A, "c + (a * b), where a * (c + b)"),
    "factor of the other part": (
        Bench(("multiply", [A, B]), ("add", 0, [C])),
        B + A * C,
        "(a * b) + c, where b + (a * c)",
    ),
    "activation of a part": (
        Bench(("multiply", [A, B]), ("relu", 0, [])),
        A * np.maximum(B, 0),
        "relu(a * b), where a * relu(b)",
    ),
    "activation of the product": (
        Bench(("relu", [A]), ("multiply", 0, [B])),
        np.maximum(A * B, 0),
        "relu(a) * c, where relu(a * c)",
    ),
    "activation of the other part": (
        Bench(("tanh", [A]), ("subtract", 0, [B])),
        A - np.tanh(B),
        "tanh(a) - c, where a - tanh(c)",
    ),
}


def causes(bench: Bench, right: Array) -> list[str]:
    finding = Finding("module", "part", "part", "eval", "forward", (Evidence("output 0", 1.0, ""),))
    expected = (np.tanh(right * 0.3),)
    case = Case(finding, expected, bench.run().outputs, candidate_kind="Own", bench=lambda: bench)
    return [cause.says for cause in explain(case).causes]


@pytest.mark.parametrize("name", CASES)
def test_formula_that_is_meant_is_named(name: str) -> None:
    bench, right, says = CASES[name]
    assert causes(bench, right)[0] == f"it computes {says} is meant"


def test_other_mistake_in_the_same_place_gets_no_formula() -> None:
    bench = CASES["factor of a part"][0]
    assert not any("is meant" in says for says in causes(bench, A * B + np.sin(C)))


@pytest.mark.parametrize("value", [0.1, 0.044715, 1.702, 8**-0.5, 1 / 49, np.sqrt(2 / np.pi), 1e-5, 3.0, np.log(100)])
def test_numbers_that_somebody_wrote_are_told(value: float) -> None:
    assert _is_chosen(value * (1 + 1e-9))


@pytest.mark.parametrize("value", [1.4970121, 0.0017935609, 0.5588110089])
def test_numbers_that_only_fit_the_weights_are_no_cause(value: float) -> None:
    assert not _is_chosen(value)
