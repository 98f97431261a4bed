"""The configuration of a gate, read from a reviewed file: `pit-align.toml`, or `[tool.pit-align]` in pyproject.toml."""

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
from alignment.text_files import decode_from
from porting.plain_files import read_plain_text

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LIMITS = {"max_mean": "mean", "max_abs": "max", "max_rel_l2": "rel_l2", "max_error": "error", "max_margin": "margin"}
"""The limits that a threshold may set, each with the field of `Row` that it limits."""
CONFIG = "pit-align.toml"
PROJECT = "pyproject.toml"
TABLE = "tool.pit-align"
"""Table of a gate's configuration in a pyproject.toml."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """Rows that a report must hold.

    Attributes:
        step: The step, as a shell pattern: `forward`, `*`.
        dtype: The precision, `float32` or `float64`.
        key: A key that must be there, as a shell pattern, with its step or without.
        verdict: The verdict that every such row must have; by default any but a divergence.
    """

    step: str
    dtype: str
    key: str = "*"
    verdict: Verdict | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Patterns:
    """The rows that a threshold or waiver is for, as shell patterns, all of which must match.

    Attributes:
        step: Pattern of the step.
        key: Pattern of the key, with its step or without: `bp/gradient/*`, `logits`.
        dtype: Pattern of the precision.
        device: Pattern of the candidate's device; what is for another device than the report's does not apply.
        model: Pattern of the model; what is for another model than the report's does not apply.
    """

    step: str = "*"
    key: str = "*"
    dtype: str = "*"
    device: str = "*"
    model: str = "*"


@dataclass(frozen=True, slots=True)
class Threshold(Patterns):
    """Limits of the rows that match all patterns.

    Attributes:
        max_mean: Largest admissible `mean` of `alignment.results.report.Row`.
        max_abs: Largest admissible `max`.
        max_rel_l2: Largest admissible `rel_l2`.
        max_error: Largest admissible `error`.
        max_margin: Largest admissible `margin`.
    """

    max_mean: float | None = None
    max_abs: float | None = None
    max_rel_l2: float | None = None
    max_error: float | None = None
    max_margin: float | None = None

    @property
    def limits(self) -> dict[str, float]:
        """The limits that this threshold sets, by name."""
        return {name: limit for name in LIMITS if (limit := getattr(self, name)) is not None}


@dataclass(frozen=True, slots=True)
class Waiver(Patterns):
    """A failure that is known and accepted until a day; the day after, the waiver itself is a failure.

    Attributes:
        reason: Why it is accepted.
        expires: The last day on which it is accepted.
        what: Pattern of what is wrong: `verdict`, `missing`, or the field of a row: `margin`.
    """

    reason: str
    expires: date
    what: str = "*"


@dataclass(frozen=True, slots=True)
class Regression:
    """Limits of a margin relative to the baseline's, for `--against`.

    Attributes:
        factor: Largest admissible margin divided by the baseline's.
        noise: Least value that the baseline's margin counts as where noise was measured, in multiples of the noise.
        share: Likewise where no noise was measured, as a share of the limit (in float64, of 1e-10).
    """

    factor: float = 2.0
    noise: float = 1.0
    share: float = 1e-3


@dataclass(frozen=True, slots=True)
class GateConfig:
    """The configuration of a gate.

    Attributes:
        require: Steps and precisions that the report must hold; at least one.
        threshold: Limits of rows.
        waiver: Failures that are accepted until a day.
        regression: Limits relative to the baseline of `--against`.
        strict: Whether a report fails in which exact versions had to stand in for the frameworks' own kernels.
    """

    require: tuple[Requirement, ...]
    threshold: tuple[Threshold, ...] = ()
    waiver: tuple[Waiver, ...] = ()
    regression: Regression = Regression()
    strict: bool = False


def meant(report: Report, rule: Patterns) -> bool:
    """Return whether a rule is for a report of this device and model."""
    return fnmatchcase(report.device, rule.device) and fnmatchcase(report.model, rule.model)


def matches(rule: Requirement | Patterns, key: str, step: str) -> bool:
    """Return whether the patterns of a rule match a step and its key, with the step in front or without."""
    names = (key, key.removeprefix(f"{step}/"))
    return fnmatchcase(step, rule.step) and any(fnmatchcase(name, rule.key) for name in names)


def find_config(folder: str | os.PathLike[str] = ".") -> Path:
    """Return the path of a folder's configuration: `pit-align.toml`, else a pyproject.toml with `[tool.pit-align]`.

    Raises:
        FileError: The pyproject.toml is not valid TOML.
        AlignmentError: There is neither.
    """
    folder = Path(folder)
    own, project = folder / CONFIG, folder / PROJECT
    if own.exists():
        return own
    if project.exists() and gate_table(read_text(project), project) is not None:
        return project
    raise AlignmentError(
        f"no gate is configured here: there is no {CONFIG} and no [{TABLE}] in {PROJECT}; "
        "name a file with --config, or write one from a good report with `pit-align gate REPORT --init`"
    )


def load_config(path: str | os.PathLike[str]) -> GateConfig:
    """Read a gate's configuration; of a pyproject.toml, its table `[tool.pit-align]`.

    Raises:
        FileError: It cannot be read, is not TOML, or has an unknown, missing or wrongly typed key, which is named.
    """
    path = Path(path)
    return config_of(read_text(path), path)


def config_of(text: str, path: Path) -> GateConfig:
    """Return the configuration in the text of a file; of a pyproject.toml, in its table.

    Raises:
        FileError: It is not TOML, or has an unknown, missing or wrongly typed key, which is named.
    """
    table = gate_table(text, path)
    if table is None:
        raise FileError(path, f"has no table [{TABLE}]; write one with `pit-align gate REPORT --init`")
    config = decode_from(path, GateConfig, table)
    problems = list(_problems(config))
    if problems:
        raise FileError(path, problems[0], problems[1:])
    return config


def read_text(path: Path) -> str:
    """Return the text of a configuration.

    Raises:
        FileError: It cannot be read, or is no UTF-8.
    """
    try:
        return read_plain_text(path)
    except OSError as error:
        written = f"; `pit-align gate REPORT --init --config {path}` writes it" if not path.exists() else ""
        raise FileError(path, f"the gate's configuration cannot be read: {error.strerror}{written}") from None
    except UnicodeDecodeError as error:
        raise FileError(path, f"not valid TOML: byte {error.start} is no UTF-8, which TOML is written in") from None


def gate_table(text: str, path: Path) -> object | None:
    """Return the TOML value of a file's text; of a pyproject.toml its table of the gate, None if it has none.

    Raises:
        FileError: The text is no TOML.
    """
    try:
        value: dict[str, Any] = tomllib.loads(text)
    except ValueError as error:
        raise FileError(path, f"not valid TOML: {error}") from None
    except RecursionError:
        raise FileError(path, "not valid TOML: nested too deep") from None
    if path.name != PROJECT:
        return value
    tools = value.get("tool")
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
    """Return whether a pattern needs a letter or a digit; `?*`, `*/*` and `[!_]*` do not."""
    literal = re.sub(r"\[(?!!)(.)\]", r"\1", pattern)
    return any(map(str.isalnum, re.sub(r"\[.[^\]]*\]", "", literal)))
