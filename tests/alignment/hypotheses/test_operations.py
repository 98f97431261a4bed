"""Operations that are one too many, too few, of other axes or with another number are named."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pytest

from alignment.arrays import Array
from alignment.backends.functions.calls import Again, FunctionCall, PassedOn
from alignment.hypotheses.arithmetic import ACTIVATIONS, softmax
from alignment.hypotheses.base import Case
from alignment.hypotheses.bench import Answers, Result, Weight
from alignment.hypotheses.calls.slices import _parsed
from alignment.hypotheses.explain import explain
from alignment.results.findings import Evidence, Finding

DRAWS = np.random.default_rng(11)
X, MAP, ONE, OTHER = (DRAWS.standard_normal(shape) for shape in ((3, 4, 5), (2, 3, 4, 6), (2, 7), (2, 7)))
POSITIVE, SPACE, WIDE = np.exp(X), DRAWS.standard_normal((2, 3, 2, 2, 2)), DRAWS.standard_normal((2, 24, 3))
GROUPS = np.random.default_rng(13).standard_normal((2, 9, 5))


@dataclass
class Bench:
    """A module that calls one function and makes something of what that gives."""

    name: str
    given: Sequence[Array]
    returned: Array
    settings: Mapping[str, Any]
    rest: Callable[[Array], Array] = np.tanh
    weights: Mapping[str, Weight] = field(default_factory=dict)
    tensors: Mapping[str, Array] = field(default_factory=dict)

    @property
    def calls(self) -> tuple[FunctionCall, ...]:
        shown = tuple((key, str(value)) for key, value in self.settings.items())
        takes = tuple(array.shape for array in self.given)
        return (FunctionCall(self.name, "my_model.py:7", "y = f(x)", shown, takes, (self.returned.shape,)),)

    def run(self, answers: Answers | None = None, weights: Mapping[str, Array] | None = None) -> Result:
        answer = None if answers is None else answers(self.calls[0], lambda: ([*self.given], [self.returned]))
        assert not isinstance(answer, PassedOn | Again)
        return Result((self.rest(self.returned if answer is None else np.asarray(answer[0])),))


def causes(bench: Bench, right: Array) -> list[str]:
    finding = Finding("module", "part", "part", "eval", "forward", (Evidence("output 0", 1.0, ""),))
    case = Case(finding, (bench.rest(right),), bench.run().outputs, candidate_kind="Own", bench=lambda: bench)
    return [cause.says for cause in explain(case).causes]


def scaled(x: Array) -> Array:
    return np.asarray(0.1 * x)


def running_sum(x: Array) -> Array:
    return np.asarray(np.cumsum(x.reshape(len(x), -1), -1))


def shuffled(x: Array) -> Array:
    return np.asarray(np.cumsum(x.swapaxes(1, 2).reshape(2, -1), -1))


CASES: dict[str, tuple[Bench, Array, str]] = {
    "log2 for log": (
        Bench("log2", [POSITIVE], np.log2(POSITIVE), {}),
        X,
        "it computes log2 where the reference computes log",
    ),
    "sum for mean": (
        Bench("sum", [X], X.sum(1), {"axis": 1}, scaled),
        X.mean(1),
        "it takes the sum over axis 1, where the mean is meant",
    ),
    "another axis": (
        Bench("mean", [MAP], MAP.mean(-1, keepdims=True), {"axis": -1, "keepdim": True}),
        MAP.mean(1, keepdims=True),
        "its mean goes over axis 3 of (2, 3, 4, 6), where axis 1 is meant: pass axis=-3",
    ),
    "largest for mean": (
        Bench("adaptive_max_pool2d", [MAP], MAP.max((2, 3), keepdims=True), {}),
        MAP.mean((2, 3), keepdims=True),
        "it takes the largest value over axes 2, 3, where the mean is meant",
    ),
    "zeros count": (
        Bench("mean", [np.maximum(X, 0)], np.maximum(X, 0).mean(1), {"axis": 1}),
        np.maximum(X, 0).sum(1) / np.count_nonzero(X > 0, 1),
        "the mean counts all 4 elements, also those that are left out (ignore_index, padding): divide by the number of "
        "the others",
    ),
    "another token": (
        Bench("getitem", [X], X[:, 0], {"index": ":, 0"}),
        X[:, -1],
        "it takes [:, 0] of (3, 4, 5), where [:, 3] is meant",
    ),
    "labels not shifted": (
        Bench("getitem", [X], X[:, :-1], {"index": ":, :-1"}),
        X[:, 1:],
        "it takes [:, :-1] of (3, 4, 5), where [:, 1:] is meant",
    ),
    "cut at the other end": (
        Bench("getitem", [MAP], MAP[:, :, :-1, :-1], {"index": ":, :, :-1, :-1"}),
        MAP[:, :, 1:, 1:],
        "it takes [:, :, :-1, :-1] of (2, 3, 4, 6), where [:, :, 1:4, 1:6] is meant",
    ),
    "both bounds of a clip": (
        Bench("clip", [X], np.clip(X, -0.5, 0.5), {"min": -0.5, "max": 0.5}),
        np.clip(X, -8.0, 4.0),
        "its bounds, -0.5 and 0.5, cut off what the reference keeps: widen them, or leave them out",
    ),
    "bound of a clip": (
        Bench("clip", [X], np.clip(X, 0.5, 2.0), {"min": 0.5, "max": 2.0}),
        np.clip(X, 0.05, 2.0),
        "the min of its clip is 0.5, not 0.05: pass min=0.05",
    ),
    "bound that is too much": (
        Bench("clip", [X], np.clip(X, -0.5, 9.0), {"min": -0.5, "max": 9.0}),
        X,
        "its lower bound, -0.5, cuts off what the reference keeps: widen it, or leave it out",
    ),
    "sum with something": (
        Bench("add", [ONE, OTHER], ONE + OTHER, {}),
        ONE,
        "its '+', of which only the left side is meant, is one too many: leave it out",
    ),
    "sum for product": (
        Bench("add", [ONE, OTHER], ONE + OTHER, {}),
        ONE * OTHER,
        "it computes a '+' where the reference has a '*'",
    ),
    "softmax for sigmoid": (
        Bench("softmax", [ONE], softmax(ONE), {"axis": -1}),
        1 / (1 + np.exp(-ONE)),
        "it computes softmax where the reference computes sigmoid",
    ),
    "no root": (
        Bench("sum", [X * X], np.square(X).sum(1), {"axis": 1}, scaled),
        np.sqrt(np.square(X).sum(1)),
        "sqrt of what its sum gives is meant, not that itself",
    ),
    "no tanh of a factor": (
        Bench("multiply", [ONE, OTHER], ONE * OTHER, {}),
        ONE * np.tanh(OTHER),
        "tanh of the right factor of its product is meant, not that itself",
    ),
    "temperature": (
        Bench("matmul", [X, X], X, {}, softmax),
        X / 0.7,
        "what its matmul gives is to be multiplied by 10/7",
    ),
    "an axis split in other sizes": (
        Bench("reshape", [WIDE], WIDE.reshape(2, 4, 6, 3), {}, shuffled),
        WIDE.reshape(2, 6, 4, 3),
        "the axis of 24 is split as (4, 6), where (6, 4) is meant",
    ),
    "maps laid side by side for numbers repeated": (
        Bench("tile", [MAP], np.tile(MAP, (1, 1, 2, 3)), {}),
        np.repeat(np.repeat(MAP, 2, 2), 3, 3),
        "its axes 2, 3 are repeated in turn (1, 2, 1, 2), where each number is to be repeated in its place "
        "(1, 1, 2, 2): use repeat_interleave along each of them, or interpolate by mode='nearest'",
    ),
    "parts of one size in the other order": (
        Bench("reshape", [GROUPS], GROUPS.reshape(2, 3, 3, 5), {}, shuffled),
        GROUPS.reshape(2, 3, 3, 5).swapaxes(1, 2),
        "the axis of 9 is split as (3, 3), and its parts are meant in the order 1, 0: "
        "transpose them after the reshape, or leave out a transpose that exchanges them",
    ),
    "adaptive pooling of the other kind": (
        Bench("adaptive_avg_pool2d", [MAP], MAP.reshape(2, 3, 2, 2, 3, 2).mean((3, 5)), {}),
        MAP.reshape(2, 3, 2, 2, 3, 2).max((3, 5)),
        "it takes the mean of each window, not the largest value of each window",
    ),
    "axes in another order": (
        Bench("transpose", [SPACE], SPACE.transpose(0, 2, 1, 4, 3), {"perm": [0, 2, 1, 4, 3]}, running_sum),
        SPACE.transpose(0, 2, 1, 3, 4),
        "its axes of (2, 3, 2, 2, 2) are put in the order 0, 2, 1, 4, 3, where 0, 2, 1, 3, 4 is meant",
    ),
    "range that holds both ends": (
        Bench("linspace", [], np.linspace(-1.0, 1.0, 9), {}),
        np.linspace(-1 + 1 / 9, 1 - 1 / 9, 9),
        "its linspace holds both ends, where the centres of 9 equal parts are meant",
    ),
    "range that holds centres": (
        Bench("linspace", [], np.linspace(-1 + 1 / 9, 1 - 1 / 9, 9), {}),
        np.linspace(-1.0, 1.0, 9),
        "its linspace holds the centres of 9 equal parts, where both ends are meant",
    ),
    "range that holds its end": (
        Bench("linspace", [], np.linspace(0.0, 1.0, 9), {}),
        np.linspace(0.0, 1.0, 9, endpoint=False),
        "its linspace holds the last number, where it ends one step before that",
    ),
    "range with another end": (
        Bench("linspace", [], np.linspace(1.0, 4.0, 9), {}),
        np.linspace(1.0, 8.0, 9),
        "its linspace ends at a number that is to be multiplied by 2",
    ),
    "bias of a gate": (
        Bench("add", [ONE, np.ones(())], ONE + 1, {}),
        ONE + 2.5,
        "1.5 is to be added to what its add gives",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_mistake_in_operation_is_named_with_what_is_meant(name: str) -> None:
    bench, right, says = CASES[name]
    assert causes(bench, right)[0] == says


def test_difference_that_no_number_explains_is_not_fitted() -> None:
    assert causes(Bench("matmul", [X, X], X, {}), X + 0.01 * DRAWS.standard_normal(X.shape)) == []


def test_answer_that_only_decides_what_is_rounded_is_not_named() -> None:
    steps = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0])
    floored = Bench("log2", [steps], np.log2(steps), {}, lambda x: np.where(x > 2.5, 1.0, 0.0))
    assert causes(floored, np.log10(steps) * 3) == []


@pytest.mark.parametrize("text", ["another", "...", "x", "True", "1:, None", "a:b"])
def test_index_of_anything_but_numbers_and_slices_is_not_tried(text: str) -> None:
    assert _parsed(text) is None


def test_two_calls_in_one_line_are_told_apart_by_their_columns() -> None:
    silu = ACTIVATIONS["silu"]

    def both(x: Array) -> tuple[list[Array], list[Array]]:
        return [x], [silu(x)]

    class Twice(Bench):
        @property
        def calls(self) -> tuple[FunctionCall, ...]:
            shapes = ((X.shape,), (X.shape,))
            return tuple(
                FunctionCall("silu", "m.py:7", "y = silu(silu(x))", (), *shapes, at)
                for at in ((7, 7, 9, 16), (7, 7, 4, 17))
            )

        def run(self, answers: Answers | None = None, weights: Mapping[str, Array] | None = None) -> Result:
            x = X
            for call in self.calls:
                answer = None if answers is None else answers(call, partial(both, x))
                assert not isinstance(answer, PassedOn | Again)
                x = silu(x) if answer is None else np.asarray(answer[0])
            return Result((x,))

    assert causes(Twice("silu", [X], silu(X), {}, rest=lambda x: x), silu(X))[0] == (
        "it computes silu where the reference computes no activation"
    )
