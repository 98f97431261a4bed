from __future__ import annotations

from pathlib import Path

import pytest

from alignment.errors import AlignmentError
from alignment.pair.published import build
from alignment.processes.settings import Settings
from alignment.training.configuring import configuration, needs_teacher, with_precision
from porting.architectures import build as architecture
from porting.conversion import write_random
from recipe.errors import ConfigError


def test_the_shipped_configuration_of_the_model_is_taken_with_the_rate_of_its_own_batch() -> None:
    config = configuration(build("pit_b", image_size=64, num_classes=10), Settings(batch_size=2, seed=5))
    assert (config.model.name, config.model.image_size, config.model.num_classes) == ("pit_b", 64, 10)
    assert config.schedule.warmup_epochs == 10
    assert (config.optimizer.learning_rate, config.optimizer.base_batch) == (5e-4 * 128 / 512, 0)
    assert (config.data.batch_size, config.data.workers, config.run.seed) == (2, 0, 5)


def test_a_model_without_a_configuration_takes_the_preset() -> None:
    config = configuration(build("regnety_160", image_size=64, num_classes=10), Settings())
    assert (config.model.name, config.schedule.epochs) == ("regnety_160", 300)


def test_overrides_replace_settings_of_the_recipe() -> None:
    overrides = ("ema.decay=0.5", "schedule.epochs=70")
    config = configuration(build("pit_ti"), Settings(), source="hatimwen", overrides=overrides)
    assert (config.ema.decay, config.schedule.epochs, config.optimizer.clip) == (0.5, 70, 5.0)


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"ema\.deca"):
        configuration(build("pit_ti"), Settings(), overrides=["ema.deca=1"])


def test_images_that_are_not_square_are_refused() -> None:
    with pytest.raises(AlignmentError, match="square"):
        configuration(build("deit_tiny", image_size=(32, 64)), Settings())


def test_a_distilled_model_gets_the_recipes_teacher_with_weights_to_be_drawn() -> None:
    pair = build("pit_ti_distilled", num_classes=10)
    config = configuration(pair, Settings())
    assert needs_teacher(config)
    assert (config.distillation.kind, config.distillation.teacher) == ("hard", "regnety_160")
    assert not needs_teacher(configuration(pair, Settings(), overrides=["distillation.kind=none"]))


def test_teacher_is_the_model_of_its_checkpoint(tmp_path: Path) -> None:
    teacher = tmp_path / "teacher.safetensors"
    write_random(architecture("pit_micro"), teacher)
    config = configuration(
        build("pit_micro_distilled"), Settings(), teacher=teacher, overrides=["distillation.kind=soft"]
    )
    assert (config.distillation.teacher, config.distillation.weights) == ("pit_micro", str(teacher))
    assert not needs_teacher(config)


def test_micro_batches_are_multiplied() -> None:
    config = configuration(build("pit_ti"), Settings(), overrides=["run.accumulation=3"])
    assert with_precision(config, "float64", 2).run.accumulation == 6
    assert with_precision(config, "float64", 2).run.precision == "float64"


def test_an_odd_batch_that_timm_could_not_mix_is_refused() -> None:
    with pytest.raises(AlignmentError, match="even batches only"):
        configuration(build("pit_ti"), Settings(batch_size=3))
    config = configuration(build("pit_ti"), Settings(batch_size=3), overrides=["mixing.probability=0"])
    assert config.data.batch_size == 3
