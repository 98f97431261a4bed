"""Mistakes in functions are named from what a module gives when one call is answered otherwise; nothing else is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from alignment.arrays import Array
from alignment.backends.functions.calls import Again, FunctionCall, PassedOn
from alignment.hypotheses.arithmetic import gelu, gelu_tanh, softmax
from alignment.hypotheses.base import Case, Prediction
from alignment.hypotheses.bench import Answers, OutOfTimeError, Result, Weight
from alignment.hypotheses.calls.fitted import _factor
from alignment.hypotheses.calls.resizing import _legacy
from alignment.hypotheses.explain import explain
from alignment.hypotheses.pooling import COUNTED, LARGEST, LEFT_OUT, Windows
from alignment.hypotheses.resizing import resizing
from alignment.results.findings import Evidence, Finding

DRAWS = np.random.default_rng(5)


def normal(*shape: int) -> Array:
    return DRAWS.standard_normal(shape)


class OneFunction:
    """A module that calls one function, and gives what that gives and a number."""

    def __init__(
        self, name: str, given: Sequence[Array], returned: Sequence[Array], settings: Mapping[str, Any]
    ) -> None:
        self._given, self._returned = list(given), list(returned)
        shown = tuple((key, str(value)) for key, value in settings.items())
        takes, gives = (tuple(array.shape for array in arrays) for arrays in (given, returned))
        call = FunctionCall(name, "my_model.py:7", f"y = {name}(x)", shown, takes, gives)
        self.calls: tuple[FunctionCall, ...] = (call,)
        self.weights: Mapping[str, Weight] = {}
        self.tensors: Mapping[str, Array] = {}
        self.runs = 0

    def run(self, answers: Answers | None = None, weights: Mapping[str, Array] | None = None) -> Result:
        self.runs += 1
        answer = None if answers is None else answers(self.calls[0], lambda: (self._given, self._returned))
        assert not isinstance(answer, PassedOn | Again)
        return Result(tuple(2.5 * np.asarray(array) for array in (self._returned if answer is None else answer)))


def explained(bench: Any, expected: Sequence[Array], found: Sequence[Array]) -> Finding:
    finding = Finding("module", "part", "part", "eval", "forward", (Evidence("output 0", 1.0, ""),))
    right, wrong = (tuple(2.5 * array for array in arrays) for arrays in (expected, found))
    return explain(Case(finding, right, wrong, kind="Any", candidate_kind="Own", bench=lambda: bench))


X, IMAGE, SCORES = normal(3, 4, 5), normal(2, 3, 4, 6), normal(2, 2, 4, 4)
POSITIVE = np.abs(X) + 0.1
DEVIATION = X.std(1)
MASK = np.full((4, 4), -1e9)
LOGITS, LABELS = normal(2, 6, 4), np.array([[0, 1, 2, 3, 0, 1], [2, 2, 1, 0, 3, 3]])
QKV = [normal(2, 3), normal(2, 3), normal(2, 3)]
HEADS = normal(2, 5, 12)


def resized(rows: Array, columns: Array) -> Array:
    return np.asarray(rows @ IMAGE @ columns.T)


def entropy(left_out: int, count: int | None = None) -> Array:
    logs = LOGITS - np.log(np.exp(LOGITS).sum(-1, keepdims=True))
    kept = np.not_equal(LABELS, left_out)
    losses = -np.take_along_axis(logs, LABELS[..., None], -1)[..., 0] * kept
    return np.asarray(losses.sum() / (kept.sum() if count is None else count))


BILINEAR = resized(resizing(4, 8, "bilinear", corners=False), resizing(6, 12, "bilinear", corners=False))
CASES: dict[str, tuple[str, list[Array], list[Array], list[Array], dict[str, Any], str]] = {
    "softmax axis": ("softmax", [X], [softmax(X, 1)], [softmax(X, -1)], {"axis": 1}, "axis 1, not 2: pass axis=-1"),
    "tanh GELU": ("gelu", [X], [gelu_tanh(X)], [gelu(X)], {"approximate": True}, "the exact GELU (erf)"),
    "slope": (
        "leaky_relu",
        [X],
        [np.where(X > 0, X, 0.01 * X)],
        [np.where(X > 0, X, 0.2 * X)],
        {},
        "pass negative_slope=0.2",
    ),
    "normalisation axis": (
        *("normalize", [X], [X / np.linalg.norm(X, axis=1, keepdims=True)]),
        *([X / np.linalg.norm(X, axis=2, keepdims=True)], {"axis": 1}, "over axis 1, not 2: pass axis=-1"),
    ),
    "normalisation eps": (
        *("normalize", [1e-4 * X], [X / np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 10)]),
        *([X / np.linalg.norm(X, axis=1, keepdims=True)], {"axis": 1, "epsilon": 1e-3}, "is 0.001, not 1e-12"),
    ),
    "unbiased std": (
        "std",
        [X],
        [X.std(1, ddof=1)],
        [DEVIATION],
        {},
        "unbiased one, not the biased: pass unbiased=False",
    ),
    "biased var": ("var", [X], [X.var(1)], [X.var(1, ddof=1)], {}, "biased one, not the unbiased: pass unbiased=True"),
    "largest for the mean": (
        *("max_pool2d", [IMAGE], [Windows((2, 2), (2, 2), (0, 0), LARGEST).run(IMAGE)]),
        *([Windows((2, 2), (2, 2), (0, 0), LEFT_OUT).run(IMAGE)], {"kernel_size": 2}),
        "it takes the largest value of each window, not the mean of each window",
    ),
    "padding counts": (
        *("avg_pool2d", [IMAGE], [Windows((3, 3), (2, 2), (1, 1), LEFT_OUT).run(IMAGE)]),
        [Windows((3, 3), (2, 2), (1, 1), COUNTED).run(IMAGE)],
        {"kernel_size": 3, "stride": 2, "padding": 1, "exclusive": True},
        "the padding is left out of its means: pass exclusive=False to Paddle's",
    ),
    "smaller windows": (
        *("avg_pool2d", [IMAGE], [Windows((2, 2), (2, 2), (0, 0), LEFT_OUT).run(IMAGE)]),
        [Windows((3, 3), (2, 2), (1, 1), LEFT_OUT).run(IMAGE)],
        {"kernel_size": 2, "stride": 2},
        "the kernel_size is 2, not 3 and padding is 0, not 1 in its avg_pool2d: pass kernel_size=3, padding=1",
    ),
    "dropout": ("dropout", [X], [np.where(X > 1, 0, X / 0.7)], [X], {"p": 0.3}, "a dropout of 0.3 that is called"),
    "mask too wide": ("triu", [MASK], [np.triu(MASK, 2)], [np.triu(MASK, 1)], {"diagonal": 2}, "diagonal=2, not 1"),
    "comparison": (
        *("greater_equal", [np.arange(4)[:, None], np.arange(4)], [np.arange(4)[:, None] >= np.arange(4)]),
        *([np.arange(4)[:, None] > np.arange(4)], {}, "it is >=, not >"),
    ),
    "positions": ("arange", [], [np.arange(8.0)], [np.arange(8.0) + 1], {}, "off by -1: begin them 1 later"),
    "roll": ("roll", [X], [np.roll(X, 1, 1)], [np.roll(X, -1, 1)], {"shifts": 1, "axis": 1}, "by 1, not -1"),
    "corners": (
        *(
            "interpolate",
            [IMAGE],
            [resized(resizing(4, 8, "bilinear", corners=True), resizing(6, 12, "bilinear", corners=True))],
        ),
        *(
            [BILINEAR],
            {"mode": "bilinear", "align_corners": True},
            "align_corners=True, not mode='bilinear', align_corners=False",
        ),
    ),
    "align_mode": (
        *("interpolate", [IMAGE], [resized(_legacy(4, 8), _legacy(6, 12))], [BILINEAR]),
        *({"mode": "bilinear", "align_mode": 1}, "align_mode=1, not mode='bilinear', align_corners=False"),
    ),
    "bicubic": (
        *(
            "interpolate",
            [IMAGE],
            [resized(resizing(4, 8, "bicubic", corners=False), resizing(6, 12, "bicubic", corners=False))],
        ),
        *([BILINEAR], {"mode": "bicubic"}, "mode='bicubic', align_corners=False, not mode='bilinear'"),
    ),
    "no scale": (
        *("matmul", [normal(2, 2, 4, 9), normal(2, 2, 9, 4)], [SCORES], [SCORES / 3], {}),
        "lacks the scale 1 / sqrt(9)",
    ),
    "no causal mask": (
        *(
            "softmax",
            [SCORES],
            [softmax(SCORES)],
            [softmax(np.where(np.tri(4, dtype=bool), SCORES, -np.inf))],
            {"axis": -1},
        ),
        "no causal mask",
    ),
    "ignore_index": ("cross_entropy", [LOGITS, LABELS], [entropy(-100)], [entropy(0)], {}, "is -100, not 0"),
    "ignored in the mean": (
        *("cross_entropy", [LOGITS, LABELS], [entropy(0, LABELS.size)], [entropy(0)], {"ignore_index": 0}),
        "divides by all labels",
    ),
    "mean of all": (
        *(
            "mean",
            [np.array([0.0, 2.0, 4.0, 0.0])],
            [np.array(1.5)],
            [np.array(3.0)],
            {},
            "the mean counts all 4 elements",
        ),
    ),
    "downscaled dropout": (
        *("dropout", [X], [0.8 * X], [X], {"p": 0.2, "mode": "downscale_in_infer"}, "multiplies by 0.8 in evaluation"),
    ),
    "bounds of hardtanh": (
        *("hardtanh", [3 * X], [np.clip(3 * X, -1, 1)], [np.clip(3 * X, -2, 2)], {"min": -1.0, "max": 1.0}),
        "pass min=-2, max=2",
    ),
    "slope of hardsigmoid": (
        *("hardsigmoid", [X], [np.clip(0.2 * X + 0.5, 0, 1)], [np.clip(X / 6 + 0.5, 0, 1)], {"slope": 0.2}),
        "the slope of its hardsigmoid is 0.2, not 1 / 6",
    ),
    "order of a chunk": ("chunk", [np.concatenate(QKV)], QKV, [QKV[1], QKV[0], QKV[2]], {}, "where 1, 0, 2 is meant"),
    "order of a concat": (
        *(
            "concat",
            QKV[:2],
            [np.concatenate(QKV[:2])],
            [np.concatenate(QKV[1::-1])],
            {"axis": 0},
            "where 1, 0 is meant",
        ),
    ),
    "heads in turn": ("tile", [X], [np.tile(X, (1, 2, 1))], [np.repeat(X, 2, 1)], {}, "use repeat_interleave"),
    "heads in place": ("repeat_interleave", [X], [np.repeat(X, 2, 1)], [np.tile(X, (1, 2, 1))], {}, "use tile"),
    "copies joined": (
        "concat",
        [X, X],
        [np.concatenate([X, X], 1)],
        [np.repeat(X, 2, 1)],
        {"axis": 1},
        "use repeat_interleave",
    ),
    "heads last": (
        *("reshape", [HEADS], [HEADS.reshape(2, 5, 3, 4)], [HEADS.reshape(2, 5, 4, 3).swapaxes(2, 3)], {}),
        "split as (3, 4), where it holds (4, 3)",
    ),
    "heads not moved back": (
        *("reshape", [SCORES], [SCORES.reshape(2, 4, 8)], [SCORES.transpose(0, 2, 1, 3).reshape(2, 4, 8)], {}),
        "are to be exchanged to 2, 1, 3",
    ),
}


@pytest.mark.parametrize("title", CASES)
def test_wrong_function_is_named_with_what_to_write(title: str) -> None:
    name, given, returned, right, settings, says = CASES[title]
    finding = explained(OneFunction(name, given, returned, settings), right, returned)
    assert says in finding.causes[0].says
    assert finding.causes[0].look_at == f"my_model.py:7: y = {name}(x)"
    assert finding.causes[0].after < 1e-9


@pytest.mark.parametrize("title", CASES)
def test_what_no_single_answer_explains_gets_no_name(title: str) -> None:
    name, given, returned, right, settings, _ = CASES[title]
    if right[0].dtype == bool or right[0].size < 2:
        return
    slightly = [array * (1 + 1e-5 * normal(*array.shape)) for array in right]
    assert not explained(OneFunction(name, given, returned, settings), slightly, returned).causes


class Rotary(OneFunction):
    """Scores of queries and keys whose neighbouring pairs are turned by their position."""

    def __init__(self) -> None:
        super().__init__("softmax", [SCORES], [SCORES], {"axis": -1})
        self.calls = (*self.calls, FunctionCall("matmul", "", "", (), ((1, 1, 5, 4), (1, 1, 4, 5)), ((1, 1, 5, 5),)))
        self.x = normal(5, 6)
        self.weights = {name: Weight(name[0], normal(6, 4), 1) for name in ("q.weight", "k.weight")}

    def run(self, answers: Answers | None = None, weights: Mapping[str, Array] | None = None) -> Result:
        held = {name: weight.array for name, weight in self.weights.items()} | dict(weights or {})
        return Result((self.scores(held, (2, 2), 0),))

    def scores(self, held: Mapping[str, Array], split: tuple[int, int], first: int) -> Array:
        q, k = (self._turned(self.x @ held[name], split, first) for name in ("q.weight", "k.weight"))
        return np.asarray(q @ k.T)

    @staticmethod
    def _turned(y: Array, split: tuple[int, int], first: int) -> Array:
        angles = np.arange(len(y))[:, None] * np.array([1.0, 0.1])
        parts = y.reshape(len(y), *split)
        real, imaginary = (parts[:, :, at] if first == 0 else parts[:, at] for at in (0, 1))
        cos, sin = np.cos(angles), np.sin(angles)
        return np.concatenate([real * cos - imaginary * sin, real * sin + imaginary * cos], 1)


def test_pairs_that_should_be_halves_are_named_by_the_rows_of_queries_and_keys() -> None:
    bench = Rotary()
    held = {name: weight.array for name, weight in bench.weights.items()}
    right, wrong = bench.scores(held, (2, 2), 1), bench.scores(held, (2, 2), 0)
    finding = Finding("module", "attn", "attn", "eval", "forward", (Evidence("output 0", 1.0, ""),))
    done = explain(Case(finding, (right,), (wrong,), candidate_kind="Own", bench=lambda: bench))
    assert done.causes[0].name == "rotary order"
    assert "turn neighbouring pairs or halves, but the rows of q and k are ordered for the other" in done.causes[0].says


class Slow(OneFunction):
    def run(self, answers: Answers | None = None, weights: Mapping[str, Array] | None = None) -> Result:
        raise OutOfTimeError


def test_trials_end_without_a_name_when_the_time_is_over() -> None:
    assert not explained(Slow("softmax", [X], [softmax(X, 1)], {"axis": 1}), [softmax(X)], [softmax(X, 1)]).causes


def test_costly_trials_are_left_out_where_another_mistake_explains_the_finding() -> None:
    bench = OneFunction("relu", [X], [np.maximum(X, 0)], {})
    finding = Finding("module", "act", "act", "eval", "forward", (Evidence("output 0", 1.0, ""),))
    right = np.where(X > 0, X, 0.2 * X)
    settings = {"negative_slope": 0.2}
    case = Case(finding, (right,), (np.maximum(X, 0),), "LeakyReLU", settings, "ReLU", inputs=(X,), bench=lambda: bench)
    assert explain(case).causes[0].name == "relu"
    assert not bench.runs


def test_factor_of_zero_is_said_to_be_one_too_many() -> None:
    assert _factor("matmul", -1e-17) == "what its matmul gives is one too many: leave it out"
    assert _factor("matmul", 0.125) == "what its matmul gives is to be divided by 8"
    assert _factor("concat", -1 + 1e-12) == "what its concat gives has the wrong sign: negate it"


def test_what_is_computed_in_place_of_an_unused_tensor_is_named_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    zeros, ones = [np.zeros(3)], [np.ones(3)]

    def idle(_: Case) -> Any:
        yield Prediction("not used", "its scale takes no part", "", ones, zeros, ones)

    def telling(_: Case) -> Any:
        yield Prediction("part lost", "its output is what it gets", "", ones, zeros, ones)

    monkeypatch.setattr("alignment.hypotheses.explain.HYPOTHESES", {"module": (idle, telling)})
    monkeypatch.setattr("alignment.hypotheses.explain.LAST", idle)
    finding = explained(OneFunction("relu", ones, ones, {}), zeros, ones)
    assert [cause.name for cause in finding.causes] == ["part lost", "not used"]
