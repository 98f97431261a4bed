"""PaddleViT's single-dash options, translated to settings of `recipe.config`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from porting.names import nearest
from recipe.errors import ConfigError
from recipe.paddlevit import IDLE, with_suffix


@dataclass(frozen=True)
class Invocation:
    """A command line of PaddleViT, translated.

    Attributes:
        config: The configuration file, if the command line names one.
        overrides: `section.setting=value` each, for `recipe.loading.load`.
        evaluate: True for evaluation only.
        resume: The checkpoint to go on from.
        notes: The options that change nothing here, and why.
    """

    config: str | None = None
    overrides: tuple[str, ...] = ()
    evaluate: bool = False
    resume: str | None = None
    notes: tuple[str, ...] = ()


_OPTIONS: Mapping[str, str] = {
    "batch_size": "data.batch_size",
    "data_path": "data.path",
    "image_size": "model.image_size",
    "num_classes": "model.num_classes",
    "output": "run.output",
    "accum_iter": "run.accumulation",
    "pretrained": "model.weights",
    "teacher_model_path": "distillation.weights",
    "teacher_model": "distillation.weights",
}
"""Options with a value to the setting with the same meaning."""
_IDLE_OPTIONS = {
    "batch_size_eval": IDLE["DATA.BATCH_SIZE_EVAL"],
    "last_epoch": IDLE["TRAIN.LAST_EPOCH"],
    "ngpus": IDLE["NGPUS"],
}
_PATHS = ("pretrained", "teacher_model_path", "teacher_model", "resume")
_FLAGS = ("eval", "amp")
_KNOWN_OPTIONS = ("cfg", "dataset", "resume", *_OPTIONS, *_IDLE_OPTIONS, *_FLAGS)


def is_option(argument: str) -> bool:
    """Return True if an argument is one of PaddleViT's single-dash options: `-cfg`, `-batch_size=8`."""
    return argument.startswith("-") and argument[1:].partition("=")[0] in _KNOWN_OPTIONS


def translate_arguments(arguments: Sequence[str]) -> Invocation:
    """Translate a command line of PaddleViT.

    Args:
        arguments: The single-dash options, as `-name value` or `-name=value`.

    Raises:
        ConfigError: An option is unknown or has no value, or asks for another data set than ImageNet.
    """
    values = _parse(arguments)
    if values.get("dataset", "imagenet2012") != "imagenet2012":
        raise ConfigError(f"-dataset is {values['dataset']!r}, which is not read here; only imagenet2012")
    overrides = [
        f"{_OPTIONS[name]}={with_suffix(value) if name in _PATHS else value}"
        for name, value in values.items()
        if name in _OPTIONS
    ]
    if "amp" in values and "eval" not in values:
        overrides.append("run.precision=float16")
    notes = tuple(f"-{name} changes nothing here: {_IDLE_OPTIONS[name]}" for name in values if name in _IDLE_OPTIONS)
    resume = values.get("resume")
    return Invocation(
        values.get("cfg"), tuple(overrides), "eval" in values, with_suffix(resume) if resume else None, notes
    )


def _parse(arguments: Sequence[str]) -> dict[str, str]:
    values: dict[str, str] = {}
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        name, equals, value = argument.removeprefix("-").partition("=")
        if not argument.startswith("-") or name not in _KNOWN_OPTIONS:
            close = nearest(name, _KNOWN_OPTIONS)
            raise ConfigError(f"unknown option {argument!r}" + (f"; did you mean -{close[0]}?" if close else ""))
        if name in _FLAGS:
            values[name] = ""
        elif equals:
            values[name] = value
        elif rest:
            values[name] = rest.pop(0)
        else:
            raise ConfigError(f"-{name} needs a value")
    return values
