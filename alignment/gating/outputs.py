"""The outcome of a gate as JSON, JUnit XML, Markdown and GitHub annotations.

The JSON form is published as `schema/gate.schema.json`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from alignment.gating.check import Failure, GateResult, Waived
from alignment.results.report import DIVERGENCE, Report, Row
from alignment.results.summary import headline
from porting.fields import encode
from porting.visible import hexadecimal, printable, visible

SCHEMA_VERSION = 1
_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ANNOTATIONS = 10
_LISTED = 50
_LINK = re.compile(r"[@#]|://|www\.|:\w+:|\bGH-\d|\b[0-9a-f]{7,}\b", re.IGNORECASE)
_NO_CODE = re.compile("[`|<>]")
"""Characters that end code in a table, or that some readers of Markdown interpret within code."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a gate for one report.

    Attributes:
        path: The report's file, as the user named it.
        report: The report.
        result: The result of the gate.
    """

    path: str
    report: Report
    result: GateResult

    @property
    def name(self) -> str:
        """The report's model, or its file if it has none."""
        return self.report.model or self.path


def passed(outcomes: Iterable[Outcome]) -> bool:
    """Return whether all reports pass."""
    return all(outcome.result.passed for outcome in outcomes)


def to_json(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return the outcome as a JSON value, in the form of `schema/gate.schema.json`."""
    return {
        "schema_version": SCHEMA_VERSION,
        "passed": passed(outcomes),
        "reports": [
            {
                "path": outcome.path,
                "model": outcome.report.model,
                "device": outcome.report.device,
                "verdict": outcome.report.verdict,
                "headline": headline(outcome.report),
                "passed": outcome.result.passed,
                "rows": len(outcome.report.rows),
                "checked": outcome.result.checked,
                "failures": encode(outcome.result.failures),
                "waived": [
                    {
                        **encode(waived.failure),
                        "reason": waived.waiver.reason,
                        "expires": waived.waiver.expires.isoformat(),
                    }
                    for waived in outcome.result.waived
                ],
                "notes": list(outcome.result.notes),
            }
            for outcome in outcomes
        ],
    }


def to_junit(outcomes: Sequence[Outcome]) -> str:
    """Return the outcome as JUnit XML: a suite a report, a case a row, and a case for each failure without a row."""
    root = ElementTree.Element("testsuites", name="pit-align gate")
    for outcome in outcomes:
        _suite(root, outcome)
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'


def to_markdown(outcomes: Sequence[Outcome]) -> str:
    """Return the outcome as Markdown, for a job's summary or a comment."""
    word = "passed" if passed(outcomes) else "FAILED"
    lines = [f"## Alignment gate: {word}", "", "| report | gate | verdict | rows | failures | waived |"]
    lines.append("|---|---|---|---:|---:|---:|")
    for outcome in outcomes:
        result, gate = outcome.result, "✅ passed" if outcome.result.passed else "❌ failed"
        counts = f"{len(outcome.report.rows)} | {len(result.failures)} | {len(result.waived)}"
        lines.append(f"| {_cell(outcome.name)} | {gate} | {outcome.report.verdict} | {counts} |")
    for outcome in outcomes:
        lines += _details(outcome)
    return "\n".join(lines) + "\n"


def to_annotations(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Yield GitHub's workflow commands: errors for the worst ten quantities, and a warning for each waived failure."""
    places: dict[tuple[str, str, str, str], str] = {}
    for outcome, failure in worst_first(outcomes):
        places.setdefault((outcome.path, outcome.name, failure.key, failure.dtype), str(failure))
    for (_, name, _, _), text in list(places.items())[:_ANNOTATIONS]:
        yield _command("error", f"pit-align: {name}", text)
    if len(places) > _ANNOTATIONS:
        rest = f"and {len(places) - _ANNOTATIONS} more quantities that fail, see the job's summary"
        yield _command("notice", "pit-align", rest)
    for outcome in outcomes:
        for waived in outcome.result.waived[:_ANNOTATIONS]:
            yield _command("warning", f"pit-align: {outcome.name}", str(waived))


def worst_first(outcomes: Iterable[Outcome]) -> list[tuple[Outcome, Failure]]:
    """Sort the failures of all reports: divergences, then failures without a row, then the rest; by share of limit."""
    ranked: list[tuple[tuple[int, float], Outcome, Failure]] = []
    for outcome in outcomes:
        rows = {(row.key, row.dtype): row for row in outcome.report.rows}
        places = ((rows.get((failure.key, failure.dtype)), failure) for failure in outcome.result.failures)
        ranked += [(_badness(row), outcome, failure) for row, failure in places]
    return [(outcome, failure) for _, outcome, failure in sorted(ranked, key=lambda entry: entry[0], reverse=True)]


def _badness(row: Row | None) -> tuple[int, float]:
    """Return a sort key that puts the worst row last; a share of the limit that is not known counts as infinite."""
    if row is None:
        return (1, 0.0)
    share = row.share_of_limit
    share = math.inf if share is None or math.isnan(share) else share
    return (2 if row.verdict == DIVERGENCE else 0, share)


def _suite(root: ElementTree.Element, outcome: Outcome) -> None:
    suite = ElementTree.SubElement(root, "testsuite", name=_text(outcome.name))
    failures: dict[tuple[str, str, str], list[Failure]] = {}
    for failure in outcome.result.failures:
        failures.setdefault((failure.step, failure.dtype, failure.key), []).append(failure)
    waived = {
        (waived.failure.step, waived.failure.dtype, waived.failure.key): waived for waived in outcome.result.waived
    }
    places = dict.fromkeys((row.step, row.dtype, row.key) for row in outcome.report.rows)
    places |= dict.fromkeys([*failures, *waived])
    for place in places:
        _case(suite, outcome.name, place, failures.get(place, []), waived.get(place))
    suite.set("tests", str(len(places)))
    suite.set("failures", str(len(failures)))
    suite.set("errors", "0")
    suite.set("skipped", str(len(waived.keys() - failures.keys())))


def _case(
    suite: ElementTree.Element, name: str, place: tuple[str, str, str], failures: list[Failure], waived: Waived | None
) -> None:
    step, dtype, key = place
    case = ElementTree.SubElement(suite, "testcase", classname=_text(f"{name}.{step}.{dtype}"), name=_text(key))
    if failures:
        element = ElementTree.SubElement(case, "failure", message=_text(str(failures[0])), type=_text(failures[0].what))
        element.text = _text("\n".join(map(str, failures)))
    elif waived is not None:
        ElementTree.SubElement(case, "skipped", message=_text(str(waived)))


def _text(text: str) -> str:
    """Replace the characters that XML cannot hold."""
    return _NOT_XML.sub("\ufffd", text)


def _details(outcome: Outcome) -> Iterator[str]:
    failures = [failure for _, failure in worst_first([outcome])]
    if failures or outcome.result.waived:
        yield from ("", f"### {_cell(outcome.name)}", "", _cell(headline(outcome.report)), "")
        yield from ("| quantity | precision | what | found | expected |", "|---|---|---|---|---|")
    for failure in failures[:_LISTED]:
        yield _row(failure, failure.allowed)
    for waived in outcome.result.waived[:_LISTED]:
        until = f"{waived.failure.allowed}; accepted until {waived.waiver.expires}: {waived.waiver.reason}"
        yield _row(waived.failure, until)
    if len(failures) > _LISTED:
        yield from ("", f"and {len(failures) - _LISTED} more failures")
    for note in outcome.result.notes:
        yield from ("", f"Note, {_cell(outcome.name)}: {_cell(note)}")


def _row(failure: Failure, expected: str) -> str:
    cells = (failure.key, failure.dtype, failure.what, failure.found, expected)
    return f"| {' | '.join(map(_cell, cells))} |"


def _cell(text: str) -> str:
    """Return text as a table's cell: on one line, with the characters of Markdown and HTML escaped.

    Only code keeps GitHub from making a link of an address, a name after `@` or a number after `#`; no escape does.
    """
    line = " ".join(visible(text).split())
    if _LINK.search(line):
        return f"`{_NO_CODE.sub(lambda match: hexadecimal(match[0]), line)}`"
    escaped = re.sub(r"([\\`*_{}\[\]<>|~])", r"\\\1", line)
    return escaped.replace("&", "&amp;").replace("\\<", "&lt;").replace("\\>", "&gt;")


def _command(kind: str, title: str, message: str) -> str:
    name = printable(title).replace("%", "%25").replace(":", "%3A").replace(",", "%2C")
    return f"::{kind} title={name}::{printable(message).replace('%', '%25')}"
