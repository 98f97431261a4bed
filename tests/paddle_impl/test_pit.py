"""The Paddle twin alone: names, modes, sizes, heads, static graphs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest

from paddle_impl import pit
from porting import architectures
from porting.synthetic import random_weights

SMALL: dict[str, Any] = {"image_size": (48, 64), "num_classes": 7}
LINEAR = re.compile(r"(qkv|proj|fc1|fc2|pools\.\d\.fc|head|head_dist)\.weight")


def is_linear(key: str) -> bool:
    return LINEAR.search(key) is not None


def loaded(name: str, **rates: Any) -> pit.PoolingTransformer:
    model = pit.create(name, **SMALL, **rates)
    arrays = random_weights(architectures.build(name, **SMALL))
    assert model.set_state_dict({k: v.T if is_linear(k) else v for k, v in arrays.items()}) == ([], [])
    return model


def images(batch: int = 2, height: int = 48, width: int = 64, channels: int = 3) -> paddle.Tensor:
    return paddle.to_tensor(np.random.default_rng(1).standard_normal((batch, channels, height, width), np.float32))


def equal(a: paddle.Tensor, b: paddle.Tensor) -> bool:
    return bool((a == b).all())


@pytest.mark.parametrize("name", pit.CONFIGS)
def test_names_and_shapes_are_canonical_with_linear_weights_transposed(name: str) -> None:
    for size in (SMALL, {"image_size": 224, "num_classes": 0}):
        expected = [
            (key, spec.shape[::-1] if is_linear(key) else spec.shape)
            for key, spec in architectures.build(name, **size).tensors.items()
        ]
        with paddle.LazyGuard():
            model = pit.create(name, **size)
        assert [(key, tuple(value.shape)) for key, value in model.state_dict().items()] == expected


def test_wrong_shapes_and_names_are_not_loaded() -> None:
    model = pit.create("pit_ti", **SMALL)
    arrays = random_weights(architectures.build("pit_ti", **SMALL))
    with pytest.warns(UserWarning, match="receives a shape") as warned:
        model.set_state_dict(arrays)
    square = sum(key.endswith("attn.proj.weight") for key in arrays)
    assert len(warned) == sum(map(is_linear, arrays)) - square
    renamed = {key.replace("pools.0.fc", "pools.0.linear"): value for key, value in model.state_dict().items()}
    with pytest.warns(UserWarning, match=r"pools\.0\.fc\.(weight|bias) is not found"):
        missing, unexpected = model.set_state_dict(renamed)
    assert missing == ["pools.0.fc.weight", "pools.0.fc.bias"]
    assert unexpected == ["pools.0.linear.weight", "pools.0.linear.bias"]


def test_distilled_model_returns_both_heads_in_training_and_their_mean_in_evaluation() -> None:
    model = loaded("pit_ti_distilled")
    model.train()
    pair = model(images())
    features = model.forward_features(images())
    assert equal(pair[0], model.head(features[:, 0]))
    assert equal(pair[1], model.head_dist(features[:, 1]))
    model.eval()
    assert equal(model(images()), (pair[0] + pair[1]) / 2)
    assert model.get_classifier() == (model.head, model.head_dist)


def test_drop_path_rises_over_all_blocks() -> None:
    with paddle.LazyGuard():
        model = pit.create("pit_b", **SMALL, drop_path_rate=0.26)
    blocks = [block for stage in model.transformers for block in stage.blocks]
    assert [block.drop_path1.drop_prob for block in blocks] == pytest.approx([0.26 * block / 13 for block in range(13)])
    assert [block.drop_path1.drop_prob for block in blocks] == [block.drop_path2.drop_prob for block in blocks]


@pytest.mark.parametrize("rate", ["drop_rate", "attn_drop_rate", "drop_path_rate"])
def test_dropout_acts_in_training_only(rate: str) -> None:
    model = loaded("pit_ti", **{rate: 0.5})
    paddle.seed(0)
    model.train()
    assert not equal(model(images()), model(images()))
    model.eval()
    plain = loaded("pit_ti")
    plain.eval()
    assert equal(model(images()), plain(images()))


def test_drop_rate_applies_to_the_embedding_and_the_projections() -> None:
    model = pit.create("pit_ti", **SMALL, drop_rate=0.1, attn_drop_rate=0.2)
    block = model.transformers[1].blocks[0]
    assert [d.p for d in (model.pos_drop, block.attn.proj_drop, block.mlp.drop1, block.mlp.drop2)] == [0.1] * 4
    assert block.attn.attn_drop.p == 0.2


@pytest.mark.parametrize(("height", "width"), [(16, 16), (57, 57), (40, 90)])
def test_any_image_size(height: int, width: int) -> None:
    model = pit.create("pit_ti", image_size=(height, width), num_classes=3, in_channels=1)
    model.eval()
    logits: Any
    logits, maps = model.forward_intermediates(images(2, height, width, channels=1))
    rows, columns = (height - 16) // 8 + 1, (width - 16) // 8 + 1
    assert isinstance(logits, paddle.Tensor)
    assert logits.shape == [2, 3]
    assert [tuple(m.shape) for m in maps] == [
        (2, 64, rows, columns),
        (2, 128, (rows + 1) // 2, (columns + 1) // 2),
        (2, 256, ((rows + 1) // 2 + 1) // 2, ((columns + 1) // 2 + 1) // 2),
    ]


def test_other_number_of_patches_is_refused() -> None:
    model = pit.create("pit_ti", image_size=16)
    with pytest.raises(ValueError, match="map of 2x1 patches, the model was created for one of 1x1"):
        model(images(1, 24, 16))


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("pit_bt", {}, "unknown model 'pit_bt'; did you mean pit_b"),
        ("resnet50", {}, "known: pit_ti, pit_xs"),
        ("pit_ti", {"image_size": 15}, r"image size \(15, 15\) is smaller than the patch size 16"),
        ("pit_b", {"image_size": (224, 13)}, r"image size \(224, 13\)"),
        ("pit_ti", {"num_classes": -1}, "the class count is -1"),
    ],
)
def test_bad_arguments_are_refused(name: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pit.create(name, **arguments)


@pytest.mark.parametrize("name", ["pit_ti", "pit_ti_distilled"])
def test_reset_classifier_removes_the_head_or_adds_one(name: str) -> None:
    model = loaded(name)
    model.to(dtype="float64")
    model.eval()
    batch = images().astype("float64")
    tokens = model.forward_features(batch)
    model.reset_classifier(0)
    np.testing.assert_allclose(model(batch).numpy(), tokens.numpy().mean(1), rtol=1e-14, atol=1e-15)
    model.reset_classifier(4)
    assert model(batch).shape == [2, 4]
    assert (model.num_classes, model.head.weight.dtype, model.head.training) == (4, paddle.float64, False)


def test_model_has_the_default_dtype() -> None:
    paddle.set_default_dtype("float64")
    try:
        model = pit.create("pit_ti", image_size=16, num_classes=2)
    finally:
        paddle.set_default_dtype("float32")
    assert {value.dtype for value in model.state_dict().values()} == {paddle.float64}
    assert model(images(1, 16, 16).astype("float64")).dtype == paddle.float64


def test_no_weight_decay_returns_names_of_parameters() -> None:
    model = pit.create("pit_ti", **SMALL)
    assert model.no_weight_decay() == {"pos_embed", "cls_token"}
    assert model.no_weight_decay() <= {name for name, _ in model.named_parameters()}


def test_backward_twice_doubles_gradients_and_skips_frozen_parameters() -> None:
    model = loaded("pit_ti")
    block = model.transformers[0].blocks[0]
    block.attn.qkv.weight.stop_gradient = True
    loss = model(images()).sum()
    loss.backward(retain_graph=True)
    once = block.attn.proj.weight.grad.numpy().copy()
    loss.backward()
    np.testing.assert_allclose(block.attn.proj.weight.grad.numpy(), 2 * once, rtol=1e-4, atol=1e-5)
    assert [name for name, p in model.named_parameters() if p.grad is None] == [
        "transformers.0.blocks.0.attn.qkv.weight"
    ]


@pytest.mark.filterwarnings("ignore:Tensor do not have 'place' interface:UserWarning")  # Paddle's own, when it traces
@pytest.mark.parametrize("full_graph", [True, False], ids=["ast", "sot"])
def test_static_graph_equals_eager(full_graph: bool) -> None:
    model, eager = loaded("pit_micro_distilled"), loaded("pit_micro_distilled")
    static = paddle.jit.to_static(model, full_graph=full_graph)
    for network in (static, eager):
        network.train()
        sum(network(images())).square().mean().backward()
    for (name, ours), theirs in zip(model.named_parameters(), eager.parameters(), strict=True):
        scale = np.abs(theirs.grad.numpy()).max()
        np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-3, atol=1e-4 * scale, err_msg=name)
    for network in (static, eager):
        network.eval()
    np.testing.assert_allclose(static(images()).numpy(), eager(images()).numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore:Tensor do not have 'place' interface:UserWarning")
def test_exports_for_any_batch_size(tmp_path: Path) -> None:
    model = loaded("pit_micro")
    model.eval()
    paddle.jit.save(model, str(tmp_path / "model"), [paddle.static.InputSpec([None, 3, 48, 64])])
    exported = paddle.jit.load(str(tmp_path / "model"))
    for batch in (1, 3):
        np.testing.assert_allclose(exported(images(batch)).numpy(), model(images(batch)).numpy(), rtol=1e-4, atol=1e-5)
