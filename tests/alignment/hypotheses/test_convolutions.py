"""Mistakes in convolutions are named with what to pass, and the arithmetic is torch's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from alignment.arrays import Array
from alignment.hypotheses.arithmetic import convolve, spread
from alignment.hypotheses.base import Case
from alignment.hypotheses.explain import explain
from alignment.results.findings import Evidence, Finding

DRAWS = np.random.default_rng(13)
X, WEIGHT, BIAS = (DRAWS.standard_normal(shape) for shape in ((2, 4, 9, 9), (6, 2, 3, 3), (6,)))
SPREAD = DRAWS.standard_normal((4, 3, 3, 3))
OWN = {"stride": [1, 1], "padding": 2, "dilation": [2, 2], "groups": 2}


def causes(
    kind: str, weight: Array, settings: dict[str, Any], own: dict[str, Any], right: Array, wrong: Array
) -> list[str]:
    finding = Finding("module", "conv", "conv", "eval", "forward", (Evidence("output 0", 1.0, ""),))
    case = Case(
        *(finding, (right,), (wrong,), kind, settings, "Conv2D", own),
        parameters={"weight": weight, "bias": BIAS},
        inputs=(X,),
    )
    return [cause.says for cause in explain(case).causes]


def convolved(**changed: Any) -> Array:
    return convolve(
        X, WEIGHT, BIAS, **{"stride": (1, 1), "padding": (2, 2), "groups": 2, "dilation": (2, 2), **changed}
    )


@pytest.mark.parametrize(
    ("changed", "own", "says"),
    [
        (
            {"padding": (1, 1), "dilation": (1, 1)},
            {"padding": 1, "dilation": [1, 1]},
            "its padding is 1, not 2, and its dilation is 1, not 2: pass padding=2, dilation=2",
        ),
        (
            {"padding": ((0, 4), (0, 4))},
            {"padding": [0, 4, 0, 4]},
            "its padding is (0, 4), not 2: pass padding=2",
        ),
        ({"mode": "reflect"}, {}, "it pads by reflect, not with zeros: pass padding_mode='zeros'"),
        ({"padding": (3, 3)}, {}, "its padding is 3, not 2"),
        ({"stride": (2, 2)}, {"stride": (2, 2)}, "its stride is 2, not 1: pass stride=1"),
    ],
)
def test_convolution_with_other_arguments(changed: dict[str, Any], own: dict[str, Any], says: str) -> None:
    assert causes("Conv2d", WEIGHT, OWN, {**OWN, **own}, convolved(), convolved(**changed))[0] == says


def test_zeros_for_a_reflected_border() -> None:
    settings = {**OWN, "padding_mode": "reflect"}
    says = causes("Conv2d", WEIGHT, settings, settings, convolved(mode="reflect"), convolved())
    assert says[0] == "it pads with zeros, not by reflect: pass padding_mode='reflect'"


def test_transposed_convolution_that_cuts_off_elsewhere() -> None:
    settings = {"stride": 2, "padding": 1, "output_padding": 1, "groups": 1}
    right = spread(X, SPREAD, BIAS[:3], (2, 2), (1, 1), (1, 1))
    wrong = spread(X, SPREAD, BIAS[:3], (2, 2), (0, 0), (0, 0))[:, :, : right.shape[2], : right.shape[3]]
    assert right.shape == wrong.shape
    finding = Finding("module", "up", "up", "eval", "forward", (Evidence("output 0", 1.0, ""),))
    arrays = {"weight": SPREAD, "bias": BIAS[:3]}
    other = spread(X, SPREAD, BIAS[:3], (2, 2), (2, 2), (2, 2))
    case = Case(finding, (right,), (other,), "ConvTranspose2d", settings, "Own", {}, arrays, (X,))
    assert explain(case).causes[0].says == (
        "it cuts off as with padding=2, output_padding=2: pass padding=1, output_padding=1"
    )


@pytest.mark.parametrize("groups", [1, 2])
def test_transposed_convolution_is_that_of_torch(groups: int) -> None:
    torch = pytest.importorskip("torch")
    weight = DRAWS.standard_normal((4, 3, 3, 2))
    ours = spread(X, weight, None, (2, 3), (1, 0), (1, 2), groups, (2, 1))
    theirs = torch.nn.functional.conv_transpose2d(
        torch.from_numpy(X), torch.from_numpy(weight), None, (2, 3), (1, 0), (1, 2), groups, (2, 1)
    )
    np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-12)
