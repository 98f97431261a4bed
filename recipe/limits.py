"""What a framework beside Paddle does not carry out of a configuration, known before its process is started."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

from porting import architectures
from porting.converters import layouts_of
from porting.names import nearest
from recipe.config import Config
from recipe.errors import ConfigError

Problem: TypeAlias = tuple[str, str]
"""A setting's dotted name, and what is wrong with its value, and what can be carried out."""


def check_for(framework: str, action: str, config: Config, places: Mapping[str, str]) -> None:
    """Raise an error if a framework cannot carry out a configuration.

    Args:
        framework: `torch` or `mindspore`.
        action: `train`, `eval` or `predict`.
        config: The configuration.
        places: Where each setting was made: a file and its line, or an override.

    Raises:
        ConfigError: The details name each setting, with file and line, and the nearest value that can be carried out.
    """
    find = _LIMITS.get(framework)
    problems = [f"{places.get(name, name)}: {text}" for name, text in (find(config, action) if find else ())]
    if problems:
        raise ConfigError(f"--framework {framework} cannot carry this configuration out", problems)


def _mindspore(config: Config, action: str) -> Iterator[Problem]:
    model, run = config.model.name, config.run
    if LAYOUT not in layouts_of(architectures.build(model)):
        there = [name for name in architectures.NAMES if LAYOUT in layouts_of(architectures.build(name))]
        close = nearest(model.removesuffix("_distilled"), there) or there
        yield "model.name", f"model.name is {model}, which MindCV has not; the nearest that it has is {close[0]}"
    if action == "train" and config.distillation.kind != "none":
        kind = config.distillation.kind
        yield "distillation.kind", f"distillation.kind is {kind}, but MindCV has no distilled model; take none"
    if run.precision in ("float64", "bfloat16"):
        why = "MindSpore has no float64 convolution" if run.precision == "float64" else "MindCV's levels are float16"
        yield "run.precision", f"run.precision is {run.precision}, but {why}; take float32, float16 or mixed"
    if action == "train":
        yield from _training(config)


def _training(config: Config) -> Iterator[Problem]:
    model = config.model
    rates = ("drop_rate", "attn_drop_rate", "drop_path_rate")
    for name in rates if not model.name.startswith("pit") else ():
        if getattr(model, name):
            value = getattr(model, name)
            yield f"model.{name}", f"model.{name} is {value}, but MindCV's {model.name} drops nothing; take 0"


LAYOUT = "mindcv"
"""The layout of the models that MindSpore runs here."""
_LIMITS: Mapping[str, Callable[[Config, str], Iterator[Problem]]] = {"mindspore": _mindspore}
