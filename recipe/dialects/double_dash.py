"""The command lines of MindCV (`-c FILE --data_dir D`) and of facebookresearch/deit (`--model M --data-path D`)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from porting import architectures
from porting.names import did_you_mean
from recipe.dialects import mindcv_keys
from recipe.dialects.base import Invocation
from recipe.dialects.distilling import plain_name
from recipe.dialects.words import parse_options
from recipe.errors import ConfigError

_DEIT: Mapping[str, str] = {
    "batch-size": "data.batch_size",
    "epochs": "schedule.epochs",
    "input-size": "model.image_size",
    "drop": "model.drop_rate",
    "drop-path": "model.drop_path_rate",
    "model-ema-decay": "ema.decay",
    "opt-eps": "optimizer.epsilon",
    "clip-grad": "optimizer.clip",
    "weight-decay": "optimizer.weight_decay",
    "lr": "optimizer.learning_rate",
    "warmup-lr": "schedule.warmup_rate",
    "min-lr": "schedule.minimum_rate",
    "warmup-epochs": "schedule.warmup_epochs",
    "color-jitter": "augmentation.color_jitter",
    "aa": "augmentation.auto",
    "smoothing": "loss.smoothing",
    "train-interpolation": "data.interpolation",
    "reprob": "augmentation.erasing",
    "remode": "augmentation.erasing_mode",
    "recount": "augmentation.erasing_count",
    "mixup": "mixing.mixup",
    "cutmix": "mixing.cutmix",
    "mixup-prob": "mixing.probability",
    "mixup-switch-prob": "mixing.switch",
    "teacher-path": "distillation.weights",
    "distillation-type": "distillation.kind",
    "distillation-alpha": "distillation.alpha",
    "distillation-tau": "distillation.temperature",
    "finetune": "model.weights",
    "data-path": "data.path",
    "output_dir": "run.output",
    "seed": "run.seed",
    "num_workers": "data.workers",
    "eval-crop-ratio": "data.crop",
}
"""Options of DeiT to the setting with the same meaning."""
_DEIT_ONLY = {"opt": "adamw", "sched": "cosine", "mixup-mode": "batch", "data-set": "IMNET"}
_DEIT_IDLE = {
    "momentum": "AdamW has betas",
    "decay-epochs": "the cosine has none",
    "decay-rate": "the cosine has none",
    "patience-epochs": "the cosine has none",
    "cooldown-epochs": "DeiT's loop ends with --epochs and never reaches it",
    "start_epoch": "a checkpoint knows its epoch",
    "world_size": "devices are chosen by paddle.distributed.launch",
    "dist_url": "devices are chosen by paddle.distributed.launch",
    "local_rank": "devices are chosen by paddle.distributed.launch",
    "ngpus": "devices are chosen by paddle.distributed.launch",
    "nodes": "devices are chosen by paddle.distributed.launch",
    "timeout": "nothing is submitted to a cluster",
    "job_dir": "nothing is submitted to a cluster",
    "partition": "nothing is submitted to a cluster",
    "comment": "nothing is submitted to a cluster",
}
_DEIT_FLAGS: Mapping[str, str] = {
    "eval": "",
    "dist-eval": "every image counts once on any number of devices",
    "pin-mem": "images are arrays in memory",
    "no-pin-mem": "images are arrays in memory",
    "model-ema": "",
    "no-model-ema": "ema.decay=0",
    "model-ema-force-cpu": "the average stays with the model",
    "repeated-aug": "augmentation.repeats=3",
    "no-repeated-aug": "augmentation.repeats=1",
    "unscale-lr": "optimizer.base_batch=0",
    "train-mode": "dropout and drop paths draw in training in any case",
    "resplit": "DeiT's own transforms do not read it",
    "distributed": "devices are chosen by paddle.distributed.launch",
    "use_volta32": "nothing is submitted to a cluster",
}
"""Options of DeiT without a value: a setting, why it changes nothing, or nothing where it is a default or special."""
_DEIT_REFUSED: Mapping[str, str] = {
    "bce-loss": "the loss is cross entropy, with mixed targets or smoothed labels",
    "ThreeAugment": "images are augmented by RandAugment or AutoAugment (augmentation.auto)",
    "src": "images are cropped at random (augmentation.scale)",
    "no-train-mode": "dropout and drop paths draw in training",
    "attn-only": "all weights are trained",
    "cosub": "one set of layers is trained at a time",
}
"""Options of DeiT's later recipes without a value that are not carried out, and what is."""
_DEIT_SPECIAL = ("model", "resume", "device", "teacher-model", "opt-betas")
_DEIT_KNOWN = (*_DEIT, *_DEIT_ONLY, *_DEIT_IDLE, *_DEIT_FLAGS, *_DEIT_REFUSED, *_DEIT_SPECIAL)
_MINDCV_KNOWN = ("config", *mindcv_keys.KNOWN)


