"""The keys of PaddleViT's configuration files, which hatimwen/paddle_pit shares, and what each means here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

SECTIONS = ("AMP", "AUG", "BASE", "DATA", "EVAL", "MODEL", "SAVE", "SEED", "TAG", "TRAIN")
"""First parts of keys by which a file of this family is recognised."""

DIRECT = {
    "DATA.BATCH_SIZE": "data.batch_size",
    "DATA.DATA_PATH": "data.path",
    "DATA.IMAGE_SIZE": "model.image_size",
    "DATA.CROP_PCT": "data.crop",
    "DATA.NUM_WORKERS": "data.workers",
    "DATA.IMAGENET_MEAN": "data.mean",
    "DATA.IMAGENET_STD": "data.std",
    "MODEL.NUM_CLASSES": "model.num_classes",
    "MODEL.DROPOUT": "model.drop_rate",
    "MODEL.ATTENTION_DROPOUT": "model.attn_drop_rate",
    "MODEL.DROP_PATH": "model.drop_path_rate",
    "MODEL.DROPPATH": "model.drop_path_rate",
    "TRAIN.NUM_EPOCHS": "schedule.epochs",
    "TRAIN.WARMUP_EPOCHS": "schedule.warmup_epochs",
    "TRAIN.WARMUP_START_LR": "schedule.warmup_rate",
    "TRAIN.END_LR": "schedule.minimum_rate",
    "TRAIN.COOLDOWN_EPOCHS": "schedule.cooldown_epochs",
    "TRAIN.WEIGHT_DECAY": "optimizer.weight_decay",
    "TRAIN.BASE_LR": "optimizer.learning_rate",
    "TRAIN.OPTIMIZER.EPS": "optimizer.epsilon",
    "TRAIN.OPTIMIZER.BETAS": "optimizer.betas",
    "TRAIN.ACCUM_ITER": "run.accumulation",
    "TRAIN.MIXUP_ALPHA": "mixing.mixup",
    "TRAIN.CUTMIX_ALPHA": "mixing.cutmix",
    "TRAIN.MIXUP_PROB": "mixing.probability",
    "TRAIN.MIXUP_SWITCH_PROB": "mixing.switch",
    "TRAIN.SMOOTHING": "loss.smoothing",
    "TRAIN.COLOR_JITTER": "augmentation.color_jitter",
    "TRAIN.RANDOM_ERASE_PROB": "augmentation.erasing",
    "TRAIN.RANDOM_ERASE_MODE": "augmentation.erasing_mode",
    "TRAIN.RANDOM_ERASE_COUNT": "augmentation.erasing_count",
    "TRAIN.DISTILLATION_ALPHA": "distillation.alpha",
    "TRAIN.DISTILLATION_TAU": "distillation.temperature",
    "SAVE": "run.output",
    "SEED": "run.seed",
    "SAVE_FREQ": "run.save_every",
    "VALIDATE_FREQ": "run.validate_every",
    "REPORT_FREQ": "run.log_every",
}
"""Keys to the setting with the same meaning."""
ONLY: Mapping[str, tuple[tuple[Any, ...], str]] = {
    "DATA.DATASET": (("imagenet2012", "imagenetlight"), "images of another kind of folder"),
    "DATA.IMAGE_CHANNELS": ((3,), "images of another number of channels"),
    "MODEL.TYPE": (("PiT", "DeiT", "RegNet"), "a model of another family"),
    "MODEL.QKV_BIAS": ((True,), "attention whose queries, keys and values have no bias"),
    "MODEL.TRANS.QKV_BIAS": ((True,), "attention whose queries, keys and values have no bias"),
    "TRAIN.CUTMIX_MINMAX": ((None,), "CutMix boxes of a share between two bounds"),
    "TRAIN.MIXUP_MODE": (("batch",), "mixing each image of a batch by a share of its own"),
    "TRAIN.RANDOM_ERASE_SPLIT": ((False,), "erasing in a part of the batch only"),
    "TRAIN.LR_SCHEDULER.NAME": (("warmupcosine",), "another curve of the learning rate"),
    "TRAIN.OPTIMIZER.NAME": (("AdamW",), "another optimizer"),
}
"""Keys that have no setting here: the values that are carried out, and what another one would mean there.

