from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import paddle
import pytest

from paddle_impl.training import engine
from paddle_impl.training.parallel import World
from paddle_impl.training.parts import MicroBatch, Parts
from paddle_impl.training.precision import Precision
from paddle_impl.training.run import Result, train
from paddle_impl.training.saving import Store
from porting.checkpoint.formats.nested import Nested, arrays
from recipe.config import Config
from recipe.draws import Randomness, Seeded
from recipe.errors import TrainingError
from recipe.runs.log import read_log

Run = Callable[..., Result]


class _Hooked:
    """The tiny run's images, with something done before an update."""

    def __init__(self, images: Any, before: Callable[[int, int], None]) -> None:
        self.images, self.before, self.updates = images, before, images.updates

    def epoch(self, epoch: int, start_update: int = 0) -> Iterator[tuple[MicroBatch, ...]]:
        """Calls the hook with epoch and update."""
        for update, micro_batches in enumerate(self.images.epoch(epoch, start_update), start_update):
            self.before(epoch, update)
            yield micro_batches


def _assemble(tiny_run: ModuleType, change: Callable[[Parts], Parts]) -> Any:
    def assemble(config: Config, world: World, precision: Precision, randomness: Randomness) -> Parts:
        return change(tiny_run.assemble(config, world, precision, randomness))

    return assemble


def _hooked(tiny_run: ModuleType, before: Callable[[int, int], None]) -> Any:
    return _assemble(tiny_run, lambda parts: replace(parts, training=_Hooked(parts.training, before)))


def _saved(folder: Path, name: str = "latest.pdparams") -> dict[str, Any]:
    """What a run's checkpoint holds, but its folder's name."""
    with Nested(folder / name) as checkpoint:
        tree = checkpoint.tree
        tensors = {
            f"{key}/{name}": array.tobytes()
            for key in ("model", "model_ema", "optimizer")
            for name, array in arrays(tree.get(key)).items()
        }
        return {**tensors, "progress": tree["progress"], "groups": tree["optimizer_groups"]}


def _model(folder: Path) -> dict[str, Any]:
    with Nested(folder / "latest.pdparams") as checkpoint:
        return arrays(checkpoint.tree["model"])


def _losses(folder: Path) -> list[float]:
    return [entry["loss"] for entry in read_log(folder / "log.jsonl") if entry["event"] == "train"]


@pytest.mark.parametrize("at", [(0, 0), (1, 3), (1, 7), (2, 0)])
def test_run_ended_by_sigterm_resumes_to_the_state_of_an_undisturbed_run(
    tiny_run: ModuleType, run_tiny: Run, tmp_path: Path, at: tuple[int, int]
) -> None:
    """A published port forgets epoch and randomness, so that its second epoch becomes another one."""

    def kill(epoch: int, update: int) -> None:
        if (epoch, update) == at:
            os.kill(os.getpid(), signal.SIGTERM)

    undisturbed = run_tiny(run={"output": str(tmp_path / "undisturbed")})
    stopped = run_tiny(assemble=_hooked(tiny_run, kill))
    assert (stopped.stopped, stopped.exit_code, stopped.epochs) == ("SIGTERM", 143, at[0])
    resumed = run_tiny(resume=tmp_path / "run")
    assert (resumed.stopped, resumed.exit_code, resumed.epochs) == (None, 0, 3)
    assert resumed.history == undisturbed.history
    for name in ("latest.pdparams", "epoch_0002.pdparams"):
        assert _saved(tmp_path / "run", name) == _saved(tmp_path / "undisturbed", name), name
    assert _losses(tmp_path / "run") == _losses(tmp_path / "undisturbed")


def test_run_interrupted_in_evaluation_repeats_the_evaluation(
    tiny_run: ModuleType, run_tiny: Run, tmp_path: Path
) -> None:
    class Killing:
        def __init__(self, source: Any) -> None:
            self.source, self.count = source, source.count

        def __iter__(self) -> Iterator[Any]:
            os.kill(os.getpid(), signal.SIGINT)
            yield from self.source

    undisturbed = run_tiny(run={"output": str(tmp_path / "undisturbed")})
    change = _assemble(tiny_run, lambda parts: replace(parts, validation=Killing(parts.validation)))
    stopped = run_tiny(assemble=change)
    assert (stopped.stopped, stopped.exit_code, stopped.epochs, stopped.history) == ("SIGINT", 130, 0, ())
    assert run_tiny(resume=tmp_path / "run").history == undisturbed.history
    assert _saved(tmp_path / "run") == _saved(tmp_path / "undisturbed")


