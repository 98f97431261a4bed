"""RegNetY in Paddle: PaddleViT's names, timm's function and initial values; mostly with a small one of its class."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import paddle
import pytest
import torch
from timm.models.regnet import model_cfgs

from paddle_impl import regnet
from porting import architectures
from porting.architectures import regnet as architecture
from porting.converters import specs_in
from reference_torch import regnet as reference

Array = npt.NDArray[Any]
SMALL: dict[str, Any] = {"widths": (24, 56, 152, 368), "depth": (1, 1, 4, 7), "group_width": 8}
"""timm's regnety_002."""
ARCHITECTURE = architecture.architecture("regnety_002", architecture.RegnetConfig(**SMALL, num_classes=7))


def candidate(**options: Any) -> regnet.RegNet:
    return regnet.RegNet(regnet.RegnetConfig(**SMALL), **{"num_classes": 7, **options})


def timms(**options: Any) -> reference.RegNet:
    return reference.RegNet(model_cfgs["regnety_002"], **{"num_classes": 7, **options})


def images(batch: int = 4, height: int = 64, width: int = 64) -> Array:
    return np.random.default_rng(1).standard_normal((batch, 3, height, width))


@pytest.mark.parametrize("classes", [1000, 10, 0])
def test_names_and_shapes_are_paddlevits(classes: int) -> None:
    with paddle.LazyGuard():
        model = regnet.create("regnety_160", num_classes=classes)
    published = architectures.build("regnety_160", num_classes=classes)
    expected = specs_in(published, "paddlevit")
    assert {key: tuple(value.shape) for key, value in model.state_dict().items()} == {
        key: spec.shape for key, spec in expected.items()
    }
    trained = [parameter for parameter in model.parameters() if not parameter.stop_gradient]
    assert sum(parameter.size for parameter in trained) == published.parameters
    assert sum(name.endswith("conv3.bias") for name, _ in model.named_buffers()) == 18


@pytest.mark.parametrize(
    ("training", "size"), [(False, (64, 64)), (True, (64, 64)), (False, (33, 70)), (True, (50, 96))]
)
def test_same_function_as_timm(
    load_twins: Callable[..., None],
    assert_same_function: Callable[..., None],
    training: bool,
    size: tuple[int, int],
) -> None:
    ours, theirs = candidate(), timms()
    load_twins(ARCHITECTURE, theirs, ours)
    (ours.train if training else ours.eval)()
    theirs.train(training)
    assert_same_function(ARCHITECTURE, theirs, ours, images(4, *size))
    state = theirs.state_dict()
    for name, layer in ours.named_sublayers():
        if isinstance(layer, paddle.nn.BatchNorm2D) and "bn2" in name:
            _, stage, _, block, _ = name.split(".")
            prefix = f"s{int(stage) + 1}.b{int(block) + 1}.conv2.bn"
            np.testing.assert_allclose(
                layer._mean.numpy(), state[f"{prefix}.running_mean"].numpy(), rtol=1e-11, atol=1e-13
            )
            np.testing.assert_allclose(layer._variance.numpy(), state[f"{prefix}.running_var"].numpy(), rtol=1e-11)


def test_published_bias_that_is_not_zero_is_added(
    load_twins: Callable[..., None], published: Callable[..., dict[str, Array]]
) -> None:
    ours, theirs = candidate(), timms()
    load_twins(ARCHITECTURE, theirs, ours)
    shift = np.random.default_rng(0).standard_normal(152).astype(np.float32)
    weights = published(ARCHITECTURE)
    weights["stages.2.blocks.1.conv3.bias"] += shift
    weights["stages.2.blocks.1.bn3._mean"] += shift
    assert ours.set_state_dict({name: array.astype(np.float64) for name, array in weights.items()}) == ([], [])
    for model in (ours, theirs):
        model.eval()
    actual, expected = ours(paddle.to_tensor(images())).numpy(), theirs(torch.from_numpy(images())).detach().numpy()
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


def test_published_bias_is_not_trained() -> None:
    model = candidate()
    loss = model(paddle.to_tensor(images().astype("float32"))).square().mean()
    loss.backward()
    paddle.optimizer.AdamW(0.1, parameters=model.parameters(), weight_decay=0.5).step()
    assert float(model.stages[1].blocks[0].conv3.bias.abs().max()) == 0
    assert all(parameter.grad is not None for parameter in model.parameters() if not parameter.stop_gradient)


