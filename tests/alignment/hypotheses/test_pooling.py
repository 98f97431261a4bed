"""Poolings of another kind or by other windows, outputs beside fills, and sums before a ReLU, each named."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pytest

from alignment.hypotheses.base import Case
from alignment.hypotheses.explain import explain
from alignment.results.findings import Finding

Array: TypeAlias = npt.NDArray[Any]
X = np.random.default_rng(0).standard_normal((2, 3, 9, 9))


def pooled(x: Array, kind: str = "max", kernel: int = 3, stride: int = 2, padding: int = 1) -> Array:
    pads = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    padded = np.pad(x, pads, constant_values=-np.inf if kind == "max" else 0.0)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), axis=(2, 3))[:, :, ::stride, ::stride]
    values: Array = windows.max((-2, -1)) if kind == "max" else windows.mean((-2, -1))
    return values


def says(kind: str, expected: Array, found: Array, *inputs: Array, **settings: Any) -> str:
    finding = Finding("module", "pool", "pool", "eval", "forward", ())
    case = Case(finding, (expected,), (found,), kind=kind, settings=settings, candidate_kind="Own", inputs=inputs)
    causes = explain(case).causes
    return causes[0].says if causes else ""


SETTINGS = {"kernel_size": 3, "stride": 2, "padding": 1}


@pytest.mark.parametrize(
    ("found", "cause"),
    [
        (pooled(X, "mean"), "it takes the mean of each window, padding counted, not the largest value of each window"),
        (
            pooled(X, "mean") / pooled(np.ones_like(X), "mean"),
            "it takes the mean of each window, not the largest value of each window",
        ),
        (pooled(X, kernel=2), "its kernel_size is 2, not 3: pass kernel_size=3"),
        (pooled(np.roll(X, 1)), ""),
    ],
)
def test_other_pooling_than_the_largest_is_named(found: Array, cause: str) -> None:
    assert says("MaxPool2d", pooled(X), found, X, **SETTINGS) == cause


def test_mean_that_leaves_padding_out_is_named_with_what_to_pass() -> None:
    right = pooled(X, "mean")
    wrong = right / pooled(np.ones_like(X), "mean")
    assert says("AvgPool2d", right, wrong, X, **SETTINGS) == (
        "the padding is left out of its means: pass exclusive=False to Paddle's, count_include_pad=True to torch's"
    )


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda y: y + 0.01, "0.01 is added to its elements beside fills of -1e+12"),
        (lambda y: y * 1.5, "its elements beside fills of -1e+12 are multiplied by 1.5"),
    ],
)
def test_small_error_beside_fills_is_named(change: Any, cause: str) -> None:
    scores = np.random.default_rng(1).standard_normal((4, 12))
    even = np.arange(12) % 2 == 0
    expected, found = (np.where(even, -1e12, one) for one in (scores, change(scores)))
    assert says("Scorer", expected, found) == cause


def test_shortcut_that_a_relu_follows_is_named() -> None:
    draw = np.random.default_rng(2)
    x, inner = (
        np.abs(draw.standard_normal((2, 8, 4, 4))) if one else draw.standard_normal((2, 8, 4, 4)) for one in (1, 0)
    )
    children = {"bn2:0/input/0": inner * 2, "bn2:0/output/0": inner}
    case = Case(
        Finding("module", "block", "block", "eval", "forward", ()),
        (np.maximum(inner + x, 0),),
        (np.maximum(inner, 0),),
        candidate_kind="Block",
        inputs=(x,),
        children=children,
        reference_children=children,
    )
    (cause,) = explain(case).causes[:1]
    assert cause.says == "its output 0 is relu of bn2, not relu of (what it gets + bn2)"
    assert cause.name == "residual lost"


def test_axis_of_one_input_that_is_lost_is_named() -> None:
    expected = np.arange(5.0)[None]
    assert says("Head", expected, expected[0]) == (
        "it gives the shape (5,), where (1, 5) is meant: an axis of length one is lost or added; "
        "name the axis of squeeze"
    )


def test_part_of_a_sum_that_the_candidate_leaves_out_is_named() -> None:
    draw = np.random.default_rng(3)
    word, place, segment = (
        draw.standard_normal((2, 8, 4)),
        draw.standard_normal((8, 4)),
        draw.standard_normal((2, 8, 4)),
    )
    own = {"word:0/output/0": word, "position:0/output/0": place, "norm:0/input/0": word + place}
    case = Case(
        Finding("module", "embedding", "embedding", "eval", "forward", ()),
        (np.tanh(word + place + segment),),
        (np.tanh(word + place),),
        candidate_kind="Embedding",
        children=own,
        reference_children={**own, "norm:0/input/0": word + place + segment, "segment:0/output/0": segment},
    )
    (cause,) = explain(case).causes[:1]
    assert cause.says == "what norm gets is position + word, not word + position + segment"


def test_own_windows_are_told_with_all_that_is_wrong() -> None:
    x = np.random.default_rng(1).standard_normal((2, 3, 8, 8))
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    right = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))[:, :, ::2, ::2].mean((-2, -1))
    wrong = np.lib.stride_tricks.sliding_window_view(x, (2, 2), axis=(2, 3))[:, :, ::2, ::2].mean((-2, -1))
    finding = Finding("module", "pool", "pool", "eval", "forward", ())
    settings = {"kernel_size": 3, "stride": 2, "padding": 1}
    own = {"ksize": 2, "stride": None, "padding": 0}
    case = Case(finding, (right,), (wrong,), "AvgPool2d", settings, "AvgPool2D", own, inputs=(x,))
    assert explain(case).causes[0].says == (
        "its kernel_size is 2, not 3, and its padding is 0, not 1: pass kernel_size=3, padding=1"
    )
