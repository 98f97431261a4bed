"""A report against thresholds kept in a reviewed file: pass or fail, for continuous integration.

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

Fails closed: a divergence fails whatever the thresholds say, so does a step or precision that is required and missing,
a threshold that matches nothing, and a number that does not exist. All thresholds that match a row apply to it. Only a
waiver lets a failure pass, with a reason, and not after its last day.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timezone
from fnmatch import fnmatchcase

from alignment.errors import NothingComparedError, RefusedError
from alignment.gating.config import (
    LIMITS,
    GateConfig,
    Regression,
    Requirement,
    Threshold,
    Waiver,
    key_matches,
    meant,
)
from alignment.results.report import DIVERGENCE, STRENGTH, Report, Row
from porting.visible import printable


@dataclass(frozen=True, slots=True)
class Failure:
    """One reason not to pass.

    Attributes:
        key: The quantity, or the pattern that found none.
        step: Its step.
        dtype: Its precision.
        what: What was wrong: the name of a limit, `verdict`, `missing`, `regression` or `waiver`.
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
class Waived:
    """A failure that a waiver accepts."""

    failure: Failure
    waiver: Waiver

    def __str__(self) -> str:
        return f"{self.failure}; accepted until {self.waiver.expires}: {self.waiver.reason}"


@dataclass(frozen=True, slots=True)
class GateResult:
    """The outcome.

    Attributes:
        passed: Whether nothing failed.
        failures: Every reason why not.
        checked: Rows that a threshold applied to.
        waived: The failures that are accepted for a while.
        remarks: What a reader must know beside them: that no threshold was held.
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
        """What a reader must know beside failures and waivers, in words."""
        return (*self.remarks, *map(_unused, self.unused))


def gate(
    report: Report, config: GateConfig, *, baseline: Report | None = None, today: date | None = None
) -> GateResult:
    """Hold a report against a configuration, and against an earlier report.

    Args:
        report: The report.
        config: What it must fulfil.
        baseline: An earlier report of the same model and device, whose margins it may not exceed by much.
        today: The day that waivers are held against; this one, in UTC, by default.

    Raises:
        NothingComparedError: The report has no rows.
        RefusedError: The baseline is of another model or device, or was given another batch, seed or inputs.
    """
    if not report.rows:
        raise NothingComparedError("nothing was compared: the report has no rows, so no gate can pass it")
    applied = [(threshold, _matching(report, threshold)) for threshold in config.threshold]
    failures = dict.fromkeys(
        (
            *(_diverged(row) for row in report.failures),
            *(failure for requirement in config.require for failure in _require(report, requirement)),
            *(failure for threshold, rows in applied for failure in _apply(report, threshold, rows)),
            *(() if baseline is None else _regressions(report, baseline, config.regression)),
        )
    )
    if report.verdict == DIVERGENCE and not failures:
        failures[Failure("*", "*", "*", "verdict", DIVERGENCE, "no divergence")] = None
    checked = len({(row.key, row.dtype) for _, rows in applied for row in rows})
    waivers = [waiver for waiver in config.waiver if meant(report, waiver)]
    today = today or datetime.now(timezone.utc).date()
    valid = [waiver for waiver in waivers if today <= waiver.expires]
    waived = tuple(_waived(failures, valid))
    accepted = {found.failure for found in waived}
    left = (
        *(failure for failure in failures if failure not in accepted),
        *(_expired(waiver) for waiver in waivers if today > waiver.expires),
    )
    used = {found.waiver for found in waived}
    unused = tuple(waiver for waiver in valid if waiver not in used)
    return GateResult(not left, left, checked, waived, tuple(_remarks(report, config)), unused)


def _remarks(report: Report, config: GateConfig) -> Iterator[str]:
    only = "only verdicts and what is required were looked at"
    if not config.threshold:
        yield f"the configuration sets no thresholds: {only}"
    elif not any(meant(report, threshold) for threshold in config.threshold):
        model = report.model or "a report without a model"
        yield f"no threshold is for {model} on {report.device}, all {len(config.threshold)} are for others: {only}"


def _unused(waiver: Waiver) -> str:
    where = f"key {waiver.key}, step {waiver.step}, precision {waiver.dtype}"
    return f"the waiver for {where} accepts nothing: no failure matches it ({waiver.reason}); remove it or correct it"


def _diverged(row: Row) -> Failure:
    return Failure(row.key, row.step, row.dtype, "verdict", f"{row.verdict} ({row.reason})", "no divergence")


def _require(report: Report, requirement: Requirement) -> Iterator[Failure]:
    rows = [
        row
        for row in report.rows
        if row.dtype == requirement.dtype
        and fnmatchcase(row.step, requirement.step)
        and key_matches(row.key, row.step, requirement.key)
    ]
    if not rows:
        where = (requirement.key, requirement.step, requirement.dtype)
        yield Failure(*where, "missing", "no such row", f"rows of step {requirement.step!r}")
    for row in rows:
        if requirement.verdict is not None and row.verdict not in (requirement.verdict, DIVERGENCE):
            yield Failure(row.key, row.step, row.dtype, "verdict", row.verdict, requirement.verdict)


def _matching(report: Report, threshold: Threshold) -> list[Row]:
    if not meant(report, threshold):
        return []
    return [
        row
        for row in report.rows
        if fnmatchcase(row.step, threshold.step)
        and fnmatchcase(row.dtype, threshold.dtype)
        and key_matches(row.key, row.step, threshold.key)
    ]


def _apply(report: Report, threshold: Threshold, rows: list[Row]) -> Iterator[Failure]:
    if not rows and meant(report, threshold):
        where = (threshold.key, threshold.step, threshold.dtype)
        yield Failure(*where, "missing", "no row that this threshold matches", "one; correct or remove the threshold")
    for row in rows:
        for name, limit in threshold.limits.items():
            found = getattr(row, LIMITS[name])
            if found is None and row.max == 0:
                continue
            if found is None or not found <= limit:
                text = "not known" if found is None else f"{found:.3g}"
                yield Failure(row.key, row.step, row.dtype, LIMITS[name], text, f"at most {limit:g} ({name})")


def _regressions(report: Report, baseline: Report, regression: Regression) -> Iterator[Failure]:
    """What an earlier report shows better than this one: a row at all, a stronger verdict, a smaller margin."""
    _refuse_other(report, baseline)
    rows = {(row.key, row.dtype): row for row in report.rows}
    for before in baseline.rows:
        row = rows.get((before.key, before.dtype))
        if row is None:
            where = (before.key, before.step, before.dtype)
            yield Failure(*where, "missing", "no such row", "one, as in the baseline")
        elif row.verdict != DIVERGENCE:
            yield from _regression(row, before, regression)


def _refuse_other(report: Report, baseline: Report) -> None:
    """Margins compare only of the same computation; what one of the reports does not tell is not held against it."""
    ours, theirs = ({"model": of.model, "device": of.device, **_run(of)} for of in (report, baseline))
    different = [name for name in ours if name in theirs and ours[name] != theirs[name]]
    if different:
        found = "; ".join(
            f"{name} {theirs[name]!r} in the baseline, {ours[name]!r} in the report" for name in different
        )
        raise RefusedError(printable(f"{found}: they cannot be compared; make both with the same options"))


def _run(report: Report) -> dict[str, str]:
    """What a report tells of what both sides were given."""
    environment = report.environments.get("reference", {})
    return {name: environment[name] for name in ("batch size", "seed", "inputs") if name in environment}


def _regression(row: Row, before: Row, regression: Regression) -> Iterator[Failure]:
    if STRENGTH[row.verdict] < STRENGTH[before.verdict]:
        yield Failure(row.key, row.step, row.dtype, "verdict", row.verdict, f"{before.verdict}, as in the baseline")
    if row.max == 0 or (row.margin is None and before.margin is None):
        return
    quiet = regression.share if row.floor is None else regression.noise
    comparable = before.margin is not None and (row.floor is None) == (before.floor is None)
    known = before.margin if comparable and before.margin is not None else 0.0
    limit = regression.factor * max(known, quiet)
    if row.margin is None or not row.margin <= limit:
        found = "a margin that is not known" if row.margin is None else f"a margin of {row.margin:.3g}"
        yield Failure(
            *(row.key, row.step, row.dtype, "regression", found),
            f"at most {limit:.3g} after {known:.3g} in the baseline",
        )


def _waived(failures: Iterable[Failure], waivers: list[Waiver]) -> Iterator[Waived]:
    for failure in failures:
        waiver = next((waiver for waiver in waivers if _accepts(waiver, failure)), None)
        if waiver is not None:
            yield Waived(failure, waiver)


def _accepts(waiver: Waiver, failure: Failure) -> bool:
    return (
        key_matches(failure.key, failure.step, waiver.key)
        and fnmatchcase(failure.step, waiver.step)
        and fnmatchcase(failure.dtype, waiver.dtype)
        and fnmatchcase(failure.what, waiver.what)
    )


def _expired(waiver: Waiver) -> Failure:
    found = f"expired since {waiver.expires} ({waiver.reason})"
    return Failure(waiver.key, waiver.step, waiver.dtype, "waiver", found, "one that is renewed, or none")
