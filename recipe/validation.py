"""Checks of a configuration: ranges, names, and settings that exclude each other."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from operator import attrgetter

from porting import architectures
from porting.errors import ExpectedError
from porting.names import did_you_mean
from recipe.config import Config
from recipe.errors import ConfigError

_CHOICES = {
    "data.format": ("auto", "folder", "list"),
    "data.interpolation": ("bicubic", "bilinear"),
    "data.corrupt": ("report", "raise"),
    "augmentation.erasing_mode": ("pixel", "rand", "const"),
    "distillation.kind": ("none", "hard", "soft"),
    "run.precision": ("float32", "float64", "float16", "bfloat16", "mixed"),
    "run.device": ("auto", "cpu", "gpu"),
    "mindspore.mode": ("graph", "pynative"),
    "mindspore.amp_level": ("O0", "O1", "O2", "O3"),
    "mindspore.loss_scale_type": ("auto", "fixed", "dynamic"),
    "run.tracker": ("none", "visualdl", "tensorboard"),
}
_RANGES: Mapping[str, tuple[Callable[[float], bool], str]] = {
    "1 or more": (
        lambda value: value >= 1,
        "model.num_classes data.batch_size augmentation.erasing_count augmentation.repeats schedule.epochs "
        "run.accumulation run.log_every mindspore.loss_scale",
    ),
    "0 or more": (
        lambda value: value >= 0,
        "data.workers augmentation.color_jitter mixing.mixup mixing.cutmix optimizer.base_batch optimizer.weight_decay "
        "schedule.warmup_epochs schedule.warmup_rate schedule.minimum_rate schedule.cooldown_epochs schedule.ahead "
        "schedule.decay_epochs run.save_every run.save_updates run.validate_every",
    ),
    "more than 0": (
        lambda value: value > 0,
        "optimizer.learning_rate optimizer.epsilon optimizer.clip distillation.temperature",
    ),
    "0 to 1": (
        lambda value: 0 <= value <= 1,
        "augmentation.flip augmentation.erasing mixing.probability mixing.switch distillation.alpha",
    ),
    "0 or more, below 1": (
        lambda value: 0 <= value < 1,
        "model.drop_rate model.attn_drop_rate model.drop_path_rate loss.smoothing ema.decay",
    ),
}
"""Range, in words, to its test and the settings that must be in it; one that is null is in any."""
_NAME = re.compile(rf"\b(?:{'|'.join(field.name for field in fields(Config))})\.[a-z_]+")
_NUMBER = r"\d+(\.\d+)?"
_POLICY = re.compile(
    rf"rand(-(m{_NUMBER}|n\d+|p{_NUMBER}|mstd{_NUMBER}|mmax\d+|inc[01]|t[a-z0-9]+))*|(original|v0)r?(-mstd{_NUMBER})?"
    rf"|3a(-mstd{_NUMBER})?"
)


def validate(config: Config, place_of: Callable[[Sequence[str]], str] | None = None) -> None:
    """Check everything that can be checked without looking at data, weights or devices.

    Args:
        config: The configuration.
        place_of: Returns where settings were made, such as `run.yaml:3: `, given the names that a problem is about;
            empty where they are the defaults.

    Raises:
        ConfigError: Settings are out of range or exclude each other; every one is named.
    """
    places = place_of or (lambda _: "")
    problems = [f"{places(_NAME.findall(problem))}{problem}" for problem in _problems(config)]
    if len(problems) == 1:
        raise ConfigError(problems[0])
    if problems:
        raise ConfigError(f"the configuration cannot be carried out, for {len(problems)} reasons", problems)


def _problems(config: Config) -> Iterator[str]:
    for check in (_ranges, _choices, _model, _data, _schedule, _distillation, _precision):
        yield from check(config)


def _ranges(config: Config) -> Iterator[str]:
    for expected, (inside, names) in _RANGES.items():
        for name in names.split():
            value = attrgetter(name)(config)
            if value is not None and not inside(value):
                yield f"{name} is {value}, expected {expected}"
    if not all(0 <= beta < 1 for beta in config.optimizer.betas):
        yield f"optimizer.betas are {_list(config.optimizer.betas)}, expected 0 or more, below 1"


def _choices(config: Config) -> Iterator[str]:
    for name, known in _CHOICES.items():
        value = str(attrgetter(name)(config))
        if value not in known:
            yield f"{name} is {value!r}, expected {', '.join(known[:-1])} or {known[-1]}{did_you_mean(value, known)}"


def _model(config: Config) -> Iterator[str]:
    model = config.model
    if model.name not in architectures.NAMES:
        yield f"model.name {model.name!r} is no known model{_nearest_model(model.name)}"
        return
    classes = max(model.num_classes, 0)
    try:
        family = architectures.build(model.name, image_size=model.image_size, num_classes=classes).family
    except ExpectedError as error:
        yield f"model.image_size: {error.summary}"
        return
    if family == "regnet" and model.attn_drop_rate:
        yield f"model.attn_drop_rate is {model.attn_drop_rate}, but {model.name} has no attention; set it to 0"


def _data(config: Config) -> Iterator[str]:
    data, augmentation = config.data, config.augmentation
    if not 0 < data.crop <= 1:
        yield f"data.crop is {data.crop}, expected more than 0, at most 1"
    if not min(data.std) > 0:
        yield f"data.std is {_list(data.std)}, expected more than 0 for each channel"
    low, high = augmentation.scale
    if not 0 < low <= high <= 1:
        yield f"augmentation.scale is {_list(augmentation.scale)}, expected shares of the area, the smaller first"
    low, high = augmentation.ratio
    if not 0 < low <= high:
        yield f"augmentation.ratio is {_list(augmentation.ratio)}, expected ratios above 0, the smaller first"
    if augmentation.auto is not None and not _POLICY.fullmatch(augmentation.auto):
        yield (
            f"augmentation.auto is {augmentation.auto!r}, expected RandAugment or AutoAugment in timm's notation "
            "(rand-m9-mstd0.5-inc1, original) or null"
        )


def _schedule(config: Config) -> Iterator[str]:
    schedule = config.schedule
    if schedule.warmup_epochs > schedule.epochs:
        epochs = f"schedule.epochs, which is {schedule.epochs}"
        yield f"schedule.warmup_epochs is {schedule.warmup_epochs}, more than {epochs}: set both"
    if schedule.ahead and schedule.deit_quirk:
        yield "schedule.ahead and schedule.deit_quirk move the same schedule, one on and one back: keep one of them"


def _distillation(config: Config) -> Iterator[str]:
    distillation = config.distillation
    if distillation.kind == "none":
        return
    if distillation.weights is None:
        yield (
            f"distillation.kind is {distillation.kind}, but distillation.weights is null: "
            "a teacher needs a checkpoint; give one, or set the kind to none"
        )
    if distillation.teacher not in architectures.NAMES:
        yield f"distillation.teacher {distillation.teacher!r} is no known model{_nearest_model(distillation.teacher)}"
    if config.model.name in architectures.NAMES and not config.model.name.endswith("_distilled"):
        wanted = f"{config.model.name}_distilled"
        yield (
            f"distillation.kind is {distillation.kind}, but {config.model.name} has no distillation head: "
            f"train {wanted if wanted in architectures.NAMES else 'a distilled model'}, or set the kind to none"
        )


def _precision(config: Config) -> Iterator[str]:
    run = config.run
    if run.device == "cpu" and run.precision in ("float16", "bfloat16"):
        yield (
            f"run.precision {run.precision} needs a GPU and run.device is cpu, where Paddle has no mixed precision: "
            "use float32"
        )
    if run.device == "gpu" and run.precision == "float64":
        yield "run.precision float64 is meant for checks on the CPU and run.device is gpu: use run.device=cpu"


def _nearest_model(name: str) -> str:
    return did_you_mean(name, architectures.NAMES) or f"; known: {', '.join(architectures.NAMES)}"


def _list(values: tuple[float, ...]) -> str:
    return f"[{', '.join(map(str, values))}]"
