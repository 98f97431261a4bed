"""PaddleViT's configuration files and options, in our words."""

from __future__ import annotations

from pathlib import Path

import pytest

from recipe.errors import ConfigError
from recipe.loading import load
from recipe.paddlevit import is_option, read, translate, translate_arguments

PIT_B = """\
DATA:
    IMAGE_SIZE: 224
    CROP_PCT: 0.90
MODEL:
    TYPE: PiT
    NAME: pit_b_distilled
    PATCH_SIZE: 14
    STRIDE: 7
    BASE_DIMS: [64, 64, 64]
    DEPTH: [3, 6, 4]
    NUM_HEADS: [4, 8, 16]
TRAIN:
    DISTILLATION_TYPE: "hard"
"""
DEIT_384 = """\
DATA:
    IMAGE_SIZE: 384
    CROP_PCT: 1.0
MODEL:
    TYPE: DeiT
    NAME: deit_base_patch16_384
    TRANS: {PATCH_SIZE: 16, EMBED_DIM: 768, MLP_RATIO: 4.0, DEPTH: 12, NUM_HEADS: 12, QKV_BIAS: True}
"""
FULL = """\
AMP: true
SEED: 42
SAVE: ./out
REPORT_FREQ: 20
DATA: {BATCH_SIZE: 256, DATA_PATH: /imagenet, DATASET: imagenet2012, NUM_WORKERS: 4, BATCH_SIZE_EVAL: 8}
MODEL: {NAME: pit_s, NUM_CLASSES: 10, DROPPATH: 0.2, PRETRAINED: ./pit_s, RESUME: ./last}
TRAIN:
  NUM_EPOCHS: 100
  WARMUP_EPOCHS: 3
  BASE_LR: 5e-4
  WARMUP_START_LR: 1e-6
  END_LR: 1e-5
  GRAD_CLIP: 1.0
  ACCUM_ITER: 2
  LINEAR_SCALED_LR: 512
  MODEL_EMA: false
  MODEL_EMA_DECAY: 0.9999
  LAST_EPOCH: 3
  RAND_AUGMENT: true
  RAND_AUGMENT_LAYERS: 3
  MIXUP_ALPHA: 0.5
  RANDOM_ERASE_PROB: 0.1
  OPTIMIZER: {NAME: AdamW, EPS: 1e-7, BETAS: [0.9, 0.95]}
"""


def _file(folder: Path, text: str, name: str = "pv.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def _refusal(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load(path)
    return str(caught.value)


def test_a_published_file_of_pit_is_read_over_its_defaults(tmp_path: Path) -> None:
    config = load(_file(tmp_path, PIT_B))
    assert (config.model.name, config.model.image_size, config.data.crop) == ("pit_b_distilled", 224, 0.9)
    assert (config.distillation.kind, config.distillation.weights) == ("hard", "./regnety_160.pdparams")
    assert (config.schedule.minimum_rate, config.schedule.warmup_epochs, config.ema.decay) == (0.0, 5, 0.99996)


def test_a_published_file_of_deit_is_read(tmp_path: Path) -> None:
    config = load(_file(tmp_path, DEIT_384))
    assert (config.model.name, config.model.image_size, config.data.crop) == ("deit_base", 384, 1.0)
    assert (config.model.drop_path_rate, config.distillation.kind) == (0.0, "none")


def test_every_group_of_keys_is_translated(tmp_path: Path) -> None:
    notes: list[str] = []
    config = load(_file(tmp_path, FULL), note=notes.append)
    assert (config.run.precision, config.run.seed, config.run.output) == ("mixed", 42, "./out")
    assert (config.run.log_every, config.run.accumulation) == (20, 2)
    assert (config.data.batch_size, config.data.path, config.data.workers) == (256, "/imagenet", 4)
    assert (config.model.num_classes, config.model.drop_path_rate) == (10, 0.2)
    assert config.model.weights == "./pit_s.pdparams"
    assert (config.schedule.epochs, config.schedule.warmup_epochs, config.schedule.warmup_rate) == (100, 3, 1e-6)
    assert (config.optimizer.learning_rate, config.optimizer.base_batch, config.optimizer.clip) == (5e-4, 512, 1.0)
    assert (config.optimizer.epsilon, config.optimizer.betas) == (1e-7, (0.9, 0.95))
    assert (config.ema.decay, config.mixing.mixup, config.augmentation.erasing) == (0.0, 0.5, 0.1)
    assert config.augmentation.auto == "rand-m9-n3-mstd0.5-inc1"
    assert any("TRAIN.LAST_EPOCH changes nothing here" in note for note in notes)
    assert any("BATCH_SIZE_EVAL" in note for note in notes)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("RAND_AUGMENT: true, AUTO_AUGMENT: true", "rand-m9-mstd0.5-inc1"),
        ("AUTO_AUGMENT: true", "original"),
        ("RAND_AUGMENT: false, AUTO_AUGMENT: true", "original"),
        ("RAND_AUGMENT: false, AUTO_AUGMENT: false", None),
        ("RAND_AUGMENT: false", None),
        ("COLOR_JITTER: 0.4", "rand-m9-mstd0.5-inc1"),
    ],
)
def test_policies_of_augmentation_are_translated(keys: str, expected: str | None, tmp_path: Path) -> None:
    assert load(_file(tmp_path, f"TRAIN: {{{keys}}}\n"), dialect="paddlevit").augmentation.auto == expected


