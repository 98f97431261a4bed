"""A checkpoint of torch is told from Paddle's own, and refused where it is of another model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from paddle_impl.training.foreign_state import is_foreign, restore_foreign
from paddle_impl.training.parts import Parts
from paddle_impl.training.precision import Precision
from porting.architectures import build
from porting.checkpoint import LazyTensor, write_checkpoint
from porting.converters import specs_in
from porting.synthetic import random_weights
from porting.training_state.runs import Run, write_run
from porting.training_state.state import Group, OptimizerState
from recipe.errors import TrainingError

MICRO = build("pit_micro", image_size=32, num_classes=10)


def written(path: Path, epochs: int | None) -> Path:
    weights = {name: LazyTensor.of(array) for name, array in random_weights(MICRO, 0).items()}
    group = Group(tuple(specs_in(MICRO, "canonical")), {"lr": 1e-3, "weight_decay": 0.05})
    write_run(path, "torch-zip", weights, Run(OptimizerState({}, {}, (group,), epochs), None))
    return path


def test_paddles_own_files_are_not_foreign(tmp_path: Path) -> None:
    tensors = {"w": LazyTensor.of(random_weights(MICRO, 0)["head.bias"])}
    for name, foreign in (("a.pdparams", False), ("a.pth", True), ("a.ckpt", True)):
        write_checkpoint(tmp_path / name, tensors)
        assert is_foreign(tmp_path / name) is foreign
    assert not is_foreign(tmp_path / "missing.pth")


def test_checkpoint_of_another_model_is_refused_with_what_differs(parts: Callable[[], Parts], tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="is not this run's model") as refused:
        restore_foreign(written(tmp_path / "a.pth", 3), parts(), Precision(), None)
    assert "hidden.weight: not in the checkpoint" in refused.value.details


def test_weights_without_a_run_are_refused(parts: Callable[[], Parts], tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "a.pth", {n: LazyTensor.of(a) for n, a in random_weights(MICRO, 0).items()})
    with pytest.raises(
        TrainingError, match=r"holds no state of an optimizer.*model\.weights=.* starts from its weights"
    ):
        restore_foreign(tmp_path / "a.pth", parts(), Precision(), None)
