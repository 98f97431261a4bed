"""Says of a report what is known of the candidate's framework: behaviour of its layers, and with which versions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from alignment.framework_facts import FOLDER, behaviours, framework_facts
from alignment.pair import Pair
from alignment.results.report import DIVERGENCE, Report, write_report
from alignment.results.summary import KNOWN_OF
from alignment.running.prepare import REPORT_FILE, Prepared

_PAGE = "docs/framework-differences.md"
_STATISTICS = "BatchNorm"


def with_known_differences(prepared: Prepared, report: Report) -> Report:
    """The report with notes on what the candidate's framework is known to do, where the models or its kernels differ.

    A model that diverges gets a note for each kind of its layers that is known to behave otherwise than torch's. That
    the facts were measured with another version of the framework is said wherever they matter.

    Args:
        prepared: The run, with its report written.
        report: That report.
    """
    if report.verdict != DIVERGENCE and not report.kernels:
        return report
    framework = prepared.pair.candidate.framework
    if prepared.pair.reference.framework != "torch" or not (FOLDER / f"{framework}.json").is_file():
        return report
    notes = [*_other_version(report, framework), *_behaviours(prepared.pair, report, framework)]
    if not notes:
        return report
    noted = replace(report, notes=(*report.notes, *notes))
    write_report(noted, prepared.folder / REPORT_FILE)
    return noted


def _other_version(report: Report, framework: str) -> Iterator[str]:
    recorded = framework_facts(framework).versions.get(framework, "")
    version = report.environments.get("candidate", {}).get(framework, "").partition("+")[0]
    if version and recorded and version != recorded:
        yield (
            f"what is known of {framework} was measured with {recorded}, and this is {version}: "
            "pit-align doctor --survey measures it here"
        )


def _behaviours(pair: Pair, report: Report, framework: str) -> Iterator[str]:
    """A note for each kind of layer; of running statistics only where these differ."""
    if report.verdict != DIVERGENCE or pair.contract is None:
        return
    statistics = any("/running/" in row.key for row in report.failures)
    kinds = [kind for module in pair.contract.candidate.modules for kind in module.bases]
    for kind, note in behaviours(framework, kinds).items():
        if statistics or not kind.startswith(_STATISTICS):
            yield f"{KNOWN_OF}{framework}, {kind}: {note} ({_PAGE})"
