"""Training in MindSpore: the losses of torch, MindCV's own rates, groups of decay, the loss scale, and the state."""

from __future__ import annotations

import json
import runpy
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recipe.config import Config, MindSpore, Run, peak_rate
from recipe.loading import dump, load
from recipe.programs import Request, run_program
from recipe.schedule import CosineSchedule

RECORDER: Mapping[str, Any] = runpy.run_path(str(Path(__file__).with_name("record_losses.py")))


def test_recorded_losses_are_those_of_torch() -> None:
    pytest.importorskip("torch", reason="torch is not installed here; `make test` has it")
    recorded = json.loads(RECORDER["RECORDED"].read_text())
    np.testing.assert_allclose(RECORDER["losses"](), recorded, rtol=1e-9)
    np.testing.assert_allclose(RECORDER["shares"](), json.loads(RECORDER["SHARES"].read_text()), rtol=1e-9)


def test_run_has_the_losses_of_torch_and_goes_on_from_its_state(mindspore: Any, tmp_path: Path) -> None:
    from mindspore_impl.training.program import Opened, set_up
    from mindspore_impl.training.run import Run as MindSporeRun

    config = RECORDER["configuration"](tmp_path, "mindspore.mode=pynative")
    set_up(config)
    run = MindSporeRun(config)
    steps = list(run.epoch(0))
    rows = [(step.loss, step.gradient_norm) for step in steps]
    result = run.evaluate("ema")
    rows.append((result.loss, result.top1))
    np.testing.assert_allclose(rows, json.loads(RECORDER["RECORDED"].read_text()), rtol=1e-5)
    path = tmp_path / "state.ckpt"
    run.save(3, path)
    other = MindSporeRun(config)
    assert other.restore(path) == 3
    assert other.recipe.scale == run.recipe.scale
    state = [{parameter.name: parameter for parameter in one.recipe.optimizer.get_parameters()} for one in (run, other)]
    for name in ("adam_v.head.weight", "head.weight", "global_step", "beta2_power"):
        np.testing.assert_array_equal(state[1][name].asnumpy(), state[0][name].asnumpy())
    opened = Opened(load("deit", [*RECORDER["SETTINGS"], f"data.path={tmp_path}", f"model.weights={path}"]))
    assert asdict(opened.evaluate()) == asdict(result)


