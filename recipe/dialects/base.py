"""What a file or a command line of another project says here."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from recipe.errors import ConfigError
from recipe.yaml_text import Setting

SUFFIX = ".pdparams"
SCRIPTS = ("main_multi_gpu_distill", "main_multi_gpu_no_distill")
"""The scripts of PaddleViT's DeiT that differ in the loss: with a teacher, and without."""
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line says beside the file, and what a file is translated with.

    Attributes:
        script: One of `SCRIPTS`; None where the file decides.
        teacher: The teacher's checkpoint that the command line names.
        project: The dialect whose options the command line has; it decides where a file may be in several.
    """

    script: str | None = None
    teacher: str | None = None
    project: str | None = None


@dataclass(frozen=True)
class Translation:
    """A file of another project, translated.

    Attributes:
        settings: Settings by dotted name.
        evaluate: True if the file asks for evaluation only.
        resume: The checkpoint to go on from, if the file names one.
        notes: What was decided, and what the file says that changes nothing here, and why.
        preset: The shipped configuration that holds the project's defaults.
        last_epoch: Epochs that the run to resume has done, if the file says so.
    """

    settings: Mapping[str, Setting]
    evaluate: bool = False
    resume: str | None = None
    notes: tuple[str, ...] = ()
    preset: str = "paddlevit"
    last_epoch: int | None = None


@dataclass(frozen=True)
class Invocation:
    """A command line of another project, translated.

    Attributes:
        config: The configuration file or preset, if the command line names one.
        overrides: `section.setting=value` each, for `recipe.loading.load`.
        evaluate: True for evaluation only.
        resume: The checkpoint to go on from.
        notes: The options that change nothing here, and why.
        dialect: The dialect that the command line asks for.
        project: The dialect whose options it has; None where it may be several.
        script: Which of `SCRIPTS` is meant; None where the file decides.
        last_epoch: Epochs that the run to resume has done.
        images: The images to classify; training or evaluation without them.
        weights: The weights to classify with.
    """

    config: str | None = None
    overrides: tuple[str, ...] = ()
    evaluate: bool = False
    resume: str | None = None
    notes: tuple[str, ...] = ()
    dialect: str | None = None
    project: str | None = None
    script: str | None = None
    last_epoch: int | None = None
    images: tuple[str, ...] = ()
    weights: str | None = None


def with_suffix(path: str) -> str:
    """Return the path of a checkpoint, which PaddleViT's family may name without the suffix `.pdparams`."""
    return path if PurePath(path).suffix == SUFFIX or Path(path).is_file() else f"{path}{SUFFIX}"


def literal(value: Any) -> Any:
    """Return a value as yacs reads it: the text of a Python tuple, list, None or boolean is what it says."""
    if not isinstance(value, str) or len(value) > _LONGEST:
        return value
    text = value.strip()
    if not (text.startswith(("(", "[")) or text in ("None", "True", "False")):
        return value
    try:
        read = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return value
    return list(read) if isinstance(read, tuple) else read


def refuse(where: str, key: str, value: Any, known: Iterable[Any], meaning: str = "") -> str:
    """Return the problem of a value that is not carried out: where, what, what it would mean, and what is."""
    would = f" ({meaning})" if meaning else ""
    return f"{where}: {key} is {value!r}, which is not carried out here{would}; only {' or '.join(map(repr, known))}"


def refusal(project: str, problems: Iterable[str]) -> ConfigError:
    """Return the error of a file of a project with problems, each with its line."""
    return ConfigError(f"this file of {project} cannot be carried out", problems)
