"""Configuration files as the four projects publish them."""

from __future__ import annotations

from pathlib import Path

WIDTHS = {"tiny": (192, 3), "small": (384, 6), "base": (768, 12)}
DEIT = """\
DATA:
    IMAGE_SIZE: {size}
    CROP_PCT: {crop}
MODEL:
    TYPE: deit
    NAME: deit_{name}_patch16_{size}
    PATCH_SIZE: 16
    MLP_RATIO: 4.0
    QKV_BIAS: true
    EMBED_DIM: {width}
    DEPTH: 12
    NUM_HEADS: {heads}
    DROPOUT: 0.0  # same as paper
    ATTENTION_DROPOUT: 0.1  # same as paper
TRAIN:
    NUM_EPOCHS: {epochs}
    WARMUP_EPOCHS: 5  # same as paper
    WEIGHT_DECAY: {decay}
    BASE_LR: {rate}
    WARMUP_START_LR: 1e-6
    END_LR: {end}
    ACCUM_ITER: 1
    LINEAR_SCALED_LR: 512
    OPTIMIZER:
        NAME: 'AdamW'
        BETAS: (0.9, 0.999)
    DISTILLATION_TYPE: '{kind}'

VALIDATE_FREQ: 1
SAVE_FREQ: 1
REPORT_FREQ: 20
"""
REGNET = """\
DATA:
    IMAGE_SIZE: 224
    #IMAGE_SIZE: 288
    CROP_PCT: 0.875
MODEL:
    TYPE: RegNet
    NAME: regnety_160
"""
HATIMWEN = """\
DATA:
    IMAGE_SIZE: 224
    CROP_PCT: 0.90
MODEL:
    TYPE: PiT
    NAME: pit_ti
    DISTILL: False
    TRANS:
        PATCH_SIZE: 16
        STRIDE: 8
        BASE_DIMS: [32, 32, 32]
        DEPTH: [2, 6, 4]
        HEADS: [2, 4, 8]
"""
PADDLEVIT_PIT = """\
DATA:
    IMAGE_SIZE: 224
    CROP_PCT: 0.90
MODEL:
    TYPE: PiT
    NAME: pit_ti
    PATCH_SIZE: 16
    STRIDE: 8
    BASE_DIMS: [32, 32, 32]
    DEPTH: [2, 6, 4]
    NUM_HEADS: [2, 4, 8]
"""
MINDCV = """\
# system
mode: 0
distribute: True
num_parallel_workers: 16
val_while_train: True

# dataset
dataset: "imagenet"
data_dir: "/path/to/imagenet"
shuffle: True
dataset_download: False
batch_size: 128
drop_remainder: True

# augmentation
image_resize: 224
scale: [0.08, 1.0]
ratio: [0.75, 1.333]
re_value: "random"
hflip: 0.5
interpolation: "bicubic"
{jitter}auto_augment: "randaug-m9-mstd0.5-inc1"
re_prob: 0.25
crop_pct: {crop}
mixup: 0.8
cutmix: 1.0

# model
model: "{name}"
num_classes: 1000
pretrained: False
ckpt_path: ""
keep_checkpoint_max: 10
ckpt_save_dir: "./ckpt"
epoch_size: {epochs}
drop_path_rate: {drop}
dataset_sink_mode: True
amp_level: "O2"

# loss
loss: "ce"
label_smoothing: 0.1

# lr scheduler
scheduler: "cosine_decay"
lr: {rate}
min_lr: 0.00001
decay_epochs: {decay}
warmup_epochs: 10

# optimizer
opt: "adamw"
momentum: 0.9
weight_decay: 0.05
{more}use_nesterov: False
"""


def deit_files() -> dict[str, str]:
    """PaddleViT's eight files for DeiT by name, and that of the teacher."""
    files = {"regnety_160.yaml": REGNET}
    for name, (width, heads) in WIDTHS.items():
        for kind, distilled in (("none", ""), ("hard", "distilled_")):
            shape = {"name": name, "width": width, "heads": heads, "kind": kind}
            training = {"epochs": 300, "decay": 0.05, "rate": "5e-4", "end": 0.0}
            path = f"deit_{name}_{distilled}patch16_224.yaml"
            files[path] = DEIT.format(size=224, crop=0.875, **shape, **training)
            if name == "base":
                tuning = {"epochs": 30, "decay": "1e-8", "rate": "5e-6", "end": "5e-6"}
                files[f"deit_base_{distilled}patch16_384.yaml"] = DEIT.format(size=384, crop=1.0, **shape, **tuning)
    return files


def mindcv_files() -> dict[str, str]:
    """MindCV's four files for PiT by name."""
    jitter = "color_jitter: [0.3, 0.3, 0.3]\n"
    dynamic = 'loss_scale_type: "dynamic"\ndrop_overflow_update: True\n'
    auto = 'loss_scale_type: "auto"\n'
    stairs = f"filter_bias_and_bn: True\nlr_epoch_stair: True\nwarmup_factor: 0.002\naug_repeats: 3\n{auto}"
    return {
        "pit_ti_ascend.yaml": _mindcv("pit_ti", 0.002, 500, auto),
        "pit_xs_ascend.yaml": _mindcv("pit_xs", 0.001, 600, dynamic, jitter),
        "pit_s_ascend.yaml": _mindcv("pit_s", 0.002, 600, auto),
        "pit_b_ascend.yaml": _mindcv("pit_b", 0.001, 600, stairs, crop=0.9, drop=0.2),
    }


def _mindcv(
    name: str, rate: float, epochs: int, more: str, jitter: str = "", crop: float = 0.875, drop: float = 0.1
) -> str:
    training = {"rate": rate, "epochs": epochs, "decay": epochs - 10}
    return MINDCV.format(name=name, more=more, jitter=jitter, crop=crop, drop=drop, **training)


def write(folder: Path, files: dict[str, str]) -> None:
    """Write files by name."""
    for name, text in files.items():
        (folder / name).write_text(text)
