"""Files of other projects mean here what they mean there."""

from __future__ import annotations

from pathlib import Path

import pytest

from recipe.config import MindSpore, peak_rate, scaled_schedule
from recipe.dialects.base import Asked
from recipe.errors import ConfigError
from recipe.loading import Loaded, load, load_run
from recipe.options import Source
from tests.recipe.dialects import peers


def _loaded(folder: Path, text: str, asked: Asked | None = None, name: str = "a.yaml") -> tuple[Loaded, list[str]]:
    (folder / name).write_text(text)
    notes: list[str] = []
    return load_run(folder / name, note=notes.append, asked=asked), notes


def _refusal(folder: Path, text: str, asked: Asked | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        _loaded(folder, text, asked)
    return str(caught.value)


@pytest.mark.parametrize("name", [name for name in peers.deit_files() if name.startswith("deit")])
def test_file_of_paddlevits_deit_is_read_over_its_own_defaults(name: str, tmp_path: Path) -> None:
    loaded, notes = _loaded(tmp_path, peers.deit_files()[name], name=name)
    config, distilled, large = loaded.config, "distilled" in name, "384" in name
    base = "_".join(name.split("_")[:2])
    assert config.model.name == (f"{base}_distilled" if distilled else base)
    assert (config.distillation.kind, config.distillation.weights) == (
        ("hard", "./regnety_160.pdparams") if distilled else ("none", None)
    )
    assert (config.model.image_size, config.data.crop) == ((384, 1.0) if large else (224, 0.875))
    assert (config.model.attn_drop_rate, config.model.drop_path_rate) == (0.1, 0.0)
    assert (config.data.batch_size, config.data.workers, config.optimizer.betas) == (256, 1, (0.9, 0.999))
    assert (config.run.save_every, config.run.validate_every, config.run.log_every) == (1, 1, 20)
    (line,) = notes
    assert line.startswith(f"{tmp_path / name}:6: {config.model.name}, ")
    assert "TRAIN.DISTILLATION_TYPE is " in line


def test_intervals_of_paddlevit_are_its_own(tmp_path: Path) -> None:
    config = _loaded(tmp_path, peers.PADDLEVIT_PIT)[0].config
    assert (config.run.save_every, config.run.validate_every, config.run.log_every) == (10, 1, 20)
    assert (config.data.batch_size, config.model.drop_path_rate, config.schedule.warmup_epochs) == (256, 0.1, 5)


def test_rates_of_paddlevit_follow_the_batch_all_three(tmp_path: Path) -> None:
    config = _loaded(tmp_path, peers.deit_files()["deit_base_patch16_384.yaml"])[0].config
    schedule = scaled_schedule(config, world=4)
    assert peak_rate(config, world=4) == pytest.approx(5e-6 * 2)
    assert [schedule.warmup_rate, schedule.minimum_rate] == pytest.approx([2e-6, 1e-5])
    assert scaled_schedule(load("deit")) == load("deit").schedule


def test_file_of_the_teacher_evaluates_it(tmp_path: Path) -> None:
    loaded, notes = _loaded(tmp_path, peers.REGNET)
    assert (loaded.evaluate, loaded.config.model.name, loaded.config.data.crop) == (True, "regnety_160", 0.875)
    assert "this file evaluates the teacher" in notes[0]


@pytest.mark.parametrize(
    ("kind", "name", "asked", "model", "expected"),
    [
        ("hard", "tiny", Asked("main_multi_gpu_no_distill"), "deit_tiny", "none"),
        ("soft", "tiny", Asked("main_multi_gpu_distill"), "deit_tiny_distilled", "soft"),
        ("none", "tiny", Asked("main_multi_gpu_distill"), "deit_tiny", "none"),
        ("none", "tiny", Asked(teacher="t.pdparams"), "deit_tiny_distilled", "hard"),
        ("none", "tiny_distilled", Asked(), "deit_tiny_distilled", "none"),
    ],
)
def test_script_and_teacher_decide_what_a_file_of_deit_trains(
    kind: str, name: str, asked: Asked, model: str, expected: str, tmp_path: Path
) -> None:
    text = (
        peers.deit_files()["deit_tiny_patch16_224.yaml"].replace("'none'", f"'{kind}'").replace("_tiny_", f"_{name}_")
    )
    config = _loaded(tmp_path, text, asked)[0].config
    assert (config.model.name, config.distillation.kind) == (model, expected)


def test_name_of_the_file_decides_where_it_has_no_distillation_type(tmp_path: Path) -> None:
    lines = peers.deit_files()["deit_tiny_patch16_224.yaml"].splitlines()
    text = "\n".join(line for line in lines if "DISTILLATION_TYPE" not in line)
    assert _loaded(tmp_path, text)[0].config.model.name == "deit_tiny"
    distilled = _loaded(tmp_path, text, name="deit_tiny_distilled_patch16_224.yaml")[0].config
    assert (distilled.model.name, distilled.distillation.kind) == ("deit_tiny_distilled", "hard")


@pytest.mark.parametrize(
    ("text", "asked", "message"),
    [
        (peers.HATIMWEN, Asked(teacher="t.pdparams"), "has no second head to distil into: MODEL.DISTILL is False"),
        (
            peers.REGNET.replace("RegNet", "deit").replace("regnety_160", "deit_tiny"),
            Asked("main_multi_gpu_no_distill", "t.pdparams"),
            "main_multi_gpu_no_distill trains without a teacher",
        ),
    ],
)
def test_teacher_without_use_is_refused(text: str, asked: Asked, message: str, tmp_path: Path) -> None:
    assert message in _refusal(tmp_path, text, asked)


def test_teacher_without_distillation_is_refused_in_our_own_files() -> None:
    with pytest.raises(ConfigError, match=r"a teacher is asked for, but distillation\.kind is none"):
        load_run("pit_ti_224", ["distillation.weights=t.pdparams"], asked=Asked(teacher="t.pdparams"))


def test_file_of_hatimwen_is_read_over_his_defaults(tmp_path: Path) -> None:
    loaded, notes = _loaded(tmp_path, peers.HATIMWEN)
    config, schedule = loaded.config, loaded.config.schedule
    assert (loaded.dialect, config.model.name, config.model.drop_path_rate) == ("hatimwen", "pit_ti", 0.0)
    assert (schedule.warmup_epochs, schedule.minimum_rate, schedule.cooldown_epochs) == (20, 5e-6, 10)
    assert (config.optimizer.clip, config.augmentation.auto, config.augmentation.flip) == (5.0, "original", 0.0)
    assert (config.data.batch_size, config.data.workers, config.run.validate_every) == (8, 8, 10)
    assert "pit_ti, without a teacher: MODEL.DISTILL is False" in notes[0]
    distilled = _loaded(tmp_path, peers.HATIMWEN.replace("    DISTILL: False\n", ""))[0].config
    assert (distilled.model.name, distilled.distillation.kind) == ("pit_ti_distilled", "hard")


def test_what_his_program_does_not_read_is_listed_once(tmp_path: Path) -> None:
    text = peers.HATIMWEN.replace("    TRANS:", "    DROP_PATH: 0.3\n    TRANS:")
    config, notes = _loaded(tmp_path, f"{text}AUG: {{MIXUP: 0.5}}\nTRAIN: {{LINEAR_SCALED_LR: 1024}}\n")
    assert (config.config.model.drop_path_rate, config.config.mixing.mixup) == (0.0, 0.8)
    for key in ("MODEL.DROP_PATH", "AUG.MIXUP", "TRAIN.LINEAR_SCALED_LR"):
        assert sum(f"{key} changes nothing here" in note for note in notes) == 1


def test_dialect_that_cannot_be_told_shows_both_readings(tmp_path: Path) -> None:
    text = "MODEL: {NAME: pit_ti}\n"
    message = _refusal(tmp_path, text)
    assert "may be a file of paddlevit or of hatimwen" in message
    assert "give --dialect paddlevit or --dialect hatimwen" in message
    assert "schedule.warmup_epochs: 5 as paddlevit's, 20 as hatimwen's" in message
    assert load(tmp_path / "a.yaml", dialect="hatimwen").schedule.warmup_epochs == 20
    assert _loaded(tmp_path, text, Asked(project="paddlevit"))[0].config.schedule.warmup_epochs == 5


def test_keys_of_several_projects_are_refused_with_both_lines(tmp_path: Path) -> None:
    message = _refusal(tmp_path, "MODEL: {NAME: pit_ti, DROPPATH: 0.1,\n  DISTILL: false}\n")
    assert "a.yaml:1: MODEL.DROPPATH is PaddleViT's" in message
    assert "a.yaml:2: MODEL.DISTILL is hatimwen/paddle_pit's" in message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("MODEL: {TYPE: deit, NAME: deit_tiny, QKV_BIAS: false}", "a.yaml:1: MODEL.QKV_BIAS is False, which is not "),
        ("TRAIN: {DISTILLATION_TYPE: medium}\nMODEL: {NAME: deit_tiny}", "another kind of distillation"),
        ("EVAL: maybe\nMODEL: {NAME: deit_tiny}", "a.yaml:1: EVAL is 'maybe', expected true or false"),
        ("BASE: 3\nMODEL: {NAME: deit_tiny}", "a.yaml:1: BASE is 3, expected a list of files"),
        (peers.HATIMWEN + "TRAIN: {RAND_AUGMENT: true}\n", "keys of several projects"),
        ("MODEL: {TYPE: PiT, NAME: PiT, TRANS: {HEADS: [1, 2, 3]}}", "MODEL.NAME stands for no model here: pit"),
    ],
)
def test_what_cannot_be_carried_out_is_named(text: str, message: str, tmp_path: Path) -> None:
    assert message in _refusal(tmp_path, text)


