"""Writes a gate's configuration from measured reports: their steps are required, their errors set the limits.

Float64 limits are ten times the measured error and at least 1e-12, float32 limits four times the larger of the error
and the measured noise, and twice the margin or half of what the verdict admits; none is wider than that. The file is
for review.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from alignment.errors import AlignmentError, FileError
from alignment.gating.config import PROJECT, TABLE, config_of, gate_table, read_text
from alignment.results.report import SAME_FUNCTION, Report, Row
from alignment.text_files import write_text
from porting.visible import printable, visible

_ROOM64, _ROOM32, _ROOM_MARGIN = 10.0, 4.0, 2.0
_LEAST64 = 1e-12
_LARGEST_WHOLE = 1e15
_JUDGED_ALONE = {"metric", "ranking", "input", "integers", "setting", "count", "picture", "sample"}


def write_config(reports: Sequence[Report], path: Path, *, force: bool = False) -> int:
    """Write a configuration that these reports pass; of a pyproject.toml, add its table.

    Args:
        reports: Reports that pass, of every model that the gate is for.
        path: The file.
        force: Replace the file if it is there; the table of a pyproject.toml is never replaced.

    Returns:
        Number of thresholds; 0 if no row has an error to limit.

    Raises:
        AlignmentError: A report diverges or has no rows.
        FileError: The file, or the table in it, is there, cannot be read or cannot be written; or TOML cannot hold a
            name of the reports. Nothing is written then.
    """
    for report in reports:
        if not report.passed:
            raise AlignmentError(
                f"the report of {printable(report.model or 'the pair')} diverges or is empty; a gate written from it "
                "would accept the mistake, so correct the port first"
            )
    if path.name == PROJECT:
        before = read_text(path) if path.exists() else ""
        if gate_table(before, path) is not None:
            raise FileError(path, f"has a table [{TABLE}] already; take it out first")
        text = before + ("\n" if before else "") + config_text(reports, prefix=f"{TABLE}.")
    elif path.exists() and not force:
        raise FileError(path, "is there already; replace it with --force, or name another file with --config")
    else:
        text = config_text(reports)
    try:
        text.encode()
        config = config_of(text, path)
    except (UnicodeEncodeError, FileError) as error:
        problem = error.summary.removeprefix(f"{path}: ") if isinstance(error, FileError) else "a name is no valid text"
        raise FileError(path, f"nothing is written, since it would be no configuration: {problem}") from None
    write_text(text, path, "the gate's configuration")
    return len(config.threshold)


def config_text(reports: Sequence[Report], *, prefix: str = "") -> str:
    """Return the configuration as TOML, each table's name after a prefix."""
    return "\n".join((*_head(reports, prefix), *_thresholds(reports, prefix), ""))


def _head(reports: Sequence[Report], prefix: str) -> Iterator[str]:
    models = ", ".join(dict.fromkeys(report.model or "unnamed" for report in reports))
    yield f"# Written by `pit-align gate --init` from reports of {visible(models)}. Review changes like code."
    yield "# A divergence fails whatever stands here; what is required must be there; all thresholds that match apply."
    yield from ([f"[{prefix[:-1]}]"] if prefix else [""])
    yield "require = ["
    first, *others = ([(row.step, row.dtype) for row in report.rows] for report in reports)
    for step, dtype in dict.fromkeys(place for place in first if all(place in places for places in others)):
        rows = [row for report in reports for row in report.rows if (row.step, row.dtype) == (step, dtype)]
        certified = all(row.verdict == SAME_FUNCTION for row in rows)
        verdict = f", verdict = {_string(SAME_FUNCTION)}" if certified else ""
        yield f"    {{ step = {_pattern_of(step)}, dtype = {_string(dtype)}{verdict} }},"
    yield "]"


