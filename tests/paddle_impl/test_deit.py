"""DeiT in Paddle: PaddleViT's names, timm's function and initial values."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import paddle
import pytest

from paddle_impl import deit
from porting import architectures
from porting.converters import specs_in
from reference_torch import deit as reference

Array = npt.NDArray[Any]
SMALL: dict[str, Any] = {"image_size": (32, 48), "num_classes": 7}


def images(batch: int = 2, height: int = 32, width: int = 48, dtype: str = "float32") -> Array:
    return np.random.default_rng(1).standard_normal((batch, 3, height, width)).astype(dtype)


@pytest.fixture
def loaded(published: Callable[..., dict[str, Array]]) -> Callable[..., deit.DistillableTransformer]:
    def load(name: str, **rates: Any) -> deit.DistillableTransformer:
        model = deit.create(name, **SMALL, **rates)
        assert model.set_state_dict(published(architectures.build(name, **SMALL))) == ([], [])
        return model

    return load


@pytest.mark.parametrize("name", deit.CONFIGS)
@pytest.mark.parametrize("form", [{"image_size": 224}, {"image_size": 384}, SMALL, {"num_classes": 0}])
def test_names_and_shapes_are_paddlevits(name: str, form: dict[str, Any]) -> None:
    with paddle.LazyGuard():
        model = deit.create(name, **form)
    expected = specs_in(architectures.build(name, **form), "paddlevit")
    assert {key: tuple(value.shape) for key, value in model.state_dict().items()} == {
        key: spec.shape for key, spec in expected.items()
    }
    assert len(model.parameters()) == len(expected)


@pytest.mark.parametrize(
    ("name", "form", "training"),
    [
        ("deit_tiny", SMALL, True),
        ("deit_tiny_distilled", {"image_size": 48, "num_classes": 7}, False),
        ("deit_tiny_distilled", SMALL, True),
        ("deit_small", {"image_size": 16, "num_classes": 0}, False),
    ],
)
def test_same_function_as_timm(
    load_twins: Callable[..., None],
    assert_same_function: Callable[..., None],
    name: str,
    form: dict[str, Any],
    training: bool,
) -> None:
    architecture = architectures.build(name, **form)
    ours, theirs = deit.create(name, **form), reference.create(name, **form)
    load_twins(architecture, theirs, ours)
    (ours.train if training else ours.eval)()
    theirs.train(training)
    batch = images(2, *architecture.image_size, dtype="float64")
    assert_same_function(architecture, theirs, ours, batch)
    assert isinstance(ours(paddle.to_tensor(batch)), tuple) is (training and architecture.distilled)


def statistics(values: Array) -> tuple[float, float]:
    return float(values.mean()), float(values.std())


def test_initial_values_are_timms() -> None:
    paddle.seed(0)
    form = {"image_size": 64, "num_classes": 100}
    ours, theirs = deit.create("deit_tiny_distilled", **form), reference.create("deit_tiny_distilled", **form)
    names = {  # ours to timm's, one of each kind
        "encoder.layers.3.attn.qkv": "blocks.3.attn.qkv",
        "encoder.layers.3.attn.out": "blocks.3.attn.proj",
        "encoder.layers.3.mlp.fc2": "blocks.3.mlp.fc2",
        "encoder.layers.3.attn_norm": "blocks.3.norm1",
        "encoder.encoder_norm": "norm",
        "patch_embedding.patch_embedding": "patch_embed.proj",
        "classifier": "head",
        "classifier_dist": "head_dist",
    }
    pairs = {f"{our}.{part}": f"{their}.{part}" for our, their in names.items() for part in ("weight", "bias")}
    pairs |= {"position_embedding": "pos_embed", "cls_token": "cls_token", "dist_token": "dist_token"}
    state, expected = ours.state_dict(), theirs.state_dict()
    for our, their in pairs.items():
        (mean, deviation), size = statistics(state[our].numpy()), state[our].size
        their_mean, their_deviation = statistics(expected[their].numpy())
        assert deviation == pytest.approx(their_deviation, rel=5 * sqrt(2 / size)), our
        assert mean == pytest.approx(their_mean, abs=10 * their_deviation / sqrt(size)), our


def test_initial_values_of_a_new_head_are_timms() -> None:
    paddle.seed(0)
    ours, theirs = deit.create("deit_tiny_distilled", **SMALL), reference.create("deit_tiny_distilled", **SMALL)
    for model in (ours, theirs):
        model.reset_classifier(200)
    for our, their in zip(ours.get_classifier(), theirs.get_classifier(), strict=True):
        deviations = our.weight.numpy().std(), our.bias.numpy().std()
        expected = their.weight.detach().numpy().std(), their.bias.detach().numpy().std()
        assert deviations == pytest.approx(expected, rel=0.2)
        assert np.abs(our.weight.numpy()).max() <= 1 / sqrt(192)


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.2, 0.37])
def test_drop_path_rates_are_timms_to_the_last_bit(rate: float) -> None:
    ours = deit.create("deit_tiny", **SMALL, drop_path_rate=rate)
    theirs = reference.create("deit_tiny", **SMALL, drop_path_rate=rate)
    expected = [getattr(block.drop_path1, "drop_prob", 0.0) for block in theirs.blocks]
    assert [layer.drop_path1.drop_prob for layer in ours.encoder.layers] == expected
    assert [layer.drop_path2.drop_prob for layer in ours.encoder.layers] == expected


def test_dropout_rates_are_those_of_the_same_layers_in_timm() -> None:
    rates: dict[str, Any] = {"drop_rate": 0.1, "attn_drop_rate": 0.2}
    ours, theirs = deit.create("deit_tiny", **SMALL, **rates), reference.create("deit_tiny", **SMALL, **rates)
    block, expected = ours.encoder.layers[2], theirs.blocks[2]
    assert ours.pos_drop.p == theirs.pos_drop.p == 0.1
    assert theirs.head_drop.p == 0
    assert [block.attn.attn_drop.p, block.attn.proj_drop.p] == [expected.attn.attn_drop.p, expected.attn.proj_drop.p]
    assert [block.mlp.drop1.p, block.mlp.drop2.p] == [expected.mlp.drop1.p, expected.mlp.drop2.p] == [0.1, 0.1]


@pytest.mark.parametrize("rate", ["drop_rate", "attn_drop_rate", "drop_path_rate"])
def test_dropout_acts_in_training_only(loaded: Callable[..., deit.DistillableTransformer], rate: str) -> None:
    batch = paddle.to_tensor(images())
    model, plain = loaded("deit_tiny", **{rate: 0.5}), loaded("deit_tiny")
    assert not bool((model(batch) == model(batch)).all())
    model.eval()
    plain.eval()
    assert bool((model(batch) == plain(batch)).all())


def test_distilled_model_returns_both_heads_in_training_and_their_mean_in_evaluation(
    loaded: Callable[..., deit.DistillableTransformer],
) -> None:
    model, batch = loaded("deit_tiny_distilled"), paddle.to_tensor(images())
    pair, tokens = model(batch), model.forward_features(batch)
    assert bool((pair[0] == model.head(tokens[:, 0])).all())
    assert bool((pair[1] == model.head_dist(tokens[:, 1])).all())
    model.eval()
    assert bool((model(batch) == (pair[0] + pair[1]) / 2).all())


@pytest.mark.parametrize("name", ["deit_tiny", "deit_tiny_distilled"])
def test_reset_classifier_removes_the_head_or_adds_one(
    loaded: Callable[..., deit.DistillableTransformer], name: str
) -> None:
    model, batch = loaded(name).to(dtype="float64"), paddle.to_tensor(images(dtype="float64"))
    model.eval()
    model.reset_classifier(0)
    tokens = model.forward_features(batch)[:, : 2 if model.distilled else 1]
    np.testing.assert_allclose(model(batch).numpy(), tokens.numpy().mean(1), rtol=1e-14, atol=1e-15)
    model.reset_classifier(4)
    assert model(batch).shape == [2, 4]
    assert (model.num_classes, model.head.weight.dtype, model.head.training) == (4, paddle.float64, False)
    assert "classifier.weight" in model.state_dict()
    assert not [key for key in model.state_dict() if key.startswith("head")]


@pytest.mark.parametrize("name", ["deit_tiny", "deit_tiny_distilled"])
def test_no_weight_decay_returns_names_of_parameters(name: str) -> None:
    ours, theirs = deit.create(name, **SMALL), reference.create(name, **SMALL)
    exempt = {key.replace("pos_embed", "position_embedding") for key in theirs.no_weight_decay()}
    assert ours.no_weight_decay() == exempt & set(ours.state_dict())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "deit_tny"}, "unknown model 'deit_tny'; did you mean deit_tiny"),
        ({"name": "deit_tiny", "image_size": 100}, r"image size \(100, 100\) is no multiple of the patch size 16"),
        ({"name": "deit_tiny", "image_size": (0, 16)}, r"image size \(0, 16\)"),
        ({"name": "deit_tiny", "image_size": 16, "num_classes": -1}, "the class count is -1"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    for create in (deit.create, reference.create):
        with pytest.raises(ValueError, match=message):
            create(**arguments)


def test_another_image_size_is_refused() -> None:
    model = deit.create("deit_tiny", **SMALL)
    with pytest.raises(ValueError, match="the image is 48x32 pixels, the model was created for 32x48"):
        model(paddle.to_tensor(images(1, 48, 32)))


@pytest.mark.filterwarnings("ignore:Tensor do not have 'place' interface:UserWarning")  # Paddle's own, when it traces
def test_exports_for_any_batch_size(tmp_path: Path, loaded: Callable[..., deit.DistillableTransformer]) -> None:
    model = loaded("deit_tiny_distilled")
    model.eval()
    paddle.jit.save(model, str(tmp_path / "model"), [paddle.static.InputSpec([None, 3, 32, 48])])
    exported = paddle.jit.load(str(tmp_path / "model"))
    for batch in (paddle.to_tensor(images(1)), paddle.to_tensor(images(3))):
        np.testing.assert_allclose(exported(batch).numpy(), model(batch).numpy(), rtol=1e-4, atol=1e-5)
