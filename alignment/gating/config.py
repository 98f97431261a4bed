"""What a gate demands, read from a reviewed file: `pit-align.toml`, or `[tool.pit-align]` in pyproject.toml."""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from alignment.errors import AlignmentError, FileError
from alignment.results.report import Report, Verdict
from porting.errors import FieldError
from porting.fields import decode

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LIMITS = {"max_mean": "mean", "max_abs": "max", "max_rel_l2": "rel_l2", "max_error": "error", "max_margin": "margin"}
"""The limits that a threshold may set, with the field of a row that each is of."""
CONFIG = "pit-align.toml"
PROJECT = "pyproject.toml"
TABLE = "tool.pit-align"
"""Where a gate's configuration stands in a pyproject.toml."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """What a report must hold.

    Attributes:
        step: The step, as in a shell: `forward`, `*`.
        dtype: The precision, `float32` or `float64`.
        key: A key that must be there, as in a shell, with its step or without.
        verdict: What every row of it must be judged as; anything but a divergence by default.
    """

    step: str
    dtype: str
    key: str = "*"
    verdict: Verdict | None = None


@dataclass(frozen=True, slots=True)
class Threshold:
    """Limits of the rows that match, each in the sense of the field of `report.model.Row` that it names.

    Attributes:
        step: The step, as in a shell.
        key: The key, as in a shell, with its step or without: `bp/gradient/*`, `logits`.
        dtype: The precision, as in a shell.
        device: The candidate's device, as in a shell; a threshold for another device than the report's does not apply.
        model: The model, as in a shell; a threshold for another model than the report's does not apply.
        max_mean: Of `mean`.
        max_abs: Of `max`.
        max_rel_l2: Of `rel_l2`.
        max_error: Of `error`.
        max_margin: Of `margin`.
    """

    step: str = "*"
    key: str = "*"
    dtype: str = "*"
    device: str = "*"
    model: str = "*"
    max_mean: float | None = None
    max_abs: float | None = None
    max_rel_l2: float | None = None
    max_error: float | None = None
    max_margin: float | None = None

    @property
    def limits(self) -> dict[str, float]:
        """The limits that are set, by name."""
        return {name: limit for name in LIMITS if (limit := getattr(self, name)) is not None}


@dataclass(frozen=True, slots=True)
class Waiver:
    """A failure that is known and accepted until a day; the day after, the waiver itself is a failure.

    Attributes:
        reason: Why it is accepted.
        expires: The last day on which it is.
        key: The key, as in a shell, with its step or without.
        step: The step, as in a shell.
        dtype: The precision, as in a shell.
        device: The candidate's device, as in a shell.
        model: The model, as in a shell.
        what: What is wrong, as in a shell: `verdict`, `missing`, or the field of a row: `margin`.
    """

    reason: str
    expires: date
    key: str = "*"
    step: str = "*"
    dtype: str = "*"
    device: str = "*"
    model: str = "*"
    what: str = "*"


@dataclass(frozen=True, slots=True)
class Regression:
    """When a margin that is larger than the baseline's is a regression, with `--against`.

    Attributes:
        factor: How many times the baseline's it may be.
        noise: The baseline's margin counts as at least this, in units of the noise, where noise was measured.
        share: Likewise where none was, as a share of the limit: in float64, of 1e-10.
    """

    factor: float = 2.0
    noise: float = 1.0
    share: float = 1e-3


@dataclass(frozen=True, slots=True)
class GateConfig:
    """What a gate demands.

    Attributes:
        require: Steps and precisions that the report must hold; at least one.
        threshold: Limits.
        waiver: Failures that are accepted for a while.
        regression: When `--against` fails.
    """

    require: tuple[Requirement, ...]
    threshold: tuple[Threshold, ...] = ()
    waiver: tuple[Waiver, ...] = ()
    regression: Regression = Regression()


def meant(report: Report, rule: Threshold | Waiver) -> bool:
    """Whether a rule is for a report of this device and model."""
    return fnmatchcase(report.device, rule.device) and fnmatchcase(report.model, rule.model)


def key_matches(key: str, step: str, pattern: str) -> bool:
    """Whether a pattern means a key, with its step or without."""
    return fnmatchcase(key, pattern) or fnmatchcase(key.removeprefix(f"{step}/"), pattern)


def find_config(folder: str | os.PathLike[str] = ".") -> Path:
    """The configuration of a folder: `pit-align.toml`, else a pyproject.toml that has `[tool.pit-align]`.

    Raises:
        FileError: The pyproject.toml is not valid TOML.
        AlignmentError: There is neither.
    """
    folder = Path(folder)
    own, project = folder / CONFIG, folder / PROJECT
    if own.exists():
        return own
    if project.exists() and table(parse(read_text(project), project)) is not None:
        return project
    raise AlignmentError(
        f"no gate is configured here: there is no {CONFIG} and no [{TABLE}] in {PROJECT}; "
        "name a file with --config, or write one from a good report with `pit-align gate REPORT --init`"
    )


def load_config(path: str | os.PathLike[str]) -> GateConfig:
    """Read a gate's configuration; of a pyproject.toml, its table `[tool.pit-align]`.

    Raises:
        FileError: it cannot be read, is not TOML, or has an unknown, missing or wrongly typed key, which is named.
    """
    path = Path(path)
    return config_of(read_text(path), path)


def config_of(text: str, path: Path) -> GateConfig:
    """The configuration that a text is, which stands in a file or is to; of a pyproject.toml, its table.

    Raises:
        FileError: it is not TOML, or has an unknown, missing or wrongly typed key, which is named.
    """
    value: object = parse(text, path)
    if path.name == PROJECT:
        value = table(parse(text, path))
        if value is None:
            raise FileError(path, f"has no table [{TABLE}]; write one with `pit-align gate REPORT --init`")
    try:
        config = decode(GateConfig, value)
    except FieldError as error:
        raise FileError(path, str(error)) from None
    problems = list(_problems(config))
    if problems:
        raise FileError(path, problems[0], problems[1:])
    return config


def read_text(path: Path) -> str:
    """The text of a configuration.

    Raises:
        FileError: it cannot be read, or is no UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise FileError(path, f"the gate's configuration cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise FileError(path, f"not valid TOML: byte {error.start} is no UTF-8, which TOML is written in") from None


def parse(text: str, path: Path) -> dict[str, Any]:
    """The value of a TOML text that stands in a file, or is to.

    Raises:
        FileError: it is no TOML.
    """
    try:
        found: dict[str, Any] = tomllib.loads(text)
    except ValueError as error:
        raise FileError(path, f"not valid TOML: {error}") from None
    except RecursionError:
        raise FileError(path, "not valid TOML: nested too deep") from None
    return found


def table(project: dict[str, Any]) -> object | None:
    """The gate's table of a pyproject.toml; None where it has none."""
    tools = project.get("tool")
    return tools.get("pit-align") if isinstance(tools, dict) else None


def _problems(config: GateConfig) -> Iterator[str]:
    if not config.require:
        yield "require: is empty, so a report without any step could pass; name the steps and precisions it must hold"
    for number, threshold in enumerate(config.threshold):
        if not threshold.limits:
            yield f"threshold[{number}]: sets no limit; set one of {', '.join(LIMITS)}"
        for name, limit in threshold.limits.items():
            if not 0 <= limit < math.inf:
                yield f"threshold[{number}].{name}: {limit} is no finite number of 0 or more"
    for number, waiver in enumerate(config.waiver):
        yield from (f"waiver[{number}]{problem}" for problem in _problems_of(waiver))
    for name, smallest in (("factor", 1.0), ("noise", 0.0), ("share", 0.0)):
        if not smallest <= getattr(config.regression, name) < math.inf:
            yield f"regression.{name}: {getattr(config.regression, name)} is no finite number of {smallest:g} or more"


def _problems_of(waiver: Waiver) -> Iterator[str]:
    if not waiver.reason.strip():
        yield ".reason: is empty; say why the failure is accepted"
    if not (_names_something(waiver.key) or _names_something(waiver.step)):
        yield f": accepts every failure (key {waiver.key!r}, step {waiver.step!r}); name a key or a step"


def _names_something(pattern: str) -> bool:
    """Whether a pattern holds a letter or a digit that must be there; `?*`, `*/*` and `[!_]*` do not."""
    literal = re.sub(r"\[(?!!)(.)\]", r"\1", pattern)
    return any(map(str.isalnum, re.sub(r"\[.[^\]]*\]", "", literal)))