def test_initial_values_are_timms() -> None:
    paddle.seed(0)
    ours, theirs = candidate().state_dict(), timms().state_dict()
    kinds = {  # ours to timm's, one of each
        "stem.0": "stem.conv",
        "stages.2.blocks.1.conv1": "s3.b2.conv1.conv",
        "stages.3.blocks.1.conv2": "s4.b2.conv2.conv",
        "stages.2.blocks.1.se.conv1_1x1": "s3.b2.se.fc1",
        "stages.2.blocks.1.se.conv2_1x1": "s3.b2.se.fc2",
        "stages.2.blocks.1.bn1": "s3.b2.conv1.bn",
        "stages.2.blocks.1.bn3": "s3.b2.conv3.bn",
        "stages.2.blocks.0.downsample.conv1x1": "s3.b1.downsample.conv",
        "stages.2.blocks.0.downsample.bn": "s3.b1.downsample.bn",
        "head.2": "head.fc",
    }
    for our, their in kinds.items():
        for part in ("weight", "bias"):
            if f"{their}.{part}" in theirs:
                actual, expected = (
                    array.astype("float64")
                    for array in (ours[f"{our}.{part}"].numpy(), theirs[f"{their}.{part}"].numpy())
                )
                assert actual.std() == pytest.approx(expected.std(), rel=5 * sqrt(2 / actual.size)), (our, part)
                assert actual.mean() == pytest.approx(expected.mean(), abs=10 * expected.std() / sqrt(actual.size)), our
    assert float(ours["stages.2.blocks.1.bn3.weight"].abs().max()) == 0


def test_drop_path_rates_are_timms_to_the_last_bit() -> None:
    ours, theirs = candidate(drop_path_rate=0.2), timms(drop_path_rate=0.2)
    blocks = [block for stage in (theirs.s1, theirs.s2, theirs.s3, theirs.s4) for block in stage.children()]
    expected = [getattr(block.drop_path, "drop_prob", 0.0) for block in blocks]
    assert [block.drop_path.drop_prob for stage in ours.stages for block in stage.blocks] == expected


def test_dropout_acts_before_the_head_in_training_only() -> None:
    model, batch = candidate(drop_rate=0.5), paddle.to_tensor(images().astype("float32"))
    features = model.forward_features(batch)
    assert not bool((model.head(features) == model.head(features)).all())
    model.eval()
    assert bool((model.head(features) == model.head[2](features.mean((2, 3)))).all())


def test_reset_classifier_removes_the_head_or_adds_one() -> None:
    model = candidate().to(dtype="float64")
    model.eval()
    batch = paddle.to_tensor(images())
    model.reset_classifier(0)
    assert model(batch).shape == [4, 368]
    model.reset_classifier(5)
    assert model(batch).shape == [4, 5]
    assert model.get_classifier() is model.head[2]
    assert (model.num_classes, model.head[2].weight.dtype, model.head[2].training) == (5, paddle.float64, False)
    assert float(model.head[2].bias.abs().max()) > 0, "torch's default, as timm has it for a new head"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "regnety_16"}, "unknown model 'regnety_16'; did you mean regnety_160"),
        ({"name": "regnety_160", "num_classes": -1}, "the class count is -1"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        reference.create(**arguments)
    with paddle.LazyGuard(), pytest.raises(ValueError, match=message):
        regnet.create(**arguments)


@pytest.mark.filterwarnings("ignore:Tensor do not have 'place' interface:UserWarning")  # Paddle's own, when it traces
def test_exports_for_any_batch_and_image_size(tmp_path: Path) -> None:
    model = candidate()
    model.eval()
    paddle.jit.save(model, str(tmp_path / "model"), [paddle.static.InputSpec([None, 3, None, None])])
    exported = paddle.jit.load(str(tmp_path / "model"))
    for batch in (images(1), images(3, 40, 72)):
        tensor = paddle.to_tensor(batch.astype("float32"))
        np.testing.assert_allclose(exported(tensor).numpy(), model(tensor).numpy(), rtol=1e-4, atol=1e-5)
