"""The keys of MindCV's configuration files, which are its training program's options, and what each means here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MARKS = frozenset(
    {
        *(
            "epoch_size",
            "data_dir",
            "opt",
            "amp_level",
            "dataset_sink_mode",
            "ckpt_save_dir",
            "ckpt_path",
            "distribute",
        ),
        *("num_parallel_workers", "val_while_train", "dataset_download", "image_resize", "keep_checkpoint_max"),
    }
)
"""Keys by which a file of MindCV is recognised: two of them, and no section."""

DIRECT = {
    "num_parallel_workers": "data.workers",
    "data_dir": "data.path",
    "train_split": "data.train",
    "val_split": "data.validation",
    "batch_size": "data.batch_size",
    "image_resize": "model.image_size",
    "scale": "augmentation.scale",
    "ratio": "augmentation.ratio",
    "hflip": "augmentation.flip",
    "interpolation": "data.interpolation",
    "re_prob": "augmentation.erasing",
    "crop_pct": "data.crop",
    "mixup": "mixing.mixup",
    "cutmix": "mixing.cutmix",
    "cutmix_prob": "mixing.probability",
    "model": "model.name",
    "num_classes": "model.num_classes",
    "drop_rate": "model.drop_rate",
    "drop_path_rate": "model.drop_path_rate",
    "ckpt_path": "model.weights",
    "ckpt_save_dir": "run.output",
    "epoch_size": "schedule.epochs",
    "label_smoothing": "loss.smoothing",
    "lr": "optimizer.learning_rate",
    "min_lr": "schedule.minimum_rate",
    "warmup_epochs": "schedule.warmup_epochs",
    "decay_epochs": "schedule.decay_epochs",
    "weight_decay": "optimizer.weight_decay",
    "seed": "run.seed",
    "log_interval": "run.log_every",
    "gradient_accumulation_steps": "run.accumulation",
}
"""Keys to the setting with the same meaning."""
ONLY: Mapping[str, tuple[tuple[Any, ...], str]] = {
    "dataset": (("imagenet", ""), "a data set that MindCV reads or downloads itself"),
    "shuffle": ((True,), "images in the order of their names"),
    "dataset_download": ((False,), "fetching the data set"),
    "num_samples": ((None,), "a part of the images"),
    "drop_remainder": ((True,), "a last batch that is smaller"),
    "vflip": ((0, 0.0), "a vertical flip"),
    "re_scale": (([0.02, 0.33], [0.02, 1 / 3]), "erasing of other areas"),
    "re_ratio": (([0.3, 3.3], [0.3, 1 / 0.3]), "erasing of other shapes"),
    "re_max_attempts": ((10,), "another number of tries to place a rectangle"),
    "pretrained": ((False,), "MindCV's own weights, fetched; give a file as ckpt_path"),
    "resume_opt": ((False,), "going on with the optimizer's state of a .ckpt"),
    "in_channels": ((3,), "images of another number of channels"),
    "scheduler": (("cosine_decay", "warmup_cosine_decay"), "another curve of the learning rate"),
    "num_cycles": ((1,), "a cosine that begins again"),
    "cycle_decay": ((1.0, 1), "a cosine that begins again"),
    "opt": (("adamw",), "another optimizer"),
    "loss": (("ce",), "another loss"),
    "reduction": (("mean",), "another sum of the losses of a batch"),
    "aux_factor": ((0, 0.0), "losses of further heads"),
    "layer_decay": ((None, 1.0), "a rate of its own for each layer"),
    "amp_cast_list": ((None, ""), "a list of layers that are computed in float16"),
    "aug_splits": ((0,), "splits of a batch that are augmented differently"),
}
"""Keys that have no setting here: the values that are carried out, and what another one would mean there."""
_KEPT = "the latest and the best checkpoint are kept; run.save_every keeps others"
_SCALED = "Paddle and torch scale the loss dynamically where the precision is float16, and an overflow drops the update"
OF_MINDSPORE = {
    "loss_scale_type": ("mindspore.loss_scale_type", _SCALED),
    "loss_scale": ("mindspore.loss_scale", _SCALED),
    "drop_overflow_update": ("mindspore.drop_overflow_update", _SCALED),
}
"""Keys that are carried out in MindSpore, to their settings, and what the other frameworks do instead."""
_CLOUD = "it is for ModelArts"
IDLE = {
    "distribute": "devices are chosen by paddle.distributed.launch, and by msrun with --framework mindspore",
    "dataset_sink_mode": "it is MindSpore's way to feed a device",
    "keep_checkpoint_max": _KEPT,
    "ckpt_save_interval": _KEPT,
    "ckpt_save_policy": _KEPT,
    "dynamic_loss_scale": _SCALED,
    "momentum": "AdamW has betas",
    "use_nesterov": "AdamW has betas",
    "eps": "MindCV does not pass it to AdamW; optimizer.epsilon sets it",
    "decay_rate": "the cosine has none",
    "multi_step_decay_milestones": "the cosine has none",
    "device_target": "run.device chooses the device",
    "enable_modelarts": _CLOUD,
    "multi_data_url": _CLOUD,
    "data_url": _CLOUD,
    "ckpt_url": _CLOUD,
    "train_url": _CLOUD,
}
"""Keys that change nothing here, and why."""
SPECIAL = (
    *("val_while_train", "val_interval", "aug_repeats", "color_jitter", "auto_augment", "re_value", "mean", "std"),
    *("amp_level", "ema", "ema_decay", "clip_grad", "clip_value", "filter_bias_and_bn", "weight_decay_filter"),
    *("warmup_factor", "lr_epoch_stair", "mode"),
)
"""Keys that are converted or depend on others."""
KNOWN = (*DIRECT, *ONLY, *IDLE, *OF_MINDSPORE, *SPECIAL)
FLAGS = frozenset(
    {
        *("distribute", "val_while_train", "pretrained", "resume_opt", "dataset_download", "shuffle", "drop_remainder"),
        *("dataset_sink_mode", "ema", "clip_grad", "dynamic_loss_scale", "use_nesterov", "filter_bias_and_bn"),
        *("lr_epoch_stair", "enable_modelarts", "drop_overflow_update"),
    }
)
"""Options that may stand without a value, which is then true."""

IN_MINDSPORE = ("is for --framework mindspore:", "--framework mindspore carries the level out")
"""Words of the notes on what the other frameworks do instead, which hold for these only."""
