"""Configurations from files and presets: what they say, what is refused, and where."""

from __future__ import annotations

from operator import attrgetter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from porting.architectures import NAMES
from recipe.config import Config, Optimizer
from recipe.errors import ConfigError
from recipe.loading import dump, load, locate, preset_names
from recipe.yaml_text import read_settings

ROOT = Path(__file__).parents[2]
VARIANTS = [name for name in NAMES if name.startswith(("pit_ti", "pit_xs", "pit_s", "pit_b", "deit_"))]


def _file(folder: Path, text: str) -> Path:
    path = folder / "run.yaml"
    path.write_text(text)
    return path


def _refusal(source: object, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(str(source), overrides)
    assert caught.value.exit_code == 2
    return str(caught.value)


@pytest.mark.parametrize("name", preset_names())
def test_shipped_configuration_survives_dump_and_load(name: str, tmp_path: Path) -> None:
    config = load(name)
    assert load(_file(tmp_path, dump(config))) == config


@pytest.mark.parametrize("model", VARIANTS)
def test_there_is_a_configuration_of_every_variant(model: str) -> None:
    config = load(f"{model}_224")
    assert (config.model.name, config.model.image_size) == (model, 224)
    assert config.distillation.kind == ("hard" if model.endswith("_distilled") else "none")


@pytest.mark.parametrize("model", ["pit_b_distilled", "deit_base", "deit_base_distilled"])
def test_fine_tuning_at_384_has_the_settings_of_deit(model: str) -> None:
    config = load(f"{model}_384")
    assert (config.model.name, config.model.image_size, config.data.crop) == (model, 384, 1.0)
    assert (config.optimizer.learning_rate, config.optimizer.weight_decay, config.schedule.epochs) == (5e-6, 1e-8, 30)
    assert config.model.weights is not None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("pit_ti_224", {"optimizer.learning_rate": 5e-4, "schedule.warmup_epochs": 5, "augmentation.repeats": 1}),
        ("pit_b_224", {"schedule.warmup_epochs": 10, "augmentation.repeats": 3, "model.drop_path_rate": 0.1}),
        ("pit_s_224", {"ema.decay": 0.99996, "loss.smoothing": 0.1, "data.crop": 0.9, "schedule.minimum_rate": 1e-5}),
        ("deit_small_224", {"data.crop": 0.875, "optimizer.decay_all": False, "optimizer.clip": None}),
        ("hatimwen", {"optimizer.clip": 5.0, "schedule.warmup_epochs": 20, "schedule.warmup_rate": 5e-7}),
        ("pit_ti_224_hatimwen", {"schedule.cooldown_epochs": 10, "model.drop_path_rate": 0.0, "augmentation.flip": 0}),
        ("hatimwen", {"augmentation.auto": "original", "augmentation.scale": (0.05, 1.0), "optimizer.decay_all": True}),
        ("pit_ti_224_mindcv", {"optimizer.learning_rate": 2e-3, "schedule.epochs": 500, "optimizer.base_batch": 0}),
        ("pit_xs_224_mindcv", {"optimizer.learning_rate": 1e-3, "schedule.epochs": 600, "ema.decay": 0.0}),
        ("pit_s_224_mindcv", {"optimizer.learning_rate": 2e-3, "augmentation.repeats": 1, "data.crop": 0.875}),
        ("pit_b_224_mindcv", {"model.drop_path_rate": 0.2, "augmentation.repeats": 3, "data.crop": 0.9}),
    ],
)
def test_presets_have_the_settings_of_their_projects(name: str, expected: dict[str, object]) -> None:
    config = load(name)
    assert {setting: attrgetter(setting)(config) for setting in expected} == expected


def test_the_shipped_files_are_package_data() -> None:
    assert 'paddle_impl = ["configs/*.yaml"]' in (ROOT / "pyproject.toml").read_text()
    assert {path.stem for path in (ROOT / "paddle_impl").glob("configs/*.yaml")} == set(preset_names())


def test_numbers_that_yaml_takes_for_text_are_numbers(tmp_path: Path) -> None:
    path = _file(tmp_path, "optimizer: {learning_rate: 5e-4, epsilon: 1E-8, base_batch: 1e3}\nmodel: {drop_rate: 0}")
    optimizer = load(path).optimizer
    assert (optimizer.learning_rate, optimizer.epsilon, optimizer.base_batch) == (5e-4, 1e-8, 1000)
    assert isinstance(optimizer.base_batch, int)


@given(st.floats(min_value=1e-12, max_value=1e3), st.floats(min_value=0, max_value=0.999))
def test_any_number_survives_its_dump(rate: float, beta: float) -> None:
    config = Config(optimizer=Optimizer(learning_rate=rate, betas=(beta, beta)))
    lines = [line.strip() for line in dump(config).splitlines()]
    values = [
        f"optimizer.{line.replace(': ', '=', 1)}" for line in lines if line.startswith(("learning_rate", "betas"))
    ]
    assert load("deit", values).optimizer.learning_rate == rate
    assert load("deit", values).optimizer.betas == (beta, beta)