def test_model_that_is_named_by_its_family_is_found_by_its_shape(tmp_path: Path) -> None:
    assert _loaded(tmp_path, peers.HATIMWEN.replace("pit_ti", "PiT"))[0].config.model.name == "pit_ti"


def test_empty_sections_say_nothing(tmp_path: Path) -> None:
    config = _loaded(tmp_path, "DATA:\nTRAIN: {}\nMODEL: {NAME: deit_tiny, TRANS: }\n")[0].config
    assert (config.model.name, config.schedule.epochs) == ("deit_tiny", 300)


def test_file_of_another_family_is_none_of_hatimwens(tmp_path: Path) -> None:
    _loaded(tmp_path, peers.REGNET)
    with pytest.raises(ConfigError, match="which has PiT only: give --dialect paddlevit"):
        load(tmp_path / "a.yaml", dialect="hatimwen")


def test_unknown_dialect_is_refused() -> None:
    with pytest.raises(ConfigError, match="--dialect is 'timm', expected paddlevit, hatimwen or mindcv"):
        load("deit", dialect="timm")


@pytest.mark.parametrize("name", peers.mindcv_files())
def test_file_of_mindcv_is_read(name: str, tmp_path: Path) -> None:
    loaded, notes = _loaded(tmp_path, peers.mindcv_files()[name])
    config, schedule = loaded.config, loaded.config.schedule
    assert (loaded.dialect, config.model.name) == ("mindcv", name.removesuffix("_ascend.yaml"))
    assert (config.optimizer.base_batch, config.optimizer.weight_decay) == (0, 0.05)
    assert (schedule.warmup_epochs, schedule.decay_epochs) == (10, schedule.epochs - 10)
    assert (config.augmentation.auto, config.augmentation.erasing_mode) == ("rand-m9-mstd0.5-inc1", "pixel")
    assert (config.run.precision, config.ema.decay, config.run.validate_every) == ("mixed", 0.0, 1)
    large = "pit_b" in name
    assert (schedule.per_update, config.optimizer.decay_all) == (not large, not large)
    assert (config.augmentation.repeats, schedule.warmup_rate) == ((3, 2e-6) if large else (1, 0.0))
    assert sum("mode is for --framework mindspore" in note for note in notes) == 1
    assert config.mindspore == MindSpore(
        "graph", "O2", "dynamic" if "xs" in name else "auto", drop_overflow_update="xs" in name
    )
    assert all(note.startswith(f"{tmp_path / 'a.yaml'}:") for note in notes)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("opt: momentum", "opt is 'momentum', which is not carried out here (another optimizer); only 'adamw'"),
        ("scheduler: step_decay", "another curve of the learning rate"),
        ("pretrained: True", "give a file as ckpt_path"),
        ("auto_augment: augmix-m5", "only 'randaug-m9-mstd0.5-inc1' or 'autoaug'"),
        ("amp_level: O9", "amp_level is 'O9'"),
        ("color_jitter: [0.1, 0.2, 0.3]", "a strength of its own"),
        ("model: vit_b", "model stands for no model here: vit_b"),
        ("epoch_sise: 3", "unknown key of MindCV epoch_sise; did you mean epoch_size?"),
        ("lr: fast", "optimizer.learning_rate is 'fast', expected a number"),
        ("re_value: 128", "a colour to fill with"),
        ("batch_size: {a: 3}", "unknown key of MindCV batch_size.a; did you mean batch_size?"),
        ("ema: maybe", "ema is 'maybe', expected true or false"),
        ("mode: 2", "mode is 2, which is not carried out here (another mode of MindSpore); only 0 or 1"),
        ("mean: 3", "mean is 3, expected a list of 3 numbers from 0 to 255"),
    ],
)
def test_what_mindcv_alone_carries_out_is_refused(line: str, message: str, tmp_path: Path) -> None:
    key = line.partition(":")[0]
    lines = [text for text in peers.mindcv_files()["pit_ti_ascend.yaml"].splitlines() if not text.startswith(f"{key}:")]
    refusal = _refusal(tmp_path, "\n".join([line, *lines]))
    assert message in refusal
    assert "a.yaml:1" in refusal


