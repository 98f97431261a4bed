"""What a run starts from: fresh weights, checkpoints of any kind, a teacher."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import paddle
import pytest
import torch

from paddle_impl import pit
from paddle_impl.training.starting import create_model, load_teacher, start
from porting import architectures
from porting.conversion import convert
from porting.errors import CheckpointError
from porting.surgery import Surgery
from porting.synthetic import random_weights
from recipe.config import Config, Model
from recipe.errors import TrainingError
from reference_torch.training import starting as reference

Array = npt.NDArray[Any]


def _logits(model: Any, size: int = 32) -> Array:
    model.eval()
    images = np.random.default_rng(1).standard_normal((2, 3, size, size))
    logits = model(paddle.to_tensor(images))
    return np.asarray(logits.numpy())


def test_same_seed_gives_the_same_fresh_weights_after_other_draws(small: Callable[..., Config]) -> None:
    first = start(small("run.seed=3"))
    paddle.randn([7])
    second, other = start(small("run.seed=3")), start(small("run.seed=4"))
    assert first.notes == ()
    assert "pos_embed" in first.fresh
    for name, tensor in first.model.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), second.model.state_dict()[name].numpy())
    assert not np.array_equal(first.model.pos_embed.numpy(), other.model.pos_embed.numpy())
    assert first.model.training


def test_precision_is_that_of_the_configuration(small: Callable[..., Config]) -> None:
    wide, narrow = start(small()).model, start(small("run.precision=float32")).model
    assert {parameter.dtype for parameter in wide.parameters()} == {paddle.float64}
    assert {parameter.dtype for parameter in narrow.parameters()} == {paddle.float32}
    np.testing.assert_array_equal(wide.pos_embed.numpy(), narrow.pos_embed.numpy().astype(np.float64))


@pytest.mark.parametrize("suffix", ["safetensors", "pdparams", "npz"])
def test_weights_of_any_format_are_read(
    suffix: str, small: Callable[..., Config], weights: Callable[..., Path]
) -> None:
    started = start(small(f"model.weights={weights(suffix=suffix)}"))
    expected = random_weights(architectures.build("pit_ti", image_size=32, num_classes=10))
    assert started.fresh == ()
    np.testing.assert_array_equal(started.model.head.weight.numpy(), expected["head.weight"].T)
    assert "pit_ti in layout" in started.notes[0]


def test_both_sides_start_as_the_same_function(small: Callable[..., Config], weights: Callable[..., Path]) -> None:
    config = small(f"model.weights={weights()}")
    ours, theirs = start(config).model, reference.start(config).model
    images = np.random.default_rng(1).standard_normal((2, 3, 32, 32))
    with torch.no_grad():
        expected = theirs.eval()(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(_logits(ours), expected, rtol=1e-10)


def test_training_checkpoint_of_paddlevit_is_read(
    small: Callable[..., Config], weights: Callable[..., Path], tmp_path: Path
) -> None:
    model = pit.create("pit_ti", image_size=32, num_classes=10)
    average = pit.create("pit_ti", image_size=32, num_classes=10)
    path = tmp_path / "combined.pdparams"
    saved = {"model": model.state_dict(), "model_ema": average.state_dict(), "epoch": 3}
    paddle.save(saved, str(path))
    started = start(small(f"model.weights={path}", "run.precision=float32"))
    np.testing.assert_array_equal(started.model.pos_embed.numpy(), average.pos_embed.numpy())
    assert "the average of a training run" in started.notes[0]


def test_other_image_size_resizes_the_position_embedding_like_porting(
    small: Callable[..., Config], weights: Callable[..., Path], tmp_path: Path
) -> None:
    started = start(small("model.image_size=48", f"model.weights={weights()}"))
    assert started.fresh == ()
    assert any(note.startswith("pos_embed: resize to 5x5, bicubic") for note in started.notes)
    convert(weights(), tmp_path / "48.pdparams", surgery=Surgery(image_size=(48, 48)))
    ported = paddle.load(str(tmp_path / "48.pdparams"))
    np.testing.assert_array_equal(started.model.pos_embed.numpy(), ported["pos_embed"].numpy())


@pytest.mark.parametrize("model", ["pit_ti", "pit_ti_distilled", "deit_tiny_distilled"])
def test_other_class_count_draws_new_heads_and_notes_it(
    model: str, small: Callable[..., Config], weights: Callable[..., Path]
) -> None:
    path = weights(model)
    config = small("model.num_classes=3", f"model.name={model}", f"model.weights={path}", "distillation.kind=none")
    started, unloaded = start(config), start(small("model.num_classes=3", f"model.name={model}"))
    heads = 2 if model.endswith("_distilled") else 1
    assert len(started.fresh) == 2 * heads
    assert any("drawn anew, since the checkpoint has 10 classes" in note for note in started.notes)
    for name, tensor in started.model.state_dict().items():
        kept = np.array_equal(tensor.numpy(), unloaded.model.state_dict()[name].numpy())
        assert kept == (name in started.fresh), name
    assert _logits(started.model).shape == (2, 3)


def test_checkpoint_without_head_draws_a_new_head(small: Callable[..., Config], weights: Callable[..., Path]) -> None:
    started = start(small(f"model.weights={weights(classes=0)}"))
    assert set(started.fresh) == {"head.weight", "head.bias"}
    assert "since the checkpoint has no head" in started.notes[-1]


def test_checkpoint_of_another_model_is_refused(small: Callable[..., Config], weights: Callable[..., Path]) -> None:
    with pytest.raises(TrainingError, match="holds pit_xs, expected pit_ti"):
        start(small(f"model.weights={weights('pit_xs')}"))
    with pytest.raises(TrainingError, match="--drop-head-dist"):
        start(small(f"model.weights={weights('pit_ti_distilled')}"))
    with pytest.raises(CheckpointError):
        start(small("model.weights=/nowhere.pdparams"))


def test_teacher_is_frozen_and_in_evaluation_mode(small: Callable[..., Config], weights: Callable[..., Path]) -> None:
    config = small(
        "distillation.teacher=deit_tiny", f"distillation.weights={weights('deit_tiny')}", base="pit_ti_distilled_224"
    )
    teacher = load_teacher(config)
    assert teacher is not None
    assert not teacher.training
    assert all(parameter.stop_gradient for parameter in teacher.parameters())
    expected = reference.load_teacher(config)
    assert expected is not None
    images = np.random.default_rng(1).standard_normal((2, 3, 32, 32))
    np.testing.assert_allclose(_logits(teacher), expected(torch.from_numpy(images)).numpy(), rtol=1e-10)
    assert not any(parameter.requires_grad for parameter in expected.parameters())


def test_teacher_of_other_classes_is_refused(small: Callable[..., Config], weights: Callable[..., Path]) -> None:
    named = f"distillation.weights={weights('deit_tiny', classes=7)}"
    config = small("distillation.teacher=deit_tiny", named, base="pit_ti_distilled_224")
    with pytest.raises(TrainingError, match="the teacher has not the 10 classes of the model"):
        load_teacher(config)


def test_configuration_without_distillation_has_no_teacher(small: Callable[..., Config]) -> None:
    assert load_teacher(small()) is None


def test_created_model_has_the_configured_rates() -> None:
    made = create_model(Model("deit_tiny", 32, 5, drop_rate=0.1, attn_drop_rate=0.2, drop_path_rate=0.3))
    assert made.encoder.layers[-1].drop_path1.drop_prob == pytest.approx(0.3)
    assert made.encoder.layers[0].attn.attn_drop.p == 0.2
    with paddle.LazyGuard():
        assert create_model(Model("regnety_160", num_classes=5)).num_classes == 5
