"""Command lines of other projects as arguments of `pit-train`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath

from recipe.dialects import double_dash, single_dash
from recipe.dialects.base import SCRIPTS, Invocation
from recipe.errors import ConfigError

_SINGLE_DASH = (
    *("main_multi_gpu", "main_single_gpu", "main_singel_gpu", "main_eval_regnet_multi_gpu", *SCRIPTS),
    "predict",
)
"""Scripts of PaddleViT and hatimwen/paddle_pit; one is documented under a misspelt name."""
_MINDCV = {"train": False, "train_with_func": False, "validate": True, "validate_with_func": True}
"""Scripts of MindCV, and whether they evaluate."""
_DEIT = ("main", "run_with_submitit")
_OURS = {"--framework": True, "--dialect": True, "--dry-run": False}
"""Options of ours that any command line may have, and whether they take a value."""
_OVERRIDE = re.compile(r"[a-z_]+\.[a-z_0-9]+=.*", re.DOTALL)


@dataclass(frozen=True)
class Command:
    """A command line of another project.

    Attributes:
        arguments: The same as arguments of `pit-train`.
        notes: The options that change nothing here, and why.
    """

    arguments: list[str]
    notes: tuple[str, ...] = ()


def translate_command(arguments: Sequence[str]) -> Command | None:
    """Return a command line of another project as one of `pit-train`; None if it is ours.

    The first word may be the project's script (`main_multi_gpu.py`, `validate.py`), which says whose options follow and
    what is meant; without it, the options say so. Overrides of ours, `section.setting=value`, and
    `--framework`, `--dialect` and `--dry-run` may stand among them.

    Raises:
        ConfigError: An option is unknown, has no value or a wrong one.
    """
    ours, theirs = _split(arguments)
    command = _translated(*_script(theirs))
    return None if command is None else replace(command, arguments=[*command.arguments, *ours])


def _split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words that are ours in any command line, and the others."""
    ours: list[str] = []
    theirs: list[str] = []
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        own = _OVERRIDE.fullmatch(word) or word.partition("=")[0] in _OURS
        (ours if own else theirs).append(word)
        if _OURS.get(word) and rest:
            ours.append(rest.pop(0))
    return ours, theirs


def _translated(script: str | None, words: list[str]) -> Command | None:
    if script in _SINGLE_DASH or (script is None and words and single_dash.is_option(words[0])):
        return _single_dash(script, words)
    if script is None and not (words and words[0].startswith("-")):
        return None
    dialect = "mindcv" if script in _MINDCV else "deit" if script in _DEIT else double_dash.dialect_of(words)
    if dialect == "mindcv":
        invocation, keys = double_dash.translate_mindcv(words, evaluate=_MINDCV.get(script or "", False))
        return _command(invocation, [f"--key={name}={value}" for name, value in keys.items()])
    if dialect == "deit":
        return _command(double_dash.translate_deit(words))
    return None


def _script(arguments: Sequence[str]) -> tuple[str | None, list[str]]:
    """The script that is named first, if one is, and the other words."""
    first = PurePath(arguments[0]).name if arguments else ""
    name = first.removesuffix(".py")
    if first.endswith(".py") and (name in _SINGLE_DASH or name in _MINDCV or name in _DEIT):
        return name, list(arguments[1:])
    if name in SCRIPTS:
        return name, list(arguments[1:])
    return None, list(arguments)


def _single_dash(script: str | None, words: Sequence[str]) -> Command:
    invocation = single_dash.translate_arguments(words)
    if script in SCRIPTS and invocation.script is None:
        invocation = replace(invocation, script=script)
    if script is not None and script.startswith("main_multi_gpu"):
        note = f"{script} starts a process for each GPU itself; here python -m paddle.distributed.launch does"
        invocation = replace(invocation, notes=(*invocation.notes, note))
    if script == "predict" and not invocation.images:
        raise ConfigError("predict.py needs an image: give -img_path")
    return _command(invocation)


def _command(invocation: Invocation, keys: Sequence[str] = ()) -> Command:
    whose = [f"--dialect={invocation.dialect}"] if invocation.dialect else []
    whose += [f"--project={invocation.project}"] if invocation.project else []
    if invocation.images and not invocation.evaluate:
        return Command(_prediction(invocation, whose), invocation.notes)
    if invocation.config is None:
        raise ConfigError("-cfg names no configuration file, nor does --config")
    words = ["eval" if invocation.evaluate else "train", f"--config={invocation.config}", *whose, *keys]
    words += [f"--script={invocation.script}"] if invocation.script else []
    overrides = list(invocation.overrides)
    if not invocation.evaluate:
        words += [f"--resume={invocation.resume}"] if invocation.resume else []
        words += [f"--last-epoch={invocation.last_epoch}"] if invocation.last_epoch is not None else []
    elif invocation.resume and not any(text.startswith("model.weights=") for text in overrides):
        overrides.append(f"model.weights={invocation.resume}")
    return Command([*words, *overrides], invocation.notes)


def _prediction(invocation: Invocation, whose: Sequence[str]) -> list[str]:
    if invocation.weights is None:
        raise ConfigError("classifying an image needs weights: give -pretrained")
    config = [f"--config={invocation.config}", *whose] if invocation.config else []
    kept = [text for text in invocation.overrides if not text.startswith(("model.weights=", "run.output="))]
    return ["predict", f"--weights={invocation.weights}", *config, *invocation.images, *kept]