def test_command_predicts_with_the_probabilities_of_torch(
    mindspore: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config = RECORDER["configuration"](tmp_path, "mindspore.mode=pynative")
    (tmp_path / "broken.png").write_bytes(b"no image")
    files = (str(tmp_path / RECORDER["IMAGE"]), str(tmp_path / "broken.png"))
    request = Request("predict", dump(config), as_json=True, images=files)
    assert run_program("mindspore", request) == 3
    said = capfd.readouterr()
    assert "1 image could not be read" in said.err
    first, second, last = map(json.loads, said.out.splitlines())
    assert (last["error"]["summary"], last["error"]["exit_code"]) == ("1 image could not be read", 3)
    predicted = [row["probability"] for row in sorted(first["classes"], key=lambda row: int(row["index"]))]
    np.testing.assert_allclose(predicted, json.loads(RECORDER["SHARES"].read_text()), rtol=1e-5)
    assert second["path"] == files[1]
    assert "classes" not in second or not second["classes"]
    assert "WARNING" not in said.err


@pytest.mark.parametrize("level", ["O1", "O2", "O3"])
def test_levels_of_mixed_precision_train_near_float32(mindspore: Any, tmp_path: Path, level: str) -> None:
    from mindspore_impl.training.program import set_up
    from mindspore_impl.training.run import Run as MindSporeRun

    settings = ("mindspore.mode=pynative", "run.precision=mixed", f"mindspore.amp_level={level}")
    scale = ("mindspore.loss_scale_type=fixed", "mindspore.loss_scale=128")  # the dynamic one drops the first update
    config = RECORDER["configuration"](tmp_path, *settings, *scale)
    set_up(config)
    steps = list(MindSporeRun(config).epoch(0))
    losses = [loss for loss, _ in json.loads(RECORDER["RECORDED"].read_text())[: len(steps)]]
    np.testing.assert_allclose([step.loss for step in steps], losses, rtol=0.02)
    assert [step.loss for step in steps] != losses


def test_loss_scale_and_epochs_of_a_carried_run_are_taken_up(mindspore: Any, tmp_path: Path) -> None:
    from mindspore_impl.training.program import set_up
    from mindspore_impl.training.run import Run as MindSporeRun
    from porting.conversion import convert

    config = RECORDER["configuration"](tmp_path, "mindspore.mode=pynative", "run.precision=mixed")
    set_up(config)
    run = MindSporeRun(config)
    own = {parameter.name: parameter for parameter in run.recipe.optimizer.get_parameters()}
    for name, value in (("global_step", 1), ("beta1_power", 0.9), ("beta2_power", 0.999)):
        own[name].set_data(mindspore.Tensor(np.full(own[name].shape, value, own[name].asnumpy().dtype)))
    run.recipe.scale.value, run.recipe.scale.good = 256.0, 7
    run.save(4, tmp_path / "own.ckpt")
    report = convert(tmp_path / "own.ckpt", tmp_path / "carried.ckpt", target_layout="mindcv", with_optimizer=True)
    assert "5 epochs done" in report.training
    again = MindSporeRun(config)
    assert again.restore(tmp_path / "carried.ckpt") == 4
    assert (again.recipe.scale.value, again.recipe.scale.good) == (256.0, 7)


@pytest.mark.parametrize("stairs", [False, True])
def test_rates_are_those_of_mindcv(mindspore: Any, stairs: bool) -> None:
    from mindcv.scheduler import create_scheduler

    overrides = ["schedule.epochs=8", "schedule.warmup_epochs=2", "schedule.decay_epochs=4"]
    config = load("mindcv_defaults", [*overrides, f"schedule.per_update={not stairs}"])
    schedule, rate = config.schedule, peak_rate(config)
    expected = create_scheduler(
        *(3, "cosine_decay"),
        lr=rate,
        min_lr=schedule.minimum_rate,
        warmup_epochs=2,
        decay_epochs=4,
        num_epochs=8,
        lr_epoch_stair=stairs,
    )
    ours = CosineSchedule(schedule, rate, 3)
    actual = [ours.rate(epoch, update) for epoch in range(8) for update in range(3)]
    np.testing.assert_allclose(actual, expected, rtol=1e-12)


@pytest.mark.parametrize("decay_all", [False, True])
def test_vectors_and_tokens_are_exempt_unless_all_decay(mindspore: Any, mindcv: Any, decay_all: bool) -> None:
    from mindspore_impl.mindcv import create
    from mindspore_impl.training.recipe import decay_groups

    decay, exempt = decay_groups(create("pit_micro", image_size=(32, 32)), decay_all=decay_all)
    names = {parameter.name for parameter in decay}
    assert not exempt if decay_all else {"pos_embed", "cls_token", "norm.gamma"} <= {one.name for one in exempt}
    assert "head.weight" in names
    assert ("pos_embed" in names) is decay_all


@pytest.mark.parametrize(
    ("precision", "settings", "first", "after_overflow", "drops"),
    [
        ("float32", MindSpore(), 1.0, 1.0, False),
        ("float16", MindSpore(), 2.0**24, 2.0**23, True),
        ("mixed", MindSpore(loss_scale_type="dynamic", loss_scale=8.0), 8.0, 4.0, True),
        ("mixed", MindSpore(loss_scale_type="fixed", loss_scale=8.0), 8.0, 8.0, False),
        ("mixed", MindSpore(amp_level="O0"), 1.0, 1.0, False),
        ("float16", MindSpore(loss_scale_type="fixed", drop_overflow_update=True), 1.0, 1.0, True),
    ],
)
def test_loss_scale_follows_its_type(
    mindspore: Any, precision: str, settings: MindSpore, first: float, after_overflow: float, drops: bool
) -> None:
    from mindspore_impl.training.recipe import LossScale

    scale = LossScale.of(Config(run=Run(precision=precision), mindspore=settings))
    assert (scale.value, scale.drops) == (first, drops)
    scale.overflowed()
    assert scale.value == after_overflow
    for _ in range(2000):
        scale.passed()
    assert scale.value == after_overflow * (2 if scale.dynamic else 1)


def test_gradients_of_micro_batches_are_averaged(mindspore: Any) -> None:
    from mindspore_impl.training.cells import Mean

    norm, means = Mean(2)(*(mindspore.Tensor(np.float32(value)) for value in (1.0, 2.0, 5.0, 6.0)))
    assert [float(mean) for mean in means] == [3.0, 4.0]
    assert float(norm) == pytest.approx(5.0)


def test_gradients_and_losses_are_averaged_over_processes(mindspore: Any) -> None:
    from mindspore_impl.training.parallel import Averaging, join

    assert join().size == 1
    average = Averaging(2, lambda tensor: tensor * 3)
    tensors = [mindspore.Tensor(np.float32(value)) for value in (4.0, 2.0, 2.0)]
    loss, norm, means = average(*tensors)
    assert (float(loss), [float(mean) for mean in means]) == (6.0, [3.0, 3.0])
    assert float(norm) == pytest.approx(18**0.5)