def test_evaluation_and_resume_of_a_file_are_translated(tmp_path: Path) -> None:
    translation = translate(read(_file(tmp_path, "EVAL: true\nMODEL: {NAME: pit_ti, RESUME: ./last}\n")))
    assert (translation.evaluate, translation.resume) == (True, "./last.pdparams")


def test_bases_are_merged(tmp_path: Path) -> None:
    _file(tmp_path, "MODEL: {NAME: pit_ti, DROPOUT: 0.2}\nSEED: 1\n", "base.yaml")
    config = load(_file(tmp_path, "BASE: ['base.yaml']\nSEED: 2\n"), dialect="paddlevit")
    assert (config.model.name, config.model.drop_rate, config.run.seed) == ("pit_ti", 0.2, 2)
    assert "is its own BASE" in _refusal(_file(tmp_path, "BASE: ['pv.yaml']\n"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("MODEL: {NAME: swin_tiny}", "MODEL.NAME stands for no model here: swin_tiny"),
        ("DATA: {BATCHSIZE: 3}", "unknown key of PaddleViT DATA.BATCHSIZE; did you mean DATA.BATCH_SIZE?"),
        ("MODEL: {NAME: pit_b, DEPTH: [2, 6, 4]}", "MODEL.DEPTH is [2, 6, 4], but pit_b has (3, 6, 4)"),
        ("DATA: {DATASET: cifar10}", "DATA.DATASET is 'cifar10', which is not carried out here"),
        ("TRAIN: {OPTIMIZER: {NAME: SGD}}", "TRAIN.OPTIMIZER.NAME is 'SGD'"),
        ("TRAIN: {CUTMIX_MINMAX: [0.2, 0.8]}", "TRAIN.CUTMIX_MINMAX"),
        ("TRAIN: {MIXUP_MODE: elem}", "only 'batch'"),
        ("TRAIN: {BASE_LR: fast}", "pv.yaml:1: TRAIN.BASE_LR: optimizer.learning_rate is 'fast', expected a number"),
    ],
)
def test_unsupported_settings_are_refused(text: str, message: str, tmp_path: Path) -> None:
    assert message in _refusal(_file(tmp_path, text))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("pit_ti", "pit_ti"),
        ("pit_ti_distill", "pit_ti_distilled"),
        ("pit_b_distilled", "pit_b_distilled"),
        ("deit_tiny_patch16_224", "deit_tiny"),
        ("deit_base_distilled_patch16_384", "deit_base_distilled"),
        ("regnety_160", "regnety_160"),
    ],
)
def test_names_of_models_are_translated(name: str, expected: str, tmp_path: Path) -> None:
    settings = translate(read(_file(tmp_path, f"MODEL: {{NAME: {name}}}\n"))).settings
    assert settings["model.name"].value == expected


def test_the_documented_evaluation_command_is_understood() -> None:
    words = (
        "-cfg=./configs/pit_ti.yaml -dataset=imagenet2012 -batch_size=16 -data_path=/imagenet -eval "
        "-pretrained=./pit_ti"
    )
    invocation = translate_arguments(words.split())
    assert (invocation.config, invocation.evaluate) == ("./configs/pit_ti.yaml", True)
    assert invocation.overrides == ("data.batch_size=16", "data.path=/imagenet", "model.weights=./pit_ti.pdparams")


def test_all_documented_options_are_understood_with_blanks_too() -> None:
    words = (
        "-cfg c.yaml -dataset imagenet2012 -batch_size 8 -data_path d -image_size 384 -pretrained w.pdparams "
        "-resume r -last_epoch 3 -amp -teacher_model_path t"
    )
    invocation = translate_arguments(words.split())
    assert invocation.config == "c.yaml"
    assert invocation.resume == "r.pdparams"
    assert invocation.overrides == (
        "data.batch_size=8",
        "data.path=d",
        "model.image_size=384",
        "model.weights=w.pdparams",
        "distillation.weights=t.pdparams",
        "run.precision=mixed",
    )
    assert (invocation.last_epoch, invocation.notes) == (3, ())
    load("deit", invocation.overrides)


def test_evaluation_takes_no_mixed_precision() -> None:
    assert translate_arguments(["-eval", "-amp"]).overrides == ()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("-batchsize=3", "unknown option '-batchsize=3'; did you mean -batch_size?"),
        ("-cfg", "-cfg needs a value"),
        ("-batch_size -eval", "-batch_size needs a value"),
        ("-dataset=cifar10", "only imagenet2012"),
        ("train", "unknown option 'train'"),
    ],
)
def test_unknown_options_are_refused(words: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        translate_arguments(words.split())


def test_options_of_paddlevit_are_distinguished_from_ours() -> None:
    assert is_option("-cfg")
    assert is_option("-batch_size=3")
    assert not any(is_option(word) for word in ("--config", "-v", "data.batch_size=3", "-"))