def test_overrides_come_last_and_hold_any_value() -> None:
    config = load(
        "pit_ti_224", ["optimizer.clip=5", "augmentation.auto=null", "augmentation.scale=[0.3, 1]", "run.seed=7"]
    )
    assert (config.optimizer.clip, config.augmentation.auto, config.run.seed) == (5.0, None, 7)
    assert config.augmentation.scale == (0.3, 1.0)


@pytest.mark.parametrize("path", ["2026", "2026-01-01", "a: b", "[", "on", "{x}", "with blanks = and signs", "1e5"])
def test_paths_on_the_command_line_are_taken_as_they_are(path: str) -> None:
    assert load("deit", [f"data.path={path}"]).data.path == path


def test_quotes_on_the_command_line_are_read_as_yaml() -> None:
    assert load("deit", ["data.path='a # b'", "data.train=null"]).data.path == "a # b"


def test_a_file_extends_a_preset_or_a_file_beside_it(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("extends: mindcv\nschedule: {epochs: 9, warmup_epochs: 2}\n")
    config = load(_file(tmp_path, "extends: base.yaml\nschedule: {warmup_epochs: 3}\n"))
    assert (config.schedule.epochs, config.schedule.warmup_epochs, config.optimizer.base_batch) == (9, 3, 0)


def test_unknown_settings_are_refused_with_line_and_nearest_name(tmp_path: Path) -> None:
    path = _file(
        tmp_path, "optimizer:\n  learning_rate: 1e-3\n  weight_decya: 0.1\ntrian:\n  epochs: 3\nbatch_size: 8\n"
    )
    message = _refusal(path)
    assert f"{path}:3: unknown setting optimizer.weight_decya; did you mean optimizer.weight_decay?" in message
    assert f"{path}:5: unknown setting trian.epochs; did you mean schedule.epochs?" in message
    assert f"{path}:6: unknown setting batch_size; did you mean data.batch_size?" in message


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("run.seed=true", "run.seed is True, expected an integer"),
        ("run.seed=1.5", "run.seed is 1.5, expected an integer"),
        ("optimizer.decay_all=1", "expected true or false"),
        ("optimizer.learning_rate=.nan", "expected a number"),
        ("optimizer.learning_rate=fast", "optimizer.learning_rate is 'fast', expected a number"),
        ("optimizer.betas=[0.9]", "expected a list of 2 numbers"),
        ("optimizer.clip=[]", "expected a number or null"),
        ("model.name=null", "model.name is null, expected a string"),
        ("data.path=", "data.path is null, expected a string"),
        ("data={path: x}", "data is {'path': 'x'}, expected a mapping"),
        ("optimizer.clip", "'optimizer.clip' is no override, expected section.setting=value"),
        ("optimizer.betas=[", "is no YAML value"),
        ("run.seed=2026-99-99", "is no YAML value"),
        (f"optimizer.learning_rate=1{'0' * 400}", "expected a number"),
        ("schedule.epochs=.inf", "expected an integer"),
    ],
)
def test_values_of_a_wrong_type_are_refused(override: str, message: str) -> None:
    assert message in _refusal("deit", override)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- 1\n", "run.yaml:1: expected a mapping of sections"),
        ("model: {name: pit_b\n", "is no YAML"),
        ("run:\n  seed: 1\n  seed: 2\n", "run.yaml:3: run.seed is given twice"),
        ("extends: run.yaml\n", "extends itself"),
        ("extends: dait\n", "run.yaml:1: extends dait: there is no such file"),
        ("extends: [deit]\n", "expected the name of a configuration"),
        ("run: {output: 2026-99-99}\n", "holds a value that is none"),
        ("model: 3\n", "run.yaml:1: model is 3, expected a mapping of settings"),
        ("run: {output: !!python/object/apply:os.getcwd []}\n", "could not determine a constructor"),
        ("a: " + "[" * 5000, "is nested too deeply"),
    ],
)
def test_files_that_are_no_configuration_are_refused(text: str, message: str, tmp_path: Path) -> None:
    assert message in _refusal(_file(tmp_path, text))


def test_empty_sections_are_the_defaults_and_an_empty_file_is_refused(tmp_path: Path) -> None:
    assert load(_file(tmp_path, "{}")) == load(_file(tmp_path, "model:\nrun: {}\n")) == Config()
    assert "is empty, expected sections such as model" in _refusal(_file(tmp_path, ""))


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    assert "is no text, expected a YAML file" in _refusal(path)


def test_a_misspelt_preset_names_the_nearest() -> None:
    assert "did you mean the shipped pit_b_224?" in _refusal("pit_b_225")
    assert "did you mean the shipped pit_b_224?" in _refusal("elsewhere/pit_b_224.yaml")
    assert locate("pit_b_224").name == "pit_b_224.yaml"


def test_settings_have_their_file_and_line(tmp_path: Path) -> None:
    path = _file(tmp_path, "model:\n  name: pit_b\n\n# why\nrun:\n  seed: 3\n")
    assert read_settings(path)["run.seed"].where == f"{path}:6"