def dialect_of(arguments: Sequence[str]) -> str | None:
    """Return whose options these are: `mindcv` with a configuration file, `deit` with its model or data, else None."""
    names = {word[2:].partition("=")[0] for word in arguments if word.startswith("--")}
    if "config" in names or any(re.fullmatch(r"-c(=.*)?", word) for word in arguments):
        return "mindcv"
    return "deit" if names & {"model", "data-path"} else None


def translate_mindcv(arguments: Sequence[str], *, evaluate: bool) -> tuple[Invocation, dict[str, str]]:
    """Translate a command line of MindCV.

    Args:
        arguments: `-c FILE` or `--config FILE`, and `--key value` for keys of its files.
        evaluate: True for `validate.py`.

    Returns:
        The invocation, and the keys with their values, which come after those of the file.

    Raises:
        ConfigError: An option is unknown or has no value.
    """
    words = ["--config" + word[2:] if re.fullmatch(r"-c(=.*)?", word) else word for word in arguments]
    values = parse_options(words, _MINDCV_KNOWN, mindcv_keys.FLAGS, dash="--", truth="true")
    config = values.pop("config", None)
    return Invocation(config, evaluate=evaluate, dialect="mindcv" if values else None), values


def translate_deit(arguments: Sequence[str]) -> Invocation:
    """Translate a command line of facebookresearch/deit, or of naver-ai/pit's models trained with it.

    Raises:
        ConfigError: An option is unknown, has no value, or asks for what is not carried out here.
    """
    flags = (*_DEIT_FLAGS, *_DEIT_REFUSED)
    values = parse_options(arguments, _DEIT_KNOWN, flags, dash="--", several=("opt-betas",))
    refused = [f"--{name} is not carried out here: {what}" for name, what in _DEIT_REFUSED.items() if name in values]
    if refused:
        raise ConfigError("; ".join(refused))
    for name, only in _DEIT_ONLY.items():
        if values.get(name, only).lower() != only.lower():
            raise ConfigError(f"--{name} is {values[name]!r}, which is not carried out here; only {only}")
    named = values.get("model", "deit_base_patch16_224")
    base, distilled = plain_name(named)
    model = f"{base}_distilled" if distilled else base
    if model not in architectures.NAMES:
        raise ConfigError(f"--model stands for no model here: {named}{did_you_mean(model, architectures.NAMES)}")
    evaluate, resume = "eval" in values, values.get("resume") or None
    for name in ("resume", "finetune", "teacher-path"):
        if values.get(name, "").startswith(("http://", "https://")):
            raise ConfigError(f"--{name} {values[name]}: addresses are not read; fetch the file and give its path")
    overrides = [f"model.name={model}", "data.batch_size=64", "data.workers=10", "augmentation.repeats=3"]
    overrides += ["data.crop=0.875"] if base.startswith("deit") else []
    overrides += [f"model.weights={resume}"] if evaluate and resume else []
    overrides += _settings(values)
    notes = (*(f"--{name} changes nothing here: {why}" for name, why in _DEIT_IDLE.items() if name in values),)
    return Invocation("deit", tuple(overrides), evaluate, None if evaluate else resume, notes)


def _settings(values: Mapping[str, str]) -> list[str]:
    """The overrides of DeiT's options, in the order in which they were given."""
    overrides = []
    for name, value in values.items():
        if name in _DEIT:
            overrides.append(f"{_DEIT[name]}={value}")
        elif "=" in _DEIT_FLAGS.get(name, ""):
            overrides.append(_DEIT_FLAGS[name])
        elif name == "device":
            overrides.append(f"run.device={'cpu' if value == 'cpu' else 'auto'}")
        elif name == "teacher-model":
            overrides.append(f"distillation.teacher={plain_name(value)[0]}")
        elif name == "opt-betas":
            overrides.append(f"optimizer.betas=[{value.replace(' ', ', ')}]")
    return overrides
