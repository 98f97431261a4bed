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
    path.write_bytes(b"\x80\x02\x00")
    assert "is no text, expected a YAML file" in _refusal(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_byte_order_mark_and_line_ends_change_nothing(encoding: str, line_end: str, tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_bytes("# fünf\nschedule:\n  epochs: 7\n".replace("\n", line_end).encode(encoding))
    assert load(path).schedule.epochs == 7


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("run:\n".encode("utf-16"), "run.yaml: is UTF-16, expected UTF-8: save it as UTF-8"),
        ("run:\n# é\n".encode("latin-1"), "run.yaml:2: is no text in UTF-8: save the file as UTF-8"),
        (b"run:\n  seed: 1\0\n", "run.yaml:2: holds the character U+0000, which YAML does not have"),
    ],
)
def test_a_file_of_another_encoding_is_told_as_such(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_bytes(content)
    assert message in _refusal(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("run:\n\tseed: 1\n", "run.yaml:2: is no YAML: found character '\\t' that cannot start any token (a tab;"),
        ("run:\n  seed:1\n  workers: 2\n", "run.yaml:3: is no YAML: mapping values are not allowed here (a value"),
        ("run:\n  device: cpu\n  seed:1\n  output: a\n", "run.yaml:3: is no YAML: could not find expected ':' (the"),
        ("run:\n  seed: 1\n   device: cpu\n", "the line above lacks its colon"),
        ("  run:\n    seed: 1\nmodel:\n", "run.yaml:3: is no YAML: expected '<document start>', but found"),
        ("run:\n  seed: 1\n---\nrun:\n", "run.yaml:3: is no YAML: but found another document (a second document"),
        ("[a, b]: 1\n", "run.yaml:1: a key is a list or a mapping, expected a name"),
        ("run:\n  <<: 3\n", "run.yaml:2: << merges mappings only"),
        ("run: {output: 2026-99-99}\n", "run.yaml:1: run.output holds a value that is none"),
    ],
)
def test_mistakes_of_writing_are_named_with_their_line(text: str, message: str, tmp_path: Path) -> None:
    assert message in _refusal(_file(tmp_path, text))


def test_merged_mappings_are_read_behind_own_keys(tmp_path: Path) -> None:
    text = "mixing: &off {mixup: 0.1, cutmix: 0.2}\naugmentation:\n  <<: {flip: 0.1, erasing: 0.2}\n  flip: 0.3\n"
    config = load(_file(tmp_path, text))
    assert (config.augmentation.flip, config.augmentation.erasing, config.mixing.cutmix) == (0.3, 0.2, 0.2)


def test_references_that_unfold_to_any_number_of_settings_are_refused(tmp_path: Path) -> None:
    levels = [
        f"{name}: &{name} {{{', '.join(f'k{at}: *{before}' for at in range(9))}}}"
        for before, name in zip("abcdefgh", "bcdefghi", strict=True)
    ]
    assert "holds more than 10,000 settings" in _refusal(_file(tmp_path, "\n".join(["a: &a {x: 1}", *levels])))


def test_settings_out_of_range_are_told_with_their_place_and_their_own_name(tmp_path: Path) -> None:
    path = _file(tmp_path, "augmentation:\n  flip: 3\n")
    assert _refusal(path) == f"{path}:2: augmentation.flip is 3.0, expected 0 to 1"
    assert _refusal("deit", "data.crop=2") == "data.crop=2: data.crop is 2.0, expected more than 0, at most 1"
    path = _file(tmp_path, "epoch_size: 20\ndata_dir: data\nmodel: pit_ti\nhflip: 3\nbatch_size: x\n")
    assert _refusal(path) == f"{path}:5: batch_size: data.batch_size is 'x', expected an integer"
    path.write_text(path.read_text().replace("batch_size: x", "batch_size: 8"))
    assert _refusal(path) == f"{path}:4: hflip: augmentation.flip is 3.0, expected 0 to 1"


def test_settings_that_exclude_each_other_are_told_with_the_place_of_each(tmp_path: Path) -> None:
    path = _file(tmp_path, "extends: deit\nschedule:\n  warmup_epochs: 9\n")
    message = "schedule.warmup_epochs is 9, more than schedule.epochs, which is 3: set both"
    assert _refusal(path, "schedule.epochs=3") == f"{path}:3, schedule.epochs=3: {message}"


@pytest.mark.parametrize("misspelt", ["train", "TRIAN", "TRAINING"])
def test_a_misspelt_section_is_one_problem_with_its_line(misspelt: str, tmp_path: Path) -> None:
    text = f"MODEL:\n  NAME: pit_ti\n{misspelt}:\n  NUM_EPOCHS: 3\n  BASE_LR: 1e-3\n  OPTIMIZER:\n    EPS: 1e-8\n"
    with pytest.raises(ConfigError) as caught:
        load(_file(tmp_path, text), dialect="paddlevit")
    assert caught.value.details == (f"{tmp_path}/run.yaml:3: unknown section {misspelt}; did you mean TRAIN?",)
    own = _file(tmp_path, "schedul:\n  epochs: 3\n  warmup_epochs: 1\n")
    assert _refusal(own) == f"{own}:1: unknown section schedul; did you mean schedule?"


def test_a_key_in_another_case_is_answered_with_the_one_meant(tmp_path: Path) -> None:
    path = _file(tmp_path, "SCHEDULE:\n  Warmup-Epochs: 3\n")
    assert _refusal(path).endswith("did you mean schedule.warmup_epochs?")


def test_a_misspelt_preset_names_the_nearest() -> None:
    assert "did you mean the shipped pit_b_224?" in _refusal("pit_b_225")
    assert "did you mean the shipped pit_b_224?" in _refusal("elsewhere/pit_b_224.yaml")
    assert locate("pit_b_224").name == "pit_b_224.yaml"


def test_settings_have_their_file_and_line(tmp_path: Path) -> None:
    path = _file(tmp_path, "model:\n  name: pit_b\n\n# why\nrun:\n  seed: 3\n")
    assert read_settings(path)["run.seed"].where == f"{path}:6"
