"""A run in three files goes on as it would have, and an optimizer's state of other weights is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import paddle
import pytest

from paddle_impl.training.parts import Parts
from paddle_impl.training.run import Result
from paddle_impl.training.saving import checkpoint_to_resume
from paddle_impl.training.split_state import restore_split
from paddle_impl.training.state import Progress
from porting.checkpoint.formats.nested import Nested
from porting.training_state.paddle_files import is_split
from recipe.errors import TrainingError
from tests.paddle_impl.training.engine.tiny_run import step, tensors

Change = Callable[[dict[str, Any]], object]


def _save(parts: Parts, folder: Path, change: Change = lambda state: None) -> Path:
    """Save as hatimwen's program does, after its scheduler's state said 3."""
    assert parts.average is not None
    state = {**parts.optimizer.state_dict(), "LR_Scheduler": {"last_epoch": 3, "last_lr": 1e-2}}
    change(state)
    paddle.save(parts.model.state_dict(), str(folder / "PiT-Epoch-2-Loss-6.83.pdparams"))
    paddle.save(state, str(folder / "PiT-Epoch-2-Loss-6.83.pdopt"))
    paddle.save(parts.average.model.state_dict(), str(folder / "PiT-Epoch-2-Loss-6.83-EMA.pdparams"))
    start = checkpoint_to_resume(folder / "PiT-Epoch-2-Loss-6.83", folder / "out")
    assert start is not None
    return start


@pytest.mark.parametrize(("told", "epochs"), [(None, 2), (7, 7)])
def test_three_files_go_on_bit_for_bit(
    parts: Callable[[], Parts], tmp_path: Path, told: int | None, epochs: int
) -> None:
    first, second = parts(), parts()
    step(first)
    step(first)
    with Nested(_save(first, tmp_path)) as checkpoint:
        assert is_split(checkpoint)
        progress, notes = restore_split(checkpoint, second, told)
    assert progress == Progress(epochs)
    assert f"the state after {epochs} epochs" in notes[0]
    assert tensors(second) == tensors(first)
    step(first)
    step(second)
    assert tensors(second) == tensors(first)


def test_average_that_is_missing_begins_anew_and_is_told(parts: Callable[[], Parts], tmp_path: Path) -> None:
    first, second = parts(), parts()
    step(first)
    path = _save(first, tmp_path)
    path.with_name(f"{path.stem}-EMA.pdparams").unlink()
    with Nested(path) as checkpoint:
        notes = restore_split(checkpoint, second, None)[1]
    assert "the average begins anew from the weights" in notes[1]
    assert second.average is not None
    weights = {name: tensor.numpy().tobytes() for name, tensor in first.model.state_dict().items()}
    assert {name: tensor.numpy().tobytes() for name, tensor in second.average.model.state_dict().items()} == weights


def _drop(state: dict[str, Any]) -> None:
    del state[next(key for key in state if ".w_0_moment2" in key)]


def _reshape(state: dict[str, Any]) -> None:
    key = [key for key in state if ".w_0_moment1" in key][1]
    state[key] = state[key].transpose([1, 0])


def _rename(state: dict[str, Any]) -> None:
    key = next(key for key in state if ".b_0_moment1" in key)
    state["conv2d_9.b_0_moment1_0"] = state.pop(key)


def _add(state: dict[str, Any]) -> None:
    state["conv2d_9.w_0_moment1_0"] = paddle.zeros([2])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_drop, r"differs first at hidden\.weight \(linear_\d+\.w_0\): there is no moment2"),
        (_reshape, r"differs first at head\.weight \(linear_\d+\.w_0\): moment1 is \(3, 16\), the weight \(16, 3\)"),
        (_rename, r"differs first at hidden\.bias \(linear_\d+\.b_0\): there is no moment1"),
        (_add, r"differs first at conv2d_9\.w_0_moment1_0: belongs to no weight"),
        (lambda state: state.pop("LR_Scheduler"), "does not tell how many epochs are done; give --last-epoch"),
    ],
)
def test_state_of_other_weights_is_refused_with_the_first_tensor(
    parts: Callable[[], Parts], tmp_path: Path, change: Change, message: str
) -> None:
    first, second = parts(), parts()
    step(first)
    before = tensors(second)
    with Nested(_save(first, tmp_path, change)) as checkpoint, pytest.raises(TrainingError, match=message):
        restore_split(checkpoint, second, None)
    assert tensors(second) == before


def test_run_goes_on_from_three_files(
    run_tiny: Callable[..., Result], parts: Callable[[], Parts], tmp_path: Path
) -> None:
    first = parts()
    step(first)
    _save(first, tmp_path)
    result = run_tiny(resume=tmp_path / "PiT-Epoch-2-Loss-6.83")
    assert result.epochs == 3
    assert [entry["epoch"] for entry in result.history] == [2, 2]