Texts are compared without regard to case.
"""
IDLE = {
    "BASE": "the files that it names are merged in",
    "TAG": "runs are told apart by run.output",
    "NGPUS": "devices are chosen by paddle.distributed.launch",
    "LOCAL_RANK": "devices are chosen by paddle.distributed.launch",
    "DATA.BATCH_SIZE_EVAL": "evaluation takes data.batch_size",
    "DATA.IMG_PATH": "images to classify are arguments of pit-train predict",
    "MODEL.RESUME_EMA": "a checkpoint holds its average",
    "MODEL.TRANS.INIT_VALUES": "neither PiT nor DeiT scales its branches",
    "TRAIN.MODEL_EMA_FORCE_CPU": "the average stays with the model",
    "TRAIN.LR_SCHEDULER.MILESTONES": "the cosine has none",
    "TRAIN.LR_SCHEDULER.DECAY_EPOCHS": "the cosine has none",
    "TRAIN.LR_SCHEDULER.DECAY_RATE": "the cosine has none",
    "TRAIN.OPTIMIZER.MOMENTUM": "AdamW has betas",
}
"""Keys that change nothing here, and why."""
OF_HATIMWEN = {
    "MODEL.DROP_PATH": "his builder never passes it to the model; model.drop_path_rate sets it",
    **{
        f"AUG.{key}": "his program reads the keys of TRAIN instead"
        for key in (
            *("COLOR_JITTER", "AUTO_AUGMENT", "RE_PROB", "RE_MODE", "RE_COUNT", "MIXUP", "CUTMIX", "CUTMIX_MINMAX"),
            *("MIXUP_PROB", "MIXUP_SWITCH_PROB", "MIXUP_MODE"),
        )
    },
    "TRAIN.LINEAR_SCALED_LR": "his program scales the rate by 512 images whatever it says",
}
"""Keys that change nothing in hatimwen's program itself, and why."""
ARCHITECTURE = {
    "PATCH_SIZE": "patch_size",
    "STRIDE": "stride",
    "BASE_DIMS": "base_dims",
    "DEPTH": "depth",
    "HEADS": "heads",
    "NUM_HEADS": "heads",
    "EMBED_DIM": "width",
    "MLP_RATIO": "mlp_ratio",
    "IN_CHANNELS": "in_channels",
}
"""Hyper-parameters below MODEL or MODEL.TRANS to their names here; they must be those of the named model."""
CONVERTED: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "AMP": ("run.precision", lambda value: "mixed" if value else "float32"),
    "TRAIN.GRAD_CLIP": ("optimizer.clip", lambda value: value or None),
}
"""Keys to the setting with the same meaning, and its value."""
SPECIAL = (
    *("EVAL", "MODEL.NAME", "MODEL.DISTILL", "MODEL.RESUME", "MODEL.PRETRAINED", "TRAIN.LAST_EPOCH"),
    *("TRAIN.MODEL_EMA", "TRAIN.MODEL_EMA_DECAY", "TRAIN.LINEAR_SCALED_LR"),
    *("TRAIN.DISTILLATION_TYPE", "TRAIN.TEACHER_MODEL", "TRAIN.TEACHER_MODEL_PATH"),
    *("TRAIN.RAND_AUGMENT", "TRAIN.AUTO_AUGMENT", "TRAIN.RAND_AUGMENT_LAYERS", "TRAIN.RAND_AUGMENT_MAGNITUDE"),
)
"""Keys that depend on others or are not settings here."""
SWITCHES = (
    *("AMP", "EVAL", "MODEL.DISTILL", "TRAIN.MODEL_EMA", "TRAIN.MODEL_EMA_FORCE_CPU"),
    *("TRAIN.RAND_AUGMENT", "TRAIN.AUTO_AUGMENT"),
)
"""Keys that are true, false or nothing."""
EMPTY = ("AUG", "DATA", "MODEL", "MODEL.TRANS", "TRAIN", "TRAIN.LR_SCHEDULER", "TRAIN.OPTIMIZER")
"""Sections, which may hold nothing."""
KNOWN = (*DIRECT, *ONLY, *IDLE, *OF_HATIMWEN, *CONVERTED, *SPECIAL)
"""All keys but those of the architecture."""
MARKS: Mapping[str, Callable[[str], bool]] = {
    "paddlevit": lambda key: (
        key in ("MODEL.DROPPATH", "MODEL.RESUME_EMA", "TRAIN.MODEL_EMA_FORCE_CPU", "TRAIN.TEACHER_MODEL_PATH")
        or key.startswith("TRAIN.RAND_AUGMENT")
        or (key.count(".") == 1 and key.startswith("MODEL.") and key[6:] in ARCHITECTURE)
    ),
    "hatimwen": lambda key: (
        key in ("MODEL.DISTILL", "DATA.IMG_PATH", "TRAIN.COOLDOWN_EPOCHS") or key.startswith(("MODEL.TRANS.", "AUG."))
    ),
}
"""Dialects to a test of keys that only files of that project have, among those for PiT."""