def _thresholds(reports: Sequence[Report], prefix: str) -> Iterator[str]:
    grouped = [_grouped(report) for report in reports]
    devices = {report.device for report in reports}
    shared = {"device": devices.pop()} if len(devices) == 1 else {}
    for group in dict.fromkeys(group for groups in grouped for group in groups):
        if all(group in groups for groups in grouped):
            rows = [row for groups in grouped for row in groups[group]]
            yield from _threshold(group, rows, prefix, shared)
            continue
        for report, groups in zip(reports, grouped, strict=True):
            if group in groups:
                place = {"model": report.model, "device": report.device}
                named = {name: value for name, value in place.items() if value}
                yield from _threshold(group, groups[group], prefix, named)


def _grouped(report: Report) -> dict[tuple[str, str, str], list[Row]]:
    """Return the rows that share a threshold by step, pattern of the key, and precision."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in report.rows:
        if row.kind not in _JUDGED_ALONE:
            groups.setdefault((row.step, _pattern(row), row.dtype), []).append(row)
    return groups


def _pattern(row: Row) -> str:
    """Return the key as a pattern that its siblings share: `stage_*`, `gradient/*`."""
    name = row.key.removeprefix(f"{row.step}/")
    head, slash, _ = name.partition("/")
    return f"{_literal(head)}/*" if slash else re.sub(r"\d+$", "*", _literal(name))


def _literal(text: str) -> str:
    """Return the pattern that matches this text only; `?` for lone surrogates, which no file can hold."""
    return re.sub("[\ud800-\udfff]", "?", re.sub(r"([*?\[])", r"[\1]", text))


def _pattern_of(text: str) -> str:
    return _string(_literal(text))


def _threshold(group: tuple[str, str, str], rows: list[Row], prefix: str, rest: dict[str, str]) -> Iterator[str]:
    step, key, dtype = group
    limits = _limits(dtype, rows)
    if not limits:
        return
    yield f"\n[[{prefix}threshold]]"
    yield f"step = {_pattern_of(step)}"
    yield f"key = {_string(key)}"
    for name, value in {"dtype": dtype, **rest}.items():
        yield f"{name} = {_pattern_of(value)}"
    for name, limit in limits.items():
        yield f"{name} = {int(limit)}" if limit < _LARGEST_WHOLE and limit.is_integer() else f"{name} = {limit:g}"


def _limits(dtype: str, rows: list[Row]) -> dict[str, float]:
    if all(row.kind == "parameter" and row.max == 0 for row in rows):
        return {"max_abs": 0.0}
    limits = _limits64(rows) if dtype == "float64" else _limits32(rows)
    return {name: limit for name, limit in limits.items() if 0 < limit < math.inf}


def _limits64(rows: list[Row]) -> dict[str, float]:
    """Return a limit of the error; none for quantities that the verdict judges by their noise."""
    if any(row.floor is not None or row.error is None for row in rows):
        return {}
    widest = max((row.limit for row in rows if row.limit is not None), default=math.inf)
    error = max(row.error or 0.0 for row in rows)
    return {"max_error": min(_up(max(_ROOM64 * error, _LEAST64)), widest)}


def _limits32(rows: list[Row]) -> dict[str, float]:
    """Return limits of the sides' distance and of the margin, wider than measured since other machines need more."""
    limits = {"max_rel_l2": _up(_ROOM32 * max(max(row.rel_l2 or 0.0, row.floor or 0.0) for row in rows))}
    margins = [row.margin for row in rows if row.margin is not None]
    if margins:
        widest = max(row.limit if row.floor is not None and row.limit else 1.0 for row in rows)
        whole = float(math.ceil(widest)) if math.isfinite(widest) else widest
        limits["max_margin"] = min(_up(max(_ROOM_MARGIN * max(margins), widest / 2)), whole)
    return limits


def _up(value: float) -> float:
    """Round up to a number of one digit."""
    if value <= 0 or not math.isfinite(value):
        return value
    power = max(10.0 ** math.floor(math.log10(value)), sys.float_info.min)
    return float(f"{math.ceil(value / power * (1 - 1e-12)) * power:.1g}")


def _string(text: str) -> str:
    """Return a TOML basic string: JSON's, with the one control character escaped that JSON leaves as it is."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