@pytest.mark.parametrize(
    ("line", "setting", "expected"),
    [
        ("ema: True", "ema.decay", 0.9999),
        ("clip_grad: True", "optimizer.clip", 15.0),
        ("amp_level: O0", "run.precision", "float32"),
        ("val_while_train: False", "run.validate_every", 0),
        ("auto_augment: autoaugr-mstd0.5", "augmentation.auto", "originalr-mstd0.5"),
        ("auto_augment: randaug-m7", "augmentation.auto", "rand-m7-mstd0.5"),
        ("re_value: 0", "augmentation.erasing_mode", "const"),
        ("mode: 1", "mindspore.mode", "pynative"),
        ("amp_level: O3", "mindspore.amp_level", "O3"),
        ("loss_scale_type: dynamic", "mindspore.loss_scale_type", "dynamic"),
        ("loss_scale: 1024", "mindspore.loss_scale", 1024.0),
        ("drop_overflow_update: True", "mindspore.drop_overflow_update", True),
        ("mean: [127.5, 127.5, 127.5]", "data.mean", (0.5, 0.5, 0.5)),
        ("aug_repeats: 3", "augmentation.repeats", 3),
        ("lr_epoch_stair: 1", "schedule.per_update", False),
        ("log_interval: null", "run.log_every", 10**9),
    ],
)
def test_values_of_mindcv_are_converted(line: str, setting: str, expected: object, tmp_path: Path) -> None:
    key = line.partition(":")[0]
    lines = [text for text in peers.mindcv_files()["pit_ti_ascend.yaml"].splitlines() if not text.startswith(f"{key}:")]
    config = _loaded(tmp_path, "\n".join([line, *lines]))[0].config
    section, name = setting.split(".")
    assert getattr(getattr(config, section), name) == expected


@pytest.mark.parametrize("framework", ["paddle", "torch", "mindspore"])
def test_what_other_frameworks_do_instead_is_not_noted_for_mindspore(framework: str, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(next(iter(peers.mindcv_files().values())))
    notes: list[str] = []
    Source(str(path), framework=framework).load([], notes.append)
    assert any("use_nesterov changes nothing here" in note for note in notes)
    assert any("Paddle and torch run op by op" in note for note in notes) is (framework != "mindspore")
    assert any("float32 on a CPU" in note for note in notes) is (framework != "mindspore")
