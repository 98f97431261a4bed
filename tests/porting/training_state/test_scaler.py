"""The state of a loss scaler and of a schedule: read from each framework's files, and written as the others load it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from porting.checkpoint.tensor import LazyTensor
from porting.training_state.mindspore_files import mindspore_entries, read_mindspore
from porting.training_state.scaler import (
    LossScaler,
    mindspore_scaler,
    paddle_scaler,
    read_mindspore_scaler,
    read_scaler,
    scaler_in_words,
    torch_scaler,
)
from porting.training_state.schedule import Schedule, paddle_schedule, read_schedule, schedule_in_words, torch_schedule
from porting.training_state.state import OptimizerState

SCALER = LossScaler(1024.0, 3.0, 0.25, 500, 7)
GROWN = {"scale": 1024.0, "growth_factor": 3.0, "backoff_factor": 0.25, "growth_interval": 500, "_growth_tracker": 7}


@pytest.mark.parametrize("key", ["scaler", "amp_scaler", "MixedPrecision", "native_amp_scaling_state", "anything"])
def test_torchs_scaler_is_found_by_what_it_holds(key: str) -> None:
    scaler, notes = read_scaler({"model": {}, key: GROWN, "optimizer": {"state": {}, "param_groups": []}})
    assert (scaler, notes) == (LossScaler(1024.0, 3.0, 0.25, 500, 7, key=key), ())


def test_torch_itself_goes_on_from_paddles_scaler() -> None:
    torch = pytest.importorskip("torch")
    saved = paddle_scaler(SCALER)
    scaler, _ = read_scaler({"amp_grad_scaler": saved})
    assert scaler is not None
    own = torch.amp.GradScaler("cpu")
    own.load_state_dict(torch_scaler(scaler))
    assert own.state_dict() == GROWN


def test_paddle_itself_goes_on_from_torchs_scaler() -> None:
    paddle = pytest.importorskip("paddle")
    own: Any = paddle.amp.GradScaler(enable=False)
    own._enable = True  # Paddle has no float16 on the CPU, and switches its scaler off there
    scaler, _ = read_scaler({"scaler": GROWN})
    assert scaler is not None
    state = {
        key: value.load() if isinstance(value, LazyTensor) else value for key, value in paddle_scaler(scaler).items()
    }
    own.load_state_dict(state)
    assert read_scaler({"again": own.state_dict()})[0] == LossScaler(1024.0, 3.0, 0.25, 500, 7, key="again")


def test_fixed_scale_of_paddle_never_changes_in_torch() -> None:
    fixed, _ = read_scaler({"amp_grad_scaler": {**paddle_scaler(SCALER), "use_dynamic_loss_scaling": False}})
    assert fixed is not None
    assert fixed.fixed
    saved = torch_scaler(fixed)
    assert (saved["scale"], saved["growth_factor"], saved["backoff_factor"]) == (1024.0, 1.0, 1.0)
    assert paddle_scaler(fixed)["use_dynamic_loss_scaling"] is False


def test_apexs_scaler_is_read_and_its_growth_is_said_to_be_assumed() -> None:
    scaler, _ = read_scaler({"amp": {"loss_scaler0": {"loss_scale": 512.0, "unskipped": 3}}})
    assert scaler == LossScaler(512.0, passed=3, key="amp.loss_scaler0", assumed=True)
    assert "does not say how the loss scale grows" in "\n".join(scaler_in_words(scaler, "pdparams"))


@pytest.mark.parametrize(
    ("tree", "note"),
    [
        ({"a": GROWN, "b": GROWN}, "2 loss scalers (a, b) were left out"),
        ({"scaler": {**GROWN, "scale": float("nan")}}, "scaler: left out.*its scale is nan"),
        ({"scaler": {**GROWN, "growth_interval": 0}}, "grows after 0 updates"),
        ({"scaler": {**GROWN, "scale": "much"}}, "scaler: left out"),
    ],
)
def test_scaler_that_cannot_be_carried_is_left_out_with_the_reason(tree: dict[str, Any], note: str) -> None:
    scaler, notes = read_scaler(tree)
    assert scaler is None
    for part in note.split(".*"):
        assert part in notes[0]


def test_mindspore_counts_updates_from_one_and_from_the_last_overflow() -> None:
    entries = {
        "scale_sense": LazyTensor.of(np.array(64.0, np.float32)),
        "current_iterator_step": LazyTensor.of(np.array(31, np.int32)),
        "last_overflow_iterator_step": LazyTensor.of(np.array(10, np.int32)),
    }
    scaler, _ = read_mindspore_scaler(entries)
    assert scaler is not None
    assert (scaler.scale, scaler.passed, scaler.fixed) == (64.0, 20, False)
    again, _ = read_mindspore_scaler(mindspore_scaler(scaler))
    assert again == scaler


def test_scale_without_counters_is_a_fixed_one_and_one_is_none() -> None:
    scaler, _ = read_mindspore_scaler({"loss_scale": LazyTensor.of(np.array([8.0], np.float32))})
    assert scaler is not None
    assert scaler.fixed
    assert list(mindspore_scaler(scaler)) == ["scale_sense"]
    assert read_mindspore_scaler({"loss_scale": LazyTensor.of(np.array([1.0], np.float32))}) == (None, ())


def test_what_a_format_has_no_place_for_is_named() -> None:
    lines = "\n".join(scaler_in_words(SCALER, "mindspore"))
    assert "scale_factor=3, scale_window=500" in lines
    assert "one factor and no 0.25" in lines
    patient = LossScaler(2.0, tolerated=2)
    assert "decr_every_n_nan_or_inf=2" in "\n".join(scaler_in_words(patient, "torch-zip"))
    assert len(list(scaler_in_words(patient, "pdparams"))) == 1


def test_mindspores_file_holds_the_scaler_and_gives_it_back() -> None:
    weight = {"w": LazyTensor.of(np.ones((2, 2), np.float32))}
    moments = {"w": {"exp_avg": weight["w"], "exp_avg_sq": weight["w"]}}
    state = OptimizerState(moments, {"w": 3}, epochs=2, scaler=LossScaler(32.0, passed=5))
    entries = mindspore_entries(weight, None, state, Path("run.ckpt"))
    back = read_mindspore(Path("run.ckpt"), entries, Path("run.ckpt"))
    assert back.scaler == LossScaler(32.0, passed=5, key="scale_sense", assumed=True)


def test_schedule_that_counts_updates_keeps_its_place_both_ways() -> None:
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    own = torch.optim.lr_scheduler.StepLR(optimizer, 5)
    for _ in range(3):
        optimizer.step()
        own.step()
    schedule, _ = read_schedule({"lr_schedulers": [own.state_dict()]})
    assert schedule is not None
    assert (schedule.position, schedule.key) == (3, "lr_schedulers")
    assert {"step_size", "gamma", "base_lrs"} <= set(schedule.settings)
    assert paddle_schedule(schedule, 1, 0.5) == {"last_epoch": 3, "last_lr": 0.5}
    assert torch_schedule(schedule, [0.5]) == {"last_epoch": 3, "_step_count": 4, "_last_lr": [0.5]}
    assert "step_size" in "\n".join(schedule_in_words(schedule, "pdparams"))


def test_paddles_plateau_goes_on_from_torchs() -> None:
    torch, paddle = pytest.importorskip("torch"), pytest.importorskip("paddle")
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    own = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=3)
    for loss in (2.0, 1.0, 1.5, 1.5):
        own.step(loss)
    schedule, _ = read_schedule({"scheduler": own.state_dict()})
    assert schedule is not None
    theirs = paddle.optimizer.lr.ReduceOnPlateau(1.0, patience=3)
    theirs.set_state_dict(paddle_schedule(schedule, 0, 1.0))
    assert (theirs.best, theirs.num_bad_epochs, theirs.last_epoch) == (1.0, 2, 4)


def test_schedule_without_a_position_leaves_the_epochs() -> None:
    schedule, _ = read_schedule({"lr_scheduler": {"t_initial": 300, "lr_min": 1e-5}})
    assert schedule == Schedule(None, {}, ("t_initial", "lr_min"), "lr_scheduler")
    assert paddle_schedule(schedule, 4, 0.1)["last_epoch"] == 4
    assert torch_schedule(schedule, [0.1]) == {}
    assert read_schedule({"lr_scheduler": {}}) == (None, ())


def test_several_schedules_are_left_out_by_name() -> None:
    schedule, notes = read_schedule({"lr_schedulers": [{"last_epoch": 1}, {"last_epoch": 2}]})
    assert schedule is None
    assert "2 schedules" in notes[0]
