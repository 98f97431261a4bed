"""Runs a gate over files of reports and baselines, and writes its outcomes to files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from alignment.errors import AlignmentError, FileError
from alignment.gating.check import gate
from alignment.gating.config import find_config, load_config
from alignment.gating.outputs import Outcome, to_annotations, to_junit, to_markdown
from alignment.results.report import Report, read_report
from alignment.text_files import write_text
from porting.visible import printable

SUMMARY = "GITHUB_STEP_SUMMARY"
"""Environment variable with the file of a job's summary, which GitHub sets."""


def hold(
    files: Sequence[str | os.PathLike[str]],
    config: str | os.PathLike[str] | None = None,
    baselines: Sequence[str | os.PathLike[str]] = (),
) -> list[Outcome]:
    """Check reports against one configuration, each also against the baseline of its model.

    Args:
        files: The reports.
        config: The configuration; that of the working folder by default.
        baselines: Earlier reports, at most one a model. If there are any, every report needs one.

    Raises:
        AlignmentError: There is no configuration, or no baseline for a report.
        FileError: A file cannot be read.
        NothingComparedError: A report has no rows.
    """
    reports = [read_report(file) for file in files]
    checked_config = load_config(config or find_config())
    before = _by_model(baselines)
    outcomes = []
    for file, report in zip(files, reports, strict=True):
        if before and report.model not in before:
            known, wanted = printable(", ".join(before)), printable(report.model or "no model")
            raise AlignmentError(f"{file}: --against has no baseline of {wanted}, only of {known}")
        outcomes.append(Outcome(str(file), report, gate(report, checked_config, baseline=before.get(report.model))))
    used = {waived.waiver for outcome in outcomes for waived in outcome.result.waived}
    # A waiver that accepts a failure of one report is not unused in another.
    unused = [tuple(waiver for waiver in outcome.result.unused if waiver not in used) for outcome in outcomes]
    return [
        replace(outcome, result=replace(outcome.result, unused=waivers))
        for outcome, waivers in zip(outcomes, unused, strict=True)
    ]


def publish(outcomes: Sequence[Outcome], *, junit: Path | None, markdown: Path | None, github: bool) -> Iterator[str]:
    """Write the requested files, before anything is printed.

    Args:
        outcomes: What to write.
        junit: File of the JUnit XML.
        markdown: File of the Markdown.
        github: True to yield annotations and to append to the job's summary.

    Yields:
        The lines of GitHub's annotations, to be printed.

    Raises:
        FileError: A file cannot be written.
    """
    if junit is not None:
        write_text(to_junit(outcomes), junit, "the JUnit XML of --junit")
    if markdown is not None:
        write_text(to_markdown(outcomes), markdown, "the Markdown of --markdown")
    if github:
        _summarise(to_markdown(outcomes))
        yield from to_annotations(outcomes)


def _summarise(text: str) -> None:
    """Append to the job's summary, if this is a job."""
    path = os.environ.get(SUMMARY)
    if not path:
        return
    try:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise FileError(path, f"the job's summary cannot be written: {error.strerror}") from None


def _by_model(files: Sequence[str | os.PathLike[str]]) -> dict[str, Report]:
    reports: dict[str, Report] = {}
    for file in files:
        report = read_report(file)
        if report.model in reports:
            raise FileError(file, f"a second baseline of {printable(report.model or 'no model')}; name one a model")
        reports[report.model] = report
    return reports
