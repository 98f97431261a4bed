"""The layers start where torch's do, drop what they should, and compute what Paddle's own operators compute."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest

from paddle_impl import kernels, layers, pit

EAGER_OR_NOT = pytest.mark.parametrize("eager", [True, False], ids=["arranged for CPU", "Paddle's operators"])


def random(*shape: int, seed: int = 0) -> paddle.Tensor:
    return paddle.to_tensor(np.random.default_rng(seed).standard_normal(shape), stop_gradient=False)


@pytest.mark.parametrize(
    ("make", "fan_in"),
    [
        (lambda: layers.Linear(300, 400), 300),
        (lambda: layers.Conv2D(3, 64, 16, stride=8), 3 * 16 * 16),
        (lambda: layers.Conv2D(512, 4096, 3, groups=512), 9),
    ],
    ids=["linear", "patches", "depthwise"],
)
def test_initial_values_are_torchs(make: Callable[[], Any], fan_in: int) -> None:
    paddle.seed(0)
    layer = make()
    bound = 1 / sqrt(fan_in)
    for values in (layer.weight.numpy().ravel(), layer.bias.numpy()):
        deviations = 5 / sqrt(values.size)
        assert np.abs(values).max() <= bound
        assert np.abs(values).max() > bound * (1 - 20 / values.size)
        assert abs(values.mean()) < deviations * bound / sqrt(3)
        assert values.std() == pytest.approx(bound / sqrt(3), rel=deviations)


def test_initial_embeddings_and_norms_are_those_of_the_reference() -> None:
    paddle.seed(0)
    model = pit.create("pit_s", image_size=112)
    values = model.pos_embed.numpy().ravel()
    assert values.std() == pytest.approx(0.02, rel=5 / sqrt(values.size))
    assert abs(values.mean()) < 5 * 0.02 / sqrt(values.size)
    assert 3.5 * 0.02 < np.abs(values).max() < 6 * 0.02, "cut at 2, not at two standard deviations"
    norms = [layer for layer in model.sublayers() if isinstance(layer, paddle.nn.LayerNorm)]
    assert len(norms) == 2 * 12 + 1
    assert all((norm.weight == 1).all() and (norm.bias == 0).all() and norm._epsilon == 1e-6 for norm in norms)


def test_drop_path_keeps_the_mean_and_drops_whole_samples() -> None:
    paddle.seed(0)
    drop = layers.DropPath(0.25)
    kept = drop(paddle.ones((4000, 2, 3), "float64")).numpy()
    assert set(np.unique(kept)) == {0.0, 1 / 0.75}
    assert (kept == kept[:, :1, :1]).all()
    assert kept.mean() == pytest.approx(1, abs=0.05)
    drop.eval()
    assert (drop(paddle.ones((9, 1))) == 1).all()


@EAGER_OR_NOT
def test_linear_is_paddles(monkeypatch: pytest.MonkeyPatch, eager: bool) -> None:
    monkeypatch.setattr(kernels, "_eager_on_cpu", lambda: eager)
    results = []
    for function in (kernels.linear, F.linear):
        tensors = random(2, 5, 6), random(6, 7, seed=1), random(7, seed=2)
        output = function(*tensors)
        (output * random(2, 5, 7, seed=3).detach()).sum().backward()
        results.append([output.numpy(), *(tensor.grad.numpy() for tensor in tensors)])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)


@EAGER_OR_NOT
@pytest.mark.parametrize("chunk", [1, 100, 250, 1 << 20])
def test_attention_is_paddles(monkeypatch: pytest.MonkeyPatch, eager: bool, chunk: int) -> None:
    monkeypatch.setattr(kernels, "_eager_on_cpu", lambda: eager)
    monkeypatch.setattr(kernels, "_CHUNK", chunk)
    qkv, again = random(2, 10, 3 * 6 * 4), random(2, 10, 3 * 6 * 4)
    ours = kernels.self_attention(qkv, heads=6)
    q, k, v = again.reshape((2, 10, 3, 6, 4)).unbind(2)
    theirs = F.scaled_dot_product_attention(q, k, v).reshape((2, 10, 24))
    for output in (ours, theirs):
        (output * random(2, 10, 24, seed=1).detach()).sum().backward()
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(qkv.grad.numpy(), again.grad.numpy(), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(("chunk", "group"), [(1, 1), (100, 1), (250, 2), (399, 3), (599, 3), (600, 6), (9999, 6)])
def test_chunks_are_equal_groups_of_heads(monkeypatch: pytest.MonkeyPatch, chunk: int, group: int) -> None:
    monkeypatch.setattr(kernels, "_CHUNK", chunk)
    assert kernels._heads_a_chunk(6, 10) == group


@EAGER_OR_NOT
def test_attention_dropout_keeps_the_mean(monkeypatch: pytest.MonkeyPatch, eager: bool) -> None:
    monkeypatch.setattr(kernels, "_eager_on_cpu", lambda: eager)
    paddle.seed(0)
    qkv = random(1, 50, 12)
    kept = np.mean([kernels.self_attention(qkv, 2, dropout=0.3).numpy() for _ in range(200)], axis=0)
    np.testing.assert_allclose(kept, kernels.self_attention(qkv, 2).numpy(), atol=0.15)
