"""A gate over files: reports and baselines in, outcomes out, and wherever else they are to be read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from alignment.errors import AlignmentError, FileError
from alignment.gate_check import gate
from alignment.gate_config import find_config, load_config
from alignment.report.gate_outputs import Outcome, to_annotations, to_junit, to_markdown
from alignment.report.model import Report, read_report
from alignment.writing import write_text

SUMMARY = "GITHUB_STEP_SUMMARY"
"""The variable in which GitHub names the file of a job's summary."""


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where an outcome goes, beside the terminal.

    Attributes:
        junit: JUnit XML.
        markdown: Markdown.
        github: Annotations, and the job's summary.
    """

    junit: Path | None = None
    markdown: Path | None = None
    github: bool = False


def hold(
    files: Sequence[str | os.PathLike[str]],
    config: str | os.PathLike[str] | None = None,
    baselines: Sequence[str | os.PathLike[str]] = (),
) -> list[Outcome]:
    """Hold reports against one configuration, each against the baseline of its model, too.

    Args:
        files: The reports.
        config: The configuration; the one of the working folder by default.
        baselines: Earlier reports, at most one a model. Every report needs one, if any is given.

    Raises:
        AlignmentError: There is no configuration, or no baseline for a report.
        FileError: A file cannot be read.
        NothingComparedError: A report has no rows.
    """
    demanded = load_config(config or find_config())
    before = _by_model(baselines)
    outcomes = []
    for file in files:
        report = read_report(file)
        if before and report.model not in before:
            known = ", ".join(before)
            raise AlignmentError(f"{file}: --against has no baseline of {report.model or 'no model'}, only of {known}")
        outcomes.append(Outcome(str(file), report, gate(report, demanded, baseline=before.get(report.model))))
    return outcomes


def publish(outcomes: Sequence[Outcome], outputs: Outputs) -> Iterator[str]:
    """Write the files that are asked for.

    Yields:
        The lines that GitHub takes for annotations, to be printed.

    Raises:
        FileError: A file cannot be written.
    """
    if outputs.junit is not None:
        write_text(to_junit(outcomes), outputs.junit)
    if outputs.markdown is not None:
        write_text(to_markdown(outcomes), outputs.markdown)
    if outputs.github:
        _summarise(to_markdown(outcomes))
        yield from to_annotations(outcomes)


def _summarise(text: str) -> None:
    """Append to the job's summary; outside a job there is none."""
    path = os.environ.get(SUMMARY)
    if not path:
        return
    try:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise FileError(path, f"the job's summary cannot be written: {error.strerror}") from None


def _by_model(files: Sequence[str | os.PathLike[str]]) -> dict[str, Report]:
    found: dict[str, Report] = {}
    for file in files:
        report = read_report(file)
        if report.model in found:
            raise FileError(file, f"a second baseline of {report.model or 'no model'}; name one a model")
        found[report.model] = report
    return found
