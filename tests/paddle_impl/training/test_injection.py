"""Dropout and drop path draw the same on both sides, layer by layer and call by call."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import paddle
import pytest
import torch
from timm.layers import DropPath as TimmDropPath

import paddle_impl.deit
import paddle_impl.pit
import paddle_impl.regnet
import reference_torch.deit
import reference_torch.pit
import reference_torch.regnet
from paddle_impl.layers import Dropout, DropPath
from paddle_impl.training.injection import canonical, inject
from porting import architectures
from recipe.draws import Draws, Key, Seeded
from reference_torch.training import random as torch_side

RATES = {"drop_rate": 0.3, "attn_drop_rate": 0.2, "drop_path_rate": 0.4}
PAIRS = {
    "pit_ti_distilled": (paddle_impl.pit, reference_torch.pit, 48),
    "deit_tiny_distilled": (paddle_impl.deit, reference_torch.deit, 32),
}


class Recorded:
    """Streams of a seed, with the names that were asked for."""

    def __init__(self) -> None:
        self.keys: list[tuple[Key, ...]] = []

    def stream(self, *key: Key) -> Draws:
        self.keys.append(key)
        return Seeded(0).stream(*key)


def _pair(name: str, load_twins: Callable[..., None]) -> tuple[Any, Any, np.ndarray]:
    ours, theirs, size = PAIRS[name]
    candidate = ours.create(name, image_size=size, num_classes=5, **RATES)
    reference = theirs.create(name, image_size=size, num_classes=5, **RATES)
    load_twins(architectures.build(name, image_size=size, num_classes=5), reference, candidate)
    images = np.random.default_rng(0).standard_normal((3, 3, size, size))
    return reference.train(), candidate, images


@pytest.mark.parametrize("name", PAIRS)
def test_models_in_training_are_one_function(name: str, load_twins: Callable[..., None]) -> None:
    reference, candidate, images = _pair(name, load_twins)
    evaluated = candidate.forward_features(paddle.to_tensor(images)).numpy()
    ours, theirs = Recorded(), Recorded()
    inject(candidate, ours, "model", 1, 2)
    torch_side.inject(reference, theirs, "model", 1, 2)
    for _ in range(2):
        actual = candidate.forward_features(paddle.to_tensor(images)).numpy()
        expected = reference.forward_features(torch.from_numpy(images)).detach().numpy()
        np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-10)
        assert not np.allclose(actual, evaluated, rtol=1e-2)
        evaluated = actual
    assert ours.keys == theirs.keys
    assert {key[:3] for key in ours.keys} == {("model", 1, 2)}
    assert {key[-1] for key in ours.keys} == {0, 1}
    assert ("model", 1, 2, "pos_drop", 1) in ours.keys


@pytest.mark.parametrize("name", PAIRS)
def test_second_injection_repeats_the_draws_and_none_restores_the_generator(
    name: str, load_twins: Callable[..., None]
) -> None:
    reference, candidate, images = _pair(name, load_twins)
    outputs = []
    for _ in range(2):
        inject(candidate, Seeded(0), "model")
        torch_side.inject(reference, Seeded(0), "model")
        outputs += [
            candidate.forward_features(paddle.to_tensor(images)).numpy(),
            reference.forward_features(torch.from_numpy(images)).detach().numpy(),
        ]
    np.testing.assert_array_equal(outputs[0], outputs[2])
    np.testing.assert_array_equal(outputs[1], outputs[3])
    inject(candidate, None)
    torch_side.inject(reference, None)
    actual = candidate.forward_features(paddle.to_tensor(images)).numpy()
    expected = reference.forward_features(torch.from_numpy(images)).detach().numpy()
    assert not np.allclose(actual, outputs[0])
    assert not np.allclose(expected, outputs[1])


def test_fused_attention_is_off_only_while_draws_are_injected() -> None:
    model = reference_torch.pit.create("pit_ti", image_size=48)
    fused = [module.fused_attn for module in model.modules() if hasattr(module, "fused_attn")]
    for randomness, expected in ((Seeded(0), [False] * len(fused)), (Seeded(1), [False] * len(fused)), (None, fused)):
        torch_side.inject(model, randomness)
        assert [module.fused_attn for module in model.modules() if hasattr(module, "fused_attn")] == expected


@pytest.mark.parametrize(
    ("ours", "theirs", "name"),
    [
        (paddle_impl.pit, reference_torch.pit, "pit_ti"),
        (paddle_impl.deit, reference_torch.deit, "deit_tiny"),
        (paddle_impl.regnet, reference_torch.regnet, "regnety_160"),
    ],
    ids=["pit", "deit", "regnet"],
)
def test_drawing_layers_have_the_paths_of_the_reference(ours: Any, theirs: Any, name: str) -> None:
    rates = RATES if name != "regnety_160" else {"drop_rate": 0.3, "drop_path_rate": 0.4}
    with paddle.LazyGuard(), torch.device("meta"):
        candidate, reference = ours.create(name, **rates), theirs.create(name, **rates)
    actual = _drawing(candidate.named_sublayers(), (Dropout, DropPath))
    expected = _drawing(reference.named_modules(), (torch.nn.Dropout, TimmDropPath))
    assert {canonical(path): rate for path, rate in actual.items()} == expected
    assert len(expected) > 10


def _drawing(layers: Iterable[tuple[str, Any]], kinds: tuple[type, ...]) -> dict[str, float]:
    rates = {path: vars(layer) for path, layer in layers if isinstance(layer, kinds)}
    drawing = {path: actual.get("p", 0.0) or actual.get("drop_prob", 0.0) for path, actual in rates.items()}
    return {path: rate for path, rate in drawing.items() if rate > 0}


def test_every_dropout_of_a_model_is_injectable() -> None:
    for module, name in ((paddle_impl.pit, "pit_ti"), (paddle_impl.deit, "deit_tiny")):
        layers = module.create(name, **RATES).sublayers()
        assert not [
            layer for layer in layers if isinstance(layer, paddle.nn.Dropout) and not isinstance(layer, Dropout)
        ]


@pytest.mark.parametrize("make", [lambda: Dropout(0.5), lambda: DropPath(0.5)], ids=["dropout", "drop path"])
def test_injected_layers_draw_in_training_only(make: Callable[[], Any]) -> None:
    layer, recorded = make(), Recorded()
    inject(paddle.nn.Sequential(layer), recorded)
    x = paddle.ones((8, 2), "float32")
    dropped = layer(x)
    assert set(np.unique(dropped.numpy())) == {0.0, 2.0}
    assert dropped.dtype == paddle.float32
    layer.eval()
    assert (layer(x) == x).all()
    assert len(recorded.keys) == 1


def test_gradients_pass_an_injected_mask() -> None:
    layer = Dropout(0.25)
    inject(paddle.nn.Sequential(layer), Seeded(0))
    x = paddle.ones((100,), "float64")
    x.stop_gradient = False
    y = layer(x)
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), y.numpy())