def test_evaluation_is_in_the_log_of_a_run_that_ended_just_after_it_was_saved(
    run_tiny: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = Store.save

    def save_and_end(store: Store, tree: Any, also: Any = ()) -> None:
        save(store, tree, also)
        if tree["progress"]["update"] == 0:
            raise KeyboardInterrupt

    run_tiny(run={"output": str(tmp_path / "undisturbed")})
    monkeypatch.setattr(Store, "save", save_and_end)
    with pytest.raises(KeyboardInterrupt):
        run_tiny()
    monkeypatch.undo()
    run_tiny(resume=tmp_path / "run")
    logged, expected = (
        [entry for entry in read_log(tmp_path / name / "log.jsonl") if entry["event"] == "evaluation"]
        for name in ("run", "undisturbed")
    )
    assert logged == expected


def test_accumulated_micro_batches_are_averaged(run_tiny: Run, tmp_path: Path, tiny_run: ModuleType) -> None:
    """Undivided losses, as published ports add them up, would make every step that many times longer."""

    def still(parts: Parts) -> Parts:
        parts.model.drop.p = 0.0
        return parts

    ends = []
    for accumulation, batch in ((1, 8), (2, 4), (4, 2)):
        output = tmp_path / str(accumulation)
        run = {"output": str(output), "accumulation": accumulation, "precision": "float64"}
        run_tiny(assemble=_assemble(tiny_run, still), run=run, data={"batch_size": batch}, optimizer={"clip": 0.5})
        ends.append((_model(output), _losses(output)))
    for model, losses in ends[1:]:
        assert max(float(np.abs(model[name] - array).max()) for name, array in ends[0][0].items()) < 1e-12
        np.testing.assert_allclose(losses, ends[0][1], rtol=0, atol=1e-12)


def test_average_is_updated_once_an_update_not_once_a_micro_batch(run_tiny: Run, tiny_run: ModuleType) -> None:
    updates: list[None] = []

    def counted(parts: Parts) -> Parts:
        average: Any = parts.average
        update = average.update

        def counting() -> None:
            updates.append(None)
            update()

        average.update = counting
        return parts

    run_tiny(assemble=_assemble(tiny_run, counted), run={"accumulation": 2})
    assert len(updates) == 3 * 8


def test_average_is_evaluated_and_saved_beside_the_model(run_tiny: Run, tmp_path: Path) -> None:
    result = run_tiny()
    weights = [(entry["epoch"], entry["weights"]) for entry in result.history]
    assert weights == [(epoch, kind) for epoch in range(3) for kind in ("model", "ema")]
    assert result.history[-1]["loss"] != result.history[-2]["loss"]
    with Nested(tmp_path / "run" / "latest.pdparams") as checkpoint:
        model, average = (arrays(checkpoint.tree[key]) for key in ("model", "model_ema"))
    assert model.keys() == average.keys()
    assert not any(np.array_equal(model[name], average[name]) for name in model)


def test_each_update_has_the_rate_of_the_schedule(run_tiny: Run, tiny_run: ModuleType) -> None:
    """A scheduler that is stepped on its own ran an epoch late, and the last one at 0."""
    rates: list[float] = []

    def watched(parts: Parts) -> Parts:
        optimizer: Any = parts.optimizer
        step = optimizer.step

        def asking() -> None:
            rates.append(optimizer.get_lr())
            step()

        optimizer.step = asking
        return parts

    config = tiny_run.config_of()
    run_tiny(assemble=_assemble(tiny_run, watched))
    schedule = tiny_run.CosineSchedule(config.schedule, config.optimizer.learning_rate)
    expected = [schedule.rate(epoch, update) for epoch in range(3) for update in range(8)]
    np.testing.assert_allclose(rates, expected, rtol=1e-7)
    assert min(rates) > 0


def test_log_has_the_training_loss_and_all_digits_of_the_rate(run_tiny: Run, tmp_path: Path) -> None:
    """A published port names its checkpoints after the validation loss and prints rates as 0.0000."""
    result = run_tiny(optimizer={"learning_rate": 5e-7}, schedule={"warmup_epochs": 0, "minimum_rate": 1e-9})
    trained = [entry for entry in read_log(tmp_path / "run" / "log.jsonl") if entry["event"] == "train"]
    assert {entry["lr"] for entry in trained} >= {5e-7}
    assert {"epoch", "update", "updates", "loss", "lr", "batch_cost", "reader_cost", "ips", "eta"} < set(trained[0])
    assert all(0 < entry["reader_cost"] < entry["batch_cost"] for entry in trained)
    assert {entry["loss"] for entry in trained}.isdisjoint(entry["loss"] for entry in result.history)
    files = {path.name for path in (tmp_path / "run").glob("*.pdparams")}
    assert files == {"latest.pdparams", "best.pdparams", "epoch_0002.pdparams"}


def test_loss_that_is_not_finite_ends_the_run_and_keeps_the_last_checkpoint(
    tiny_run: ModuleType, run_tiny: Run, tmp_path: Path
) -> None:
    def poisoned(parts: Parts) -> Parts:
        loss = parts.loss
        calls = iter(range(1000))
        return replace(parts, loss=lambda *batch: loss(*batch) * (float("nan") if next(calls) >= 2 * 11 else 1.0))

    with pytest.raises(TrainingError, match="the loss is nan in epoch 1, at update 4"):
        run_tiny(assemble=_assemble(tiny_run, poisoned))
    with Nested(tmp_path / "run" / "latest.pdparams") as checkpoint:
        assert checkpoint.tree["progress"]["update"] == 2  # type: ignore[index,call-overload] # a tree of plain values
        assert all(np.isfinite(array).all() for array in arrays(checkpoint.tree["model"]).values())


def test_epoch_with_fewer_updates_than_announced_is_an_error(tiny_run: ModuleType, run_tiny: Run) -> None:
    class Short:
        updates = 9

        def __init__(self, images: Any) -> None:
            self.epoch = images.epoch

    change = _assemble(tiny_run, lambda parts: replace(parts, training=Short(parts.training)))
    with pytest.raises(TrainingError, match="epoch 0 ended after 8 of 9 updates"):
        run_tiny(assemble=change)


def test_best_file_holds_the_first_of_the_highest_evaluations(run_tiny: Run, tmp_path: Path) -> None:
    result = run_tiny(run={"output": str(tmp_path / "run"), "validate_every": 2})
    assert [entry["epoch"] for entry in result.history] == [1, 1, 2, 2]
    highest = max(result.history, key=lambda entry: entry["top1"])
    assert result.best is not None
    assert (result.best.epoch, result.best.top1, result.best.weights) == (
        highest["epoch"],
        highest["top1"],
        highest["weights"],
    )
    with Nested(tmp_path / "run" / "best.pdparams") as checkpoint:
        assert checkpoint.tree["epoch"] == result.best.epoch + 1


def test_run_without_validation_images_has_no_best(tiny_run: ModuleType, run_tiny: Run, tmp_path: Path) -> None:
    result = run_tiny(assemble=_assemble(tiny_run, lambda parts: replace(parts, validation=None, average=None)))
    assert (result.best, result.history, result.epochs) == (None, (), 3)
    assert not (tmp_path / "run" / "best.pdparams").exists()
    with Nested(tmp_path / "run" / "latest.pdparams") as checkpoint:
        assert "model_ema" not in checkpoint.tree


def test_tape_is_injected_into_the_model_before_each_micro_batch(
    tiny_run: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    injected: list[tuple[Any, ...]] = []
    tape = Seeded(3)
    monkeypatch.setattr(engine, "inject", lambda model, source, *prefix: injected.append((source, *prefix)))
    config = tiny_run.config_of(run={"output": str(tmp_path / "run")}, schedule={"epochs": 1, "warmup_epochs": 0})
    train(config, tape=tape, assemble=tiny_run.assemble)
    assert injected == [(tape, "model", 0, update, micro) for update in range(8) for micro in range(2)]


def test_earlier_draws_of_the_framework_do_not_change_a_run(
    run_tiny: Run, tmp_path: Path, tiny_run: ModuleType
) -> None:
    """What was drawn before, by whomever, does not change a run."""
    first = run_tiny(run={"output": str(tmp_path / "first")})
    paddle.seed(12345)
    paddle.rand([100])
    second = run_tiny(run={"output": str(tmp_path / "second")})
    assert first.history == second.history


def test_run_without_log_interval_logs_the_last_update_of_each_epoch(run_tiny: Run, tmp_path: Path) -> None:
    run_tiny(run={"log_every": 0, "save_updates": 0, "output": str(tmp_path / "run")})
    assert len(_losses(tmp_path / "run")) == 3  # the last update of each epoch
