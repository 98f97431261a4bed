"""Known mistakes, each made with NumPy, and named."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pytest

from alignment.hypotheses.arithmetic import convolve, gelu, gelu_tanh
from alignment.hypotheses.base import Case, Prediction, predictions
from alignment.hypotheses.explain import explain
from alignment.hypotheses.resizing import resizing
from alignment.hypotheses.wiring import express
from alignment.results.findings import Finding, FindingKind
from porting.operations.embeddings import bicubic

Array: TypeAlias = npt.NDArray[Any]
DRAW = np.random.default_rng(0)
NORMAL = DRAW.standard_normal


def finding(kind: FindingKind, path: str = "part", direction: str = "forward", mode: str = "eval") -> Finding:
    return Finding(kind, path, path, mode, direction, ())


def causes(case: Case) -> list[str]:
    return [cause.name for cause in explain(case).causes]


def parameter(name: str, right: Array, change: Callable[[Array], Array], **others: Array) -> list[str]:
    right = right.astype(np.float32).astype(np.float64)
    case = Case(finding("parameter", name), (right,), (change(right),), parameters={name: right, **others})
    return causes(case)


OTHER = NORMAL((6, 6))
SQUARE, QKV, KERNEL, BIAS = NORMAL((6, 6)), NORMAL((24, 8)), NORMAL((5, 3, 4, 4)), NORMAL(12)


@pytest.mark.parametrize(
    ("name", "right", "change", "cause"),
    [
        ("proj.weight", SQUARE, lambda a: a.T, "not transposed"),
        ("proj.weight", SQUARE, lambda a: a[[1, 0, 2, 3, 4, 5]], "rows swapped"),
        ("proj.weight", SQUARE, lambda a: a[:, ::-1], "columns reordered"),
        ("proj.weight", SQUARE, lambda a: a * 0, "lost"),
        ("proj.weight", SQUARE, lambda _: OTHER, "holds another"),
        ("qkv.weight", QKV, lambda a: np.concatenate((a[8:16], a[:8], a[16:])), "q/k/v order"),
        ("qkv.weight", QKV, lambda a: a.reshape(3, 2, 4, 8).swapaxes(0, 1).reshape(24, 8), "head split order"),
        ("qkv.bias", BIAS, lambda a: a + np.repeat([0, 1.0, 0], 4), "k bias shifted"),
        ("conv.weight", KERNEL, lambda a: a[:, :, ::-1, ::-1], "kernel flipped"),
        ("conv.weight", KERNEL, lambda a: a.swapaxes(2, 3), "rows and columns swapped"),
        ("conv.weight", KERNEL, lambda a: a[:, ::-1], "channel order"),
        ("pos_embed", NORMAL((1, 11, 4)), lambda a: np.concatenate((a[:, 2:], a[:, :2]), 1), "class tokens last"),
        ("cls_token", NORMAL((1, 2, 4)), lambda a: a[:, ::-1], "class token order"),
        ("norm.bias", BIAS, lambda a: a + 1e-4, "shifted"),
        ("norm.bias", BIAS, lambda a: a * 0.999, "scaled"),
        ("norm.bias", BIAS, lambda a: a.astype(np.float16).astype(np.float64), "rounded"),
    ],
)
def test_changed_weight_names_its_mistake(
    name: str, right: Array, change: Callable[[Array], Array], cause: str
) -> None:
    assert parameter(name, right, change, other=OTHER)[0] == cause


@pytest.mark.parametrize(
    ("right", "change", "where"),
    [
        (BIAS, lambda a: a + 0.3 * np.eye(12)[3], ["only these elements differ: [3]"]),
        (SQUARE, lambda a: a + np.eye(6)[2][:, None] * np.arange(1.0, 7) ** 2, ["only row 2 differs"]),
        (SQUARE, lambda a: a + np.arange(36.0).reshape(6, 6) ** 2, []),
        (NORMAL(1), lambda a: a + 1, []),
    ],
)
def test_place_of_a_difference_is_evidence_and_no_cause(
    right: Array, change: Callable[[Array], Array], where: list[str]
) -> None:
    explained = explain(Case(finding("parameter", "norm.bias"), (right,), (change(right),), parameters={}))
    assert explained.causes == (), "neither a place nor a number fitted to one element explains anything"
    assert [row.reason for row in explained.evidence if row.what == "where"] == where


@pytest.mark.parametrize("tokens", [0, 2])
@pytest.mark.parametrize(("kernel", "corners"), [("bilinear", False), ("bilinear", True), ("bicubic", True)])
def test_position_embedding_resized_by_another_filter_is_named(kernel: str, corners: bool, tokens: int) -> None:
    original, head = NORMAL((1, 5, 4, 4)), NORMAL((1, tokens, 5))

    def as_stored(maps: Array) -> Array:
        flat = maps.reshape(1, 5, -1).transpose(0, 2, 1)
        stored = maps if tokens == 0 else np.concatenate((head, flat), axis=1)
        return stored.astype(np.float32)

    matrix = resizing(4, 7, kernel, corners=corners)
    right, found = as_stored(bicubic(original, 7, 7)), as_stored(matrix @ original @ matrix.T)
    cause = explain(Case(finding("parameter", "pos_embed"), (right,), (found,), parameters={})).causes[0]
    assert cause.name == "position embedding resize"
    assert f"the {kernel} filter{', with align_corners=True' * corners};" in cause.says
    assert "from 4x4 to 7x7" in cause.look_at


def test_random_change_of_a_weight_has_no_cause() -> None:
    assert parameter("proj.weight", SQUARE, lambda a: a + NORMAL(a.shape)) == []


def norm(x: Array, eps: float) -> Array:
    result: Array = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps)
    return result


def module(kind: str, x: Array, right: Array, found: Array, **fields: Any) -> list[str]:
    case = Case(finding("module"), (right,), (found,), kind=kind, candidate_kind=kind, inputs=(x,), **fields)
    return causes(case)


def test_changed_layer_names_its_mistake() -> None:
    x, weight, bias = NORMAL((2, 5, 6)), NORMAL((6, 6)), NORMAL(6)
    given = {"weight": weight, "bias": bias}
    scaled = {"weight": NORMAL(6), "bias": bias}
    right = norm(x, 1e-6) * scaled["weight"] + bias
    wide = norm(x, 1e-5) * scaled["weight"] + bias
    assert module("LayerNorm", x, right, wide, settings={"eps": 1e-6}, parameters=scaled)[0] == "layernorm eps"
    assert module("GELU", x, gelu(x), gelu_tanh(x))[0] == "gelu tanh"
    assert module("Linear", x, x @ weight.T + bias, x @ weight.T, parameters=given)[0] == "bias lost"
    assert module("Linear", x, x @ weight.T + bias, x @ weight + bias, parameters=given)[0] == "not transposed"
    assert module("Any", x, gelu(x), gelu(x) - x)[0] == "residual lost"
    assert module("Any", x, gelu(x), NORMAL(x.shape)) == []


def test_epsilon_of_a_layer_norm_of_channels_is_named() -> None:
    for shape in ((4, 6, 1, 1), (2, 6, 3, 5)):
        x, weight = NORMAL(shape), NORMAL(6)
        apart = x - x.mean(1, keepdims=True)
        right, wide = (
            apart / np.sqrt(np.square(apart).mean(1, keepdims=True) + eps) * weight[:, None, None]
            for eps in (1e-6, 1e-5)
        )
        given = {"settings": {"eps": 1e-6}, "parameters": {"weight": weight}}
        assert module("LayerNorm2d", x, right, wide, **given)[0] == "layernorm eps"


def test_factor_that_nobody_writes_is_no_cause() -> None:
    right = NORMAL((4, 6))
    assert module("Own", NORMAL((4, 6)), right, right * 0.9999984) == []
    assert module("Own", NORMAL((4, 6)), right, right * 0.999) == ["scaled"]


def test_changed_convolution_names_its_mistake() -> None:
    image, kernel = NORMAL((2, 3, 9, 9)), NORMAL((4, 3, 3, 3))
    settings = {"stride": [2, 2], "padding": [1, 1], "groups": 1}
    right = convolve(image, kernel, None, (2, 2), (1, 1))
    given: dict[str, Any] = {"settings": settings, "parameters": {"weight": kernel}}
    wrong = convolve(image, kernel, None, (2, 2), (0, 0))
    assert module("Conv2d", image, right, wrong, **given)[0] == "padding"
    wrong = convolve(image, kernel, None, (2, 2), (1, 1), mode="reflect")
    assert module("Conv2d", image, right, wrong, **given)[0] == "padding mode"


def test_pooling_of_another_kind_is_named() -> None:
    x = NORMAL((2, 5, 4, 4))
    mean, largest = x.mean((2, 3)), x.max((2, 3))
    assert module("SelectAdaptivePool2d", x, mean, largest)[0] == "pooling"
    assert module("SelectAdaptivePool2d", x, largest, mean)[0] == "pooling"
    assert module("SelectAdaptivePool2d", x, mean, x.sum((2, 3)))[0] == "pooling"


def test_dropout_is_recognised_by_its_zeros() -> None:
    x = NORMAL((4, 50))
    kept = DRAW.random(x.shape) > 0.1
    assert module("Dropout", x, x, np.where(kept, x / 0.9, 0))[0] == "dropout left on"


def test_lost_or_scaled_gradient_is_named() -> None:
    x, gradient = NORMAL((2, 6)), NORMAL((2, 6))
    extra = {"expected/input gradient 0": gradient, "found/input gradient 0": 2 * gradient}
    case = Case(finding("module", direction="backward"), (x,), (x,), kind="Any", inputs=(x,), extra=extra)
    assert causes(case) == ["gradient scaled"]
    extra["found/input gradient 0"] = 0 * gradient
    assert causes(case)[0] == "gradient lost"


def test_inverted_batchnorm_momentum_is_named() -> None:
    old, new = NORMAL(4), NORMAL(4)
    statistics = {"before": old, "expected": 0.9 * old + 0.1 * new, "found": 0.1 * old + 0.9 * new}
    extra = {f"{what}/running statistic bn.running_mean": array for what, array in statistics.items()}
    x = NORMAL((2, 4, 3, 3))
    case = Case(finding("module", mode="train"), (x,), (x,), kind="BatchNorm2d", inputs=(x,), extra=extra)
    assert causes(case) == ["batchnorm momentum"]


def loss(name: str, value: float, right: float) -> list[str]:
    extra = {"logits": LOGITS, "labels": LABELS, "soft_targets": np.full((3, 4), 0.25)}
    return causes(Case(finding("function", name), (np.asarray(right),), (np.asarray(value),), extra=extra))


LOGITS, LABELS = NORMAL((3, 4)), np.array([0, 3, 1])


def entropy(target: Array) -> float:
    logs = LOGITS - np.log(np.exp(LOGITS).sum(1, keepdims=True))
    return float(-(target * logs).sum(1).mean())


def test_changed_loss_names_its_mistake() -> None:
    hot = np.eye(4)[LABELS]
    right = entropy(hot)
    assert loss("loss/cross_entropy", 3 * right, right) == ["reduction"]
    assert loss("loss/cross_entropy", entropy(hot * 0.9 + 0.025), right) == ["label smoothing"]
    smoothed = entropy(hot * 0.9 + 0.025)
    assert loss("loss/label_smoothing", right, smoothed) == ["label smoothing ignored"]
    assert loss("loss/label_smoothing", entropy(hot * 0.8 + 0.05), smoothed) == ["label smoothing"]


def test_tensor_is_expressed_as_a_sum() -> None:
    x, y, z = NORMAL((2, 5, 6)), NORMAL((2, 5, 6)), NORMAL((2, 3, 6))
    total = express(x + 0.5 * y, {"x": x, "y": y, "z": z})
    assert total is not None
    assert str(total) in ("x + 0.5 y", "0.5 y + x")
    total = express(z[:, 1], {"x": x, "z": z})
    assert str(total) == "z[:, 1]"
    assert express(x * y, {"x": x, "y": y}) is None


def test_sum_is_found_where_what_is_made_of_its_parts_is_more_like_it() -> None:
    x = np.abs(NORMAL((2, 4, 6)))
    terms = {"x": x, **{f"norm{place}": (x - x.mean(place)) / x.std(place) for place in (0, 1, 2)[:1]}}
    terms |= {"other": (x - x.mean()) / x.std() + 0.05 * NORMAL(x.shape)}
    target = x + 0.5 * terms["norm0"] + terms["other"]
    total = express(target, terms)
    assert total is not None
    assert set(total.terms) == {*terms}


@pytest.mark.parametrize(
    ("kind", "shape", "mean"),
    [("BatchNorm1d", (9, 4), (0,)), ("BatchNorm1d", (3, 4, 5), (0, 2)), ("BatchNorm3d", (3, 4, 2, 2, 2), (0, 2, 3, 4))],
)
def test_epsilon_of_a_batch_norm_is_named_for_any_number_of_axes(
    kind: str, shape: tuple[int, ...], mean: tuple[int, ...]
) -> None:
    x, places = NORMAL(shape), (slice(None), *(None,) * (len(shape) - 2))
    given = {name: np.abs(NORMAL(4)) for name in ("running_mean", "running_var", "weight", "bias")}
    centred, width, scale, shift = (
        *(x - given["running_mean"][places], given["running_var"][places]),
        *(given["weight"][places], given["bias"][places]),
    )
    right, wide = (centred / np.sqrt(width + eps) * scale + shift for eps in (1e-5, 1e-3))
    settings: dict[str, Any] = {"settings": {"eps": 1e-5}, "parameters": given}
    assert module(kind, x, right, wide, **settings)[0] == "batchnorm eps"
    own = (x - x.mean(mean)[places]) / np.sqrt(x.var(mean)[places] + 1e-5) * scale + shift
    assert module(kind, x, right, own, **settings)[0] == "train mode"


def test_other_epsilon_is_no_factor_beside_fills_in_float32() -> None:
    x = NORMAL((4, 17, 32)).astype(np.float32)
    mean = np.square(x).mean(-1, keepdims=True)
    right, wide = (x / np.sqrt(mean + np.float32(eps)) for eps in (1e-6, 1e-5))
    assert module("Own", x, right, wide) == []


def test_epsilon_of_a_layer_norm_over_two_axes_is_named() -> None:
    x, given = NORMAL((3, 4, 5)), {"weight": NORMAL((4, 5)), "bias": NORMAL((4, 5))}
    middle = x - x.mean((1, 2), keepdims=True)
    right, wide = (
        middle / np.sqrt(x.var((1, 2), keepdims=True) + eps) * given["weight"] + given["bias"] for eps in (1e-5, 1e-3)
    )
    assert module("LayerNorm", x, right, wide, settings={"eps": 1e-5}, parameters=given)[0] == "layernorm eps"


@pytest.mark.parametrize("shape", [(1, 10), (2, 6), (4, 10)])
@pytest.mark.parametrize("count", [1, 3, 4, 12])
def test_unrelated_tensor_is_no_sum(shape: tuple[int, ...], count: int) -> None:
    generator = np.random.default_rng(count)
    for _ in range(20):
        terms = {f"part{number}": generator.standard_normal(shape) for number in range(count)}
        assert express(generator.standard_normal(shape), terms) is None


def test_smallest_fitting_sum_is_returned() -> None:
    terms = {f"part{number}": NORMAL((3, 40)) for number in range(9)}
    terms["both"] = terms["part0"] + terms["part1"]
    six = sum((terms[f"part{number}"] for number in range(6)), np.zeros((3, 40)))
    total = express(six, terms)
    assert total is not None
    assert set(total.terms) == {"both", *(f"part{number}" for number in range(2, 6))}


def test_random_output_of_a_module_with_many_children_has_no_cause() -> None:
    generator = np.random.default_rng(1)
    children = {f"m{number}:0/output/0": generator.standard_normal((1, 10)) for number in range(12)}
    right, wrong = generator.standard_normal((2, 1, 10))
    case = Case(
        finding("module"), (right,), (wrong,), kind="Any", children=children, reference_children=children, inputs=()
    )
    assert causes(case) == []


def test_failing_hypothesis_does_not_stop_the_others() -> None:
    def confused(case: Case) -> Iterator[Prediction]:
        yield Prediction("of nothing", "says", "place", [None])  # type: ignore[list-item] # a wrong value on purpose
        raise ValueError("not enough values to unpack")

    def right(case: Case) -> Iterator[Prediction]:
        yield Prediction("right", "says", "place", list(case.found))

    case = Case(finding("module"), (NORMAL(8),), (NORMAL(8),))
    assert [prediction.name for prediction in predictions((confused, right), case)] == ["of nothing", "right"]
