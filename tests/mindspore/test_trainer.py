"""The trainer of a published pair: it is the code of `pit-train --framework mindspore`, and gives what torch gives."""

from __future__ import annotations

import json
import runpy
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alignment.errors import AlignmentError
from alignment.pair import Side
from alignment.pair.published import build
from recipe.errors import ConfigError
from recipe.loading import override
from recipe.schedule import CosineSchedule

RECORDER: Mapping[str, Any] = runpy.run_path(str(Path(__file__).with_name("record_losses.py")))
SIDE = build("pit_micro", image_size=32, num_classes=2, candidate="mindspore").candidate


def trainer_of(folder: Path, *settings: str, side: Side = SIDE) -> Any:
    from alignment.backends.trainers.base import create

    folder.mkdir(exist_ok=True)
    config = RECORDER["configuration"](folder, "mindspore.mode=pynative")
    return create(side, override(config, list(settings)))


def linear(**_: Any) -> Any:
    from mindspore import nn

    return nn.Dense(3, 2)


def test_trainer_trains_with_the_losses_of_torch_and_at_the_rates_of_the_schedule(
    mindspore: Any, tmp_path: Path
) -> None:
    trainer = trainer_of(tmp_path)
    before = trainer.average()
    done = trainer.train(2)
    recorded = json.loads(RECORDER["RECORDED"].read_text())
    np.testing.assert_allclose([(one.loss, one.gradient_norm) for one in done], recorded[:2], rtol=1e-5)
    schedule = CosineSchedule(trainer.config.schedule, trainer.config.optimizer.learning_rate, 2)
    np.testing.assert_allclose([one.rate for one in done], [schedule.rate(0, at) for at in (0, 1)], rtol=2.0**-23)
    assert before.keys() == trainer.weights().keys()
    assert all((before[name] != array).any() for name, array in trainer.average().items())
    trainer.config = override(trainer.config, ["schedule.epochs=1"])
    with pytest.raises(AlignmentError, match="4 updates are asked for, and the configuration ends after 2"):
        trainer.train(4)


def test_trainer_says_of_an_image_what_torch_says(mindspore: Any, tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path)
    shares = trainer.probabilities([tmp_path / RECORDER["IMAGE"]], tmp_path / "first.ckpt")
    np.testing.assert_allclose(shares[0], json.loads(RECORDER["SHARES"].read_text()), rtol=1e-5)


def test_step_of_the_optimizer_clips_decays_and_leaves_the_average(mindspore: Any, tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path)
    ones = {name: np.ones_like(array) for name, array in trainer.weights().items()}
    trainer.start(ones)
    trainer.apply(ones, 0.5)
    size = sum(array.size for array in ones.values())
    moments = trainer.moments()
    np.testing.assert_allclose(moments["first"]["head.weight"], 0.1 / np.sqrt(size), rtol=1e-5)
    np.testing.assert_allclose(moments["second"]["head.weight"], 1e-3 / size, rtol=2e-5)
    decay = trainer.config.optimizer.weight_decay
    np.testing.assert_allclose(trainer.weights()["head.weight"], 1 - 0.5 * (1 + decay), rtol=1e-4)
    np.testing.assert_allclose(trainer.weights()["head.bias"], 0.5, rtol=1e-4)
    np.testing.assert_array_equal(trainer.average()["head.bias"], 1.0)


def test_initial_values_differ_by_the_seed_and_are_those_of_the_reference_unless_turned_off(
    mindspore: Any, tmp_path: Path
) -> None:
    trainer = trainer_of(tmp_path)
    first, second = trainer.initial(1), trainer.initial(2)
    name = "0.blocks.0.mlp.fc2.weight"  # (24, 96): within 1 / sqrt(96), where MindCV has 1 / sqrt(24)
    assert (first[name] != second[name]).any()
    assert 0.09 < np.abs(first[name]).max() <= 96**-0.5
    trainer.config = override(trainer.config, ["mindspore.reference_init=false"])
    assert 0.19 < np.abs(trainer.initial(1)[name]).max() <= 24**-0.5


def test_trainer_refuses_what_it_cannot_train_as_the_reference(mindspore: Any, tmp_path: Path) -> None:
    with pytest.raises(AlignmentError, match="draw from its own generator"):
        trainer_of(tmp_path / "dropout", "model.drop_rate=0.1").train(1)
    with pytest.raises(ConfigError, match="cannot carry this configuration out"):
        trainer_of(tmp_path / "regnet", "model.name=regnety_160")
    with pytest.raises(AlignmentError, match=r"makes a Dense, and .* trains MindCV's PoolingTransformer"):
        trainer_of(tmp_path / "dense", side=replace(SIDE, build=f"{__file__}:linear"))


def test_two_processes_train_as_one_does(mindspore: Any, tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path, "run.accumulation=2")
    weights = trainer.weights()
    alone = trainer.train(1)
    after = trainer.weights()
    trainer.start(weights)
    shared = trainer.train(1, world=2)
    row, other = ((done[0].loss, done[0].rate, done[0].gradient_norm) for done in (alone, shared))
    np.testing.assert_allclose(other, row, rtol=1e-5)
    assert any((after[name] != weights[name]).any() for name in weights)
    for name, array in trainer.weights().items():
        np.testing.assert_allclose(array, after[name], rtol=1e-3, atol=2 * row[1])
