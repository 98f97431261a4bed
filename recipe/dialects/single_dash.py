"""The command lines of PaddleViT and hatimwen/paddle_pit: options of one dash, `-cfg=FILE -batch_size 8 -eval`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from recipe.dialects.base import SCRIPTS, Invocation, with_suffix
from recipe.dialects.words import parse_options
from recipe.dialects.yacs_keys import IDLE
from recipe.errors import ConfigError

_OPTIONS: Mapping[str, str] = {
    "batch_size": "data.batch_size",
    "data_path": "data.path",
    "image_size": "model.image_size",
    "num_classes": "model.num_classes",
    "output": "run.output",
    "save_path": "run.output",
    "accum_iter": "run.accumulation",
    "pretrained": "model.weights",
    "teacher_model_path": "distillation.weights",
    "teacher_model": "distillation.weights",
}
"""Options with a value to the setting with the same meaning."""
_IDLE = {"batch_size_eval": IDLE["DATA.BATCH_SIZE_EVAL"], "ngpus": IDLE["NGPUS"]}
_PATHS = ("pretrained", "teacher_model_path", "teacher_model")
_FLAGS = ("eval", "amp")
_OF = {
    "save_path": "hatimwen",
    "img_path": "hatimwen",
    "output": "paddlevit",
    "accum_iter": "paddlevit",
    "batch_size_eval": "paddlevit",
    "teacher_model_path": "paddlevit",
    "num_classes": "paddlevit",
}
"""Options that one of the two projects has to its dialect."""
_KNOWN = ("cfg", "dataset", "resume", "last_epoch", "img_path", "script", "dialect", *_OPTIONS, *_IDLE, *_FLAGS)
_DATASETS = ("imagenet2012", "imagenetlight")


def is_option(argument: str) -> bool:
    """Return True if an argument is one of these options: `-cfg`, `-batch_size=8`."""
    return argument.startswith("-") and argument[1:].partition("=")[0] in _KNOWN


def translate_arguments(arguments: Sequence[str]) -> Invocation:
    """Translate a command line of PaddleViT or hatimwen/paddle_pit.

    Args:
        arguments: The options, as `-name value` or `-name=value`. Beside the projects' own there are `-script` (a
            script of PaddleViT's DeiT) and `-dialect`.

    Raises:
        ConfigError: An option is unknown, has no value or a wrong one, or asks for another data set than ImageNet.
    """
    values = parse_options(arguments, _KNOWN, _FLAGS, dash="-")
    if values.get("dataset", _DATASETS[0]) not in _DATASETS:
        raise ConfigError(f"-dataset is {values['dataset']!r}, which is not read here; only {' or '.join(_DATASETS)}")
    overrides = [
        f"{_OPTIONS[name]}={with_suffix(value) if name in _PATHS else value}"
        for name, value in values.items()
        if name in _OPTIONS
    ]
    if "amp" in values and "eval" not in values:
        overrides.append("run.precision=mixed")
    notes = [f"-{name} changes nothing here: {_IDLE[name]}" for name in values if name in _IDLE]
    images = (values["img_path"],) if "img_path" in values and "data_path" not in values else ()
    if "img_path" in values and not images:
        notes.append("-img_path changes nothing here: only predict.py reads it")
    return Invocation(
        values.get("cfg"),
        tuple(overrides),
        "eval" in values,
        with_suffix(values["resume"]) if values.get("resume") else None,
        tuple(notes),
        values.get("dialect"),
        _project_of(values),
        _script_of(values),
        _epochs_of(values),
        images,
        with_suffix(values["pretrained"]) if "pretrained" in values else None,
    )


def _project_of(values: Mapping[str, str]) -> str | None:
    dialects = {_OF[name] for name in values if name in _OF}
    return dialects.pop() if len(dialects) == 1 else None


def _script_of(values: Mapping[str, str]) -> str | None:
    script = values.get("script")
    name = None if script is None else script.removesuffix(".py")
    if name is not None and name not in SCRIPTS:
        raise ConfigError(f"-script is {script!r}, expected {' or '.join(SCRIPTS)}")
    return name


def _epochs_of(values: Mapping[str, str]) -> int | None:
    epochs = values.get("last_epoch")
    if epochs is None:
        return None
    if not (epochs.isascii() and epochs.isdigit()) or len(epochs) > 9:
        raise ConfigError(f"-last_epoch is {epochs!r}, expected the number of epochs that are done")
    return int(epochs)
