"""The table of planted mistakes, for a terminal and for docs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.mistakes.mistake import Outcome
from benchmarks.mistakes.tables import MISTAKES, NETS

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "planted-mistakes.md"
_MARKS = {True: "yes", False: "no"}
_HEAD = """# Mistakes planted into real nets

`python -m benchmarks.mistakes --write` plants each of these mistakes into a port, by a change in its source, and runs
`pit-align diagnose` on it: was it detected, was only the right module (or the one around it) blamed, was the right
cause named, and was a wrong one. Each takes seconds; `--only NAME` runs one.
"""


def summary(outcomes: Sequence[Outcome]) -> str:
    """A line for each outcome, and the counts."""
    lines = [
        f"{outcome.net:10} {outcome.name or 'the port as it is':44} {_verdict(outcome):22} {outcome.seconds:5.1f} s  "
        f"{', '.join(path or 'the model' for path in outcome.guilty[:3])}: {outcome.says} [{outcome.look_at}]"
        for outcome in outcomes
    ]
    return "\n".join([*lines, *_counts(outcomes)])


def _verdict(outcome: Outcome) -> str:
    if not outcome.name:
        return "ACCUSED" if outcome.detected else "agrees"
    words = [word for word in ("detected", "localised", "named") if getattr(outcome, word)]
    return ("WRONG CAUSE, " if outcome.wrong else "") + (words[-1] if words else "MISSED")


def _counts(outcomes: Sequence[Outcome]) -> Iterator[str]:
    hidden = {(mistake.net, mistake.name) for mistake in MISTAKES if mistake.hidden}
    planted = [outcome for outcome in outcomes if outcome.name]
    for title, group in (
        ("mistakes that show in evaluation", [one for one in planted if (one.net, one.name) not in hidden]),
        ("mistakes that agree on ordinary inputs", [one for one in planted if (one.net, one.name) in hidden]),
    ):
        if group:
            counts = (
                f"{sum(getattr(one, word) for one in group)} {word}" for word in ("detected", "localised", "named")
            )
            yield f"{len(group)} {title}: {', '.join(counts)}, {sum(one.wrong for one in group)} with a wrong cause"
    right = [outcome for outcome in outcomes if not outcome.name]
    if right:
        yield f"{len(right)} ports as they are: {sum(one.detected for one in right)} accused"


def write(outcomes: Sequence[Outcome]) -> None:
    """Write the page of docs."""
    order = {(mistake.net, mistake.name): place for place, mistake in enumerate(MISTAKES)}
    planted = sorted((one for one in outcomes if one.name), key=lambda one: order.get((one.net, one.name), len(order)))
    rows = [
        f"| {NETS[one.net].title} | {one.name} | {_MARKS[one.detected]} | {_MARKS[one.localised]} | "
        f"{_MARKS[one.named]} | {_MARKS[one.wrong]} | {_cell(one.says) or '-'} |"
        for one in planted
    ]
    counts = "\n".join(f"- {line}" for line in _counts(outcomes))
    table = "\n".join(
        (
            "| net | mistake | detected | localised | named | wrong cause | what it says |",
            "|---|---|---|---|---|---|---|",
            *rows,
        )
    )
    PAGE.write_text(f"{_HEAD}\n{counts}\n\n{table}\n")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
