"""A report against thresholds kept in a reviewed file: pass or fail, for continuous integration.

    require = [{ step = "forward", dtype = "float64", verdict = "same function" }]

    [[threshold]]
    step = "bp"
    key = "gradient/*"
    dtype = "float32"
    max_rel_l2 = 2e-5

Fails closed: a divergence fails whatever the thresholds say, so does a step or precision that is required and missing,
a threshold that matches nothing, and a number that does not exist. All thresholds that match a row apply to it.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from alignment.errors import FieldError, FileError, NothingComparedError
from alignment.fields import decode
from alignment.report.model import DIVERGENCE, Report, Row, Verdict

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_LIMITS = {"max_mean": "mean", "max_abs": "max", "max_rel_l2": "rel_l2", "max_error": "error", "max_margin": "margin"}


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
        return {name: limit for name in _LIMITS if (limit := getattr(self, name)) is not None}


@dataclass(frozen=True, slots=True)
class GateConfig:
    """What a gate demands.

    Attributes:
        require: Steps and precisions that the report must hold; at least one.
        threshold: Limits.
    """

    require: tuple[Requirement, ...]
    threshold: tuple[Threshold, ...] = ()


@dataclass(frozen=True, slots=True)
class Failure:
    """One reason not to pass.

    Attributes:
        key: The quantity, or the pattern that found none.
        step: Its step.
        dtype: Its precision.
        what: What was wrong: the name of a limit, `verdict`, or `missing`.
        found: What the report says.
        allowed: What the configuration admits.
    """

    key: str
    step: str
    dtype: str
    what: str
    found: str
    allowed: str

    def __str__(self) -> str:
        found = f"missing: {self.found}" if self.what == "missing" else f"{self.what} is {self.found}"
        return f"{self.key} ({self.dtype}): {found}, expected {self.allowed}"


@dataclass(frozen=True, slots=True)
class GateResult:
    """The outcome.

    Attributes:
        passed: Whether nothing failed.
        failures: Every reason why not.
        checked: Rows that a threshold applied to.
    """

    passed: bool
    failures: tuple[Failure, ...]
    checked: int


def load_config(path: str | os.PathLike[str]) -> GateConfig:
    """Read a gate's configuration.

    Raises:
        FileError: it cannot be read, is not TOML, or has an unknown, missing or wrongly typed key, which is named.
    """
    path = Path(path)
    try:
        config = decode(GateConfig, tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise FileError(path, f"the gate's configuration cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise FileError(path, f"not valid TOML: {error}") from None
    except FieldError as error:
        raise FileError(path, str(error)) from None
    problems = list(_problems(config))
    if problems:
        raise FileError(path, problems[0], problems[1:])
    return config


def gate(report: Report, config: GateConfig) -> GateResult:
    """Hold a report against a configuration.

    Raises:
        NothingComparedError: the report has no rows.
    """
    if not report.rows:
        raise NothingComparedError("nothing was compared: the report has no rows, so no gate can pass it")
    applied = [(threshold, _matching(report, threshold)) for threshold in config.threshold]
    failures = dict.fromkeys(
        (
            *(_diverged(row) for row in report.failures),
            *(failure for requirement in config.require for failure in _require(report, requirement)),
            *(failure for threshold, rows in applied for failure in _apply(report, threshold, rows)),
        )
    )
    if report.verdict == DIVERGENCE and not failures:
        failures[Failure("*", "*", "*", "verdict", DIVERGENCE, "no divergence")] = None
    checked = len({(row.key, row.dtype) for _, rows in applied for row in rows})
    return GateResult(not failures, tuple(failures), checked)


def _problems(config: GateConfig) -> Iterator[str]:
    if not config.require:
        yield "require: is empty, so a report without any step could pass; name the steps and precisions it must hold"
    for number, threshold in enumerate(config.threshold):
        if not threshold.limits:
            yield f"threshold[{number}]: sets no limit; set one of {', '.join(_LIMITS)}"
        for name, limit in threshold.limits.items():
            if not 0 <= limit < math.inf:
                yield f"threshold[{number}].{name}: {limit} is no finite number of 0 or more"


def _diverged(row: Row) -> Failure:
    return Failure(row.key, row.step, row.dtype, "verdict", f"{row.verdict} ({row.reason})", "no divergence")


def _require(report: Report, requirement: Requirement) -> Iterator[Failure]:
    rows = [
        row
        for row in report.rows
        if row.dtype == requirement.dtype
        and fnmatchcase(row.step, requirement.step)
        and _key_matches(row, requirement.key)
    ]
    if not rows:
        where = (requirement.key, requirement.step, requirement.dtype)
        yield Failure(*where, "missing", "no such row", f"rows of step {requirement.step!r}")
    for row in rows:
        if requirement.verdict is not None and row.verdict not in (requirement.verdict, DIVERGENCE):
            yield Failure(row.key, row.step, row.dtype, "verdict", row.verdict, requirement.verdict)


def _matching(report: Report, threshold: Threshold) -> list[Row]:
    if not _meant(report, threshold):
        return []
    return [
        row
        for row in report.rows
        if fnmatchcase(row.step, threshold.step)
        and fnmatchcase(row.dtype, threshold.dtype)
        and _key_matches(row, threshold.key)
    ]


def _meant(report: Report, threshold: Threshold) -> bool:
    return fnmatchcase(report.device, threshold.device) and fnmatchcase(report.model, threshold.model)


def _key_matches(row: Row, pattern: str) -> bool:
    return fnmatchcase(row.key, pattern) or fnmatchcase(row.key.removeprefix(f"{row.step}/"), pattern)


def _apply(report: Report, threshold: Threshold, rows: list[Row]) -> Iterator[Failure]:
    if not rows and _meant(report, threshold):
        where = (threshold.key, threshold.step, threshold.dtype)
        yield Failure(*where, "missing", "no row that this threshold matches", "one; correct or remove the threshold")
    for row in rows:
        for name, limit in threshold.limits.items():
            found = getattr(row, _LIMITS[name])
            if found is None and row.max == 0:
                continue
            if found is None or not found <= limit:
                text = "not known" if found is None else f"{found:.3g}"
                yield Failure(row.key, row.step, row.dtype, _LIMITS[name], text, f"at most {limit:g} ({name})")
