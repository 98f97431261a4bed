"""Checks a report against thresholds of a reviewed file: pass or fail, for continuous integration.

    require = [{ step = "forward", dtype = "float64", verdict = "same function" }]

    [[threshold]]
    step = "bp"
    key = "gradient/*"
    dtype = "float32"
    max_rel_l2 = 2e-5

    [[waiver]]
    step = "bp"
    key = "gradient/head.bias"
    reason = "summed in another order since 3.4, reported upstream"
    expires = 2027-06-30

Fails closed: a divergence always fails, and so do a required step or precision that is missing, a threshold that
matches no row, and a number that does not exist. All thresholds that match a row apply to it. Only a waiver lets a
failure pass, with a reason, and not after its last day.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timezone
from fnmatch import fnmatchcase
from itertools import islice

from alignment.errors import NothingComparedError, RefusedError
from alignment.gating.config import (
    LIMITS,
    GateConfig,
    Regression,
    Requirement,
    Threshold,
    Waiver,
    matches,
    meant,
)
from alignment.results.report import DIVERGENCE, STRENGTH, Report, Row
from alignment.results.summary import identical_rows
from porting.names import fold
from porting.visible import printable

_SHOWN = 3
"""Number of names that a note has of rows without a threshold."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One reason not to pass.

    Attributes:
        key: The quantity, or the pattern that matches none.
        step: Its step.
        dtype: Its precision.
        what: What is wrong: the field of a limit, `verdict`, `missing`, `regression`, `kernels` or `waiver`.
        found: The value in the report.
        allowed: The value that the configuration admits.
    """

    key: str
    step: str
    dtype: str
    what: str
    found: str
    allowed: str

    def __str__(self) -> str:
        problem = f"missing: {self.found}" if self.what == "missing" else f"{self.what} is {self.found}"
        return f"{self.key} ({self.dtype}): {problem}, expected {self.allowed}"


@dataclass(frozen=True, slots=True)
class Waived:
    """A failure that a waiver accepts."""

    failure: Failure
    waiver: Waiver

    def __str__(self) -> str:
        return f"{self.failure}; accepted until {self.waiver.expires}: {self.waiver.reason}"


@dataclass(frozen=True, slots=True)
class GateResult:
    """The outcome of a gate.

    Attributes:
        passed: True if nothing failed.
        failures: Every reason not to pass.
        checked: Number of rows that a threshold applied to.
        waived: The failures that a waiver accepts.
        remarks: Notes for the reader: that no threshold applied.
        unused: Waivers for this report that accept nothing, and have not expired.
    """

    passed: bool
    failures: tuple[Failure, ...]
    checked: int
    waived: tuple[Waived, ...] = ()
    remarks: tuple[str, ...] = ()
    unused: tuple[Waiver, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """The remarks and the unused waivers, in words."""
        return (*self.remarks, *map(_unused, self.unused))


def gate(
    report: Report, config: GateConfig, *, baseline: Report | None = None, today: date | None = None
) -> GateResult:
    """Check a report against a configuration, and against an earlier report.

    Args:
        report: The report.
        config: The configuration.
        baseline: An earlier report of the same model and device; margins that are much larger than there fail.
        today: The day on which waivers must not have expired; today in UTC by default.

    Raises:
        NothingComparedError: The report has no rows.
        RefusedError: The baseline has another model, device, batch size, seed or inputs.
    """
    if not report.rows:
        raise NothingComparedError("nothing was compared: the report has no rows, so no gate can pass it")
    applied = [
        (threshold, [row for row in report.rows if _concerns(threshold, row)])
        for threshold in config.threshold
        if meant(report, threshold)
    ]
    failures = dict.fromkeys(
        (
            *(_failure(row, "verdict", f"{row.verdict} ({row.reason})", "no divergence") for row in report.failures),
            *(failure for requirement in config.require for failure in _require(report, requirement)),
            *(failure for threshold, rows in applied for failure in _apply(threshold, rows)),
            *(() if baseline is None else _regressions(report, baseline, config.regression)),
        )
    )
    used = ", ".join(kernel.name for kernel in report.kernels if kernel.calls)
    if config.strict and used:
        failures[Failure("*", "*", "*", "kernels", used, "no differences of the frameworks (strict)")] = None
    if report.verdict == DIVERGENCE and not failures:
        failures[Failure("*", "*", "*", "verdict", DIVERGENCE, "no divergence")] = None
    waivers = [waiver for waiver in config.waiver if meant(report, waiver)]
    today = today or datetime.now(timezone.utc).date()
    valid = [waiver for waiver in waivers if today <= waiver.expires]
    waived = tuple(_waived(failures, valid))
    accepted = {acceptance.failure for acceptance in waived}
    left = (
        *(failure for failure in failures if failure not in accepted),
        *(_expired(waiver) for waiver in waivers if today > waiver.expires),
    )
    needed = {acceptance.waiver for acceptance in waived}
    unused = tuple(waiver for waiver in valid if waiver not in needed)
    held = {(row.key, row.dtype) for _, rows in applied for row in rows}
    remarks = (*_remarks(report, config, baseline), *(_without_threshold(report, held) if held else ()))
    return GateResult(not left, left, len(held), waived, remarks, unused)


def _remarks(report: Report, config: GateConfig, baseline: Report | None) -> Iterator[str]:
    if identical := identical_rows(report.rows):
        yield identical
    if baseline is not None and baseline.created and (baseline.created, baseline.rows) == (report.created, report.rows):
        yield f"the baseline is the report itself, the run of {report.created}: no margin can have grown"
    only = "only verdicts and what is required were looked at"
    if not config.threshold:
        yield f"the configuration sets no thresholds: {only}"
    elif not any(meant(report, threshold) for threshold in config.threshold):
        model = report.model or "a report without a model"
        yield f"no threshold is for {model} on {report.device}, all {len(config.threshold)} are for others: {only}"


def _without_threshold(report: Report, held: set[tuple[str, str]]) -> Iterator[str]:
    """Yield a note of the rows with an error that no threshold applied to."""
    rows = [row for row in report.rows if (row.key, row.dtype) not in held and row.max is not None]
    if rows:
        names = fold(dict.fromkeys(f"{row.key} ({row.dtype})" for row in rows))
        shown = ", ".join([*names[:_SHOWN], *(["..."] if names[_SHOWN:] else [])])
        yield f"{len(rows)} of {len(report.rows)} rows are held by no threshold, only by their verdict: {shown}"


def _unused(waiver: Waiver) -> str:
    where = f"key {waiver.key}, step {waiver.step}, precision {waiver.dtype}"
    return f"the waiver for {where} accepts nothing: no failure matches it ({waiver.reason}); remove it or correct it"


def _failure(place: Row | Requirement | Threshold | Waiver, what: str, found: str, allowed: str) -> Failure:
    return Failure(place.key, place.step, place.dtype, what, found, allowed)


def _require(report: Report, requirement: Requirement) -> Iterator[Failure]:
    rows = [row for row in report.rows if row.dtype == requirement.dtype and matches(requirement, row.key, row.step)]
    if not rows:
        yield _failure(requirement, "missing", "no such row", f"rows of step {requirement.step!r}")
    for row in rows:
        if requirement.verdict is not None and row.verdict not in (requirement.verdict, DIVERGENCE):
            yield _failure(row, "verdict", row.verdict, requirement.verdict)


def _concerns(rule: Threshold | Waiver, place: Row | Failure) -> bool:
    return fnmatchcase(place.dtype, rule.dtype) and matches(rule, place.key, place.step)


def _apply(threshold: Threshold, rows: list[Row]) -> Iterator[Failure]:
    if not rows:
        expected = "one; correct or remove the threshold"
        yield _failure(threshold, "missing", "no row that this threshold matches", expected)
    for row in rows:
        for name, limit in threshold.limits.items():
            value = getattr(row, LIMITS[name])
            if value is None and row.max == 0:
                continue
            if value is None or not value <= limit:
                text = "not known" if value is None else f"{value:.3g}"
                yield _failure(row, LIMITS[name], text, f"at most {limit:g} ({name})")


def _regressions(report: Report, baseline: Report, regression: Regression) -> Iterator[Failure]:
    """Yield a failure for each row of the baseline that is missing, or has a weaker verdict or larger margin now."""
    _refuse_other(report, baseline)
    rows = {(row.key, row.dtype): row for row in report.rows}
    for before in baseline.rows:
        row = rows.get((before.key, before.dtype))
        if row is None:
            yield _failure(before, "missing", "no such row", "one, as in the baseline")
        elif row.verdict != DIVERGENCE:
            yield from _regression(row, before, regression)


def _refuse_other(report: Report, baseline: Report) -> None:
    """Refuse a baseline of another computation; a setting that one of the reports lacks is not compared."""
    ours, theirs = _settings(report), _settings(baseline)
    different = "; ".join(
        f"{name} {theirs[name]!r} in the baseline, {ours[name]!r} in the report"
        for name in ours
        if name in theirs and ours[name] != theirs[name]
    )
    if different:
        raise RefusedError(printable(f"{different}: they cannot be compared; make both with the same options"))


def _settings(report: Report) -> dict[str, str]:
    """Return the settings that must agree between two reports whose margins are compared."""
    environment = report.environments.get("reference", {})
    run = {name: environment[name] for name in ("batch size", "seed", "inputs") if name in environment}
    return {"model": report.model, "device": report.device, **run}


def _regression(row: Row, before: Row, regression: Regression) -> Iterator[Failure]:
    if STRENGTH[row.verdict] < STRENGTH[before.verdict]:
        yield _failure(row, "verdict", row.verdict, f"{before.verdict}, as in the baseline")
    if row.max == 0 or (row.margin is None and before.margin is None):
        return
    quiet = regression.share if row.floor is None else regression.noise
    comparable = (row.floor is None) == (before.floor is None)
    known = before.margin if before.margin is not None and comparable else 0.0
    limit = regression.factor * max(known, quiet)
    if row.margin is None or not row.margin <= limit:
        margin = "a margin that is not known" if row.margin is None else f"a margin of {row.margin:.3g}"
        yield _failure(row, "regression", margin, f"at most {limit:.3g} after {known:.3g} in the baseline")


def _waived(failures: Iterable[Failure], waivers: list[Waiver]) -> Iterator[Waived]:
    for failure in failures:
        accepting = (w for w in waivers if _concerns(w, failure) and fnmatchcase(failure.what, w.what))
        yield from (Waived(failure, waiver) for waiver in islice(accepting, 1))


def _expired(waiver: Waiver) -> Failure:
    problem = f"expired since {waiver.expires} ({waiver.reason})"
    return _failure(waiver, "waiver", problem, "one that is renewed, or none")
