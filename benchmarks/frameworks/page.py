"""Writes what was measured: the tables of the page in docs, and the data that the package has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from alignment.framework_facts import BEHAVIOUR, FOLDER, PRECISION, SAME, Difference, Fact, Facts

PAGE = Path(__file__).parents[2] / "docs" / "framework-differences.md"
_TITLES = {"paddle": "Paddle", "mindspore": "MindSpore"}
_PACKAGES = {"paddle": "PaddlePaddle", "torch": "torch", "mindspore": "MindSpore", "numpy": "NumPy"}


def markers(framework: str) -> tuple[str, str]:
    """Return the lines of the page between which the tables of a framework stand."""
    return f"<!-- {framework}: begin -->", f"<!-- {framework}: end -->"


def tables(facts: Facts) -> str:
    """Return the tables as Markdown, with the counts and the versions above them."""
    counts = {kind: len(facts.of(kind)) for kind in (SAME, PRECISION, BEHAVIOUR)}
    versions = ", ".join(f"{_PACKAGES.get(name, name)} {version}" for name, version in facts.versions.items())
    lines = [
        f"Measured on the CPU with {versions}. Of {len(facts.cases)} cases {counts[SAME]} agree, {counts[PRECISION]} "
        f"lose precision inside, {counts[BEHAVIOUR]} behave otherwise.",
    ]
    title = _TITLES.get(facts.framework, facts.framework)
    for group in dict.fromkeys(fact.group for fact in facts.cases):
        lines += ["", f"### {group}", "", f"| torch | {title} | inputs | result |", "|---|---|---|---|"]
        lines += [_row(fact) for fact in facts.cases if fact.group == group]
    return "\n".join(lines)


def _row(fact: Fact) -> str:
    cells = [f"`{fact.torch}`", f"`{fact.counterpart}`", ", ".join(fact.inputs), _result(fact)]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _result(fact: Fact) -> str:
    only = f" ({fact.only} only)" if fact.only else ""
    if fact.kind == SAME:
        return f"agrees{only}"
    errors = ", ".join(_error(one, fact.only) for one in fact.differences)
    if fact.kind == PRECISION:
        return f"**loses precision**{only}: {errors}"
    return f"**behaves otherwise**{only}: {fact.note}" + (f" ({errors})" if errors else "")


def _error(one: Difference, only: str) -> str:
    error = "of another shape or not finite" if one.error is None else f"{one.error:.1e}"
    precision = "" if one.dtype == "float64" or only else f" in {one.dtype}"
    return f"{one.quantity} {error}{precision}{' in training' * one.training}"


def replaced(page: str, facts: Facts) -> str:
    """Return the page with the tables of a framework written anew.

    Raises:
        ValueError: The page has no such markers.
    """
    begin, end = markers(facts.framework)
    if begin not in page or end not in page:
        raise ValueError(f"{PAGE} has no lines {begin} and {end}, between which the tables stand")
    block = f"{begin}\n{tables(facts)}\n{end}"
    return re.sub(re.escape(begin) + ".*?" + re.escape(end), lambda _found: block, page, flags=re.DOTALL)


def save(facts: Facts, path: Path) -> None:
    """Write the facts as `alignment.framework_facts.read_facts` reads them, a line for each."""
    lines = ",\n".join(f"  {json.dumps(asdict(fact))}" for fact in facts.cases)
    head = json.dumps({"framework": facts.framework, "versions": dict(facts.versions)})[:-1]
    path.write_text(f'{head}, "cases": [\n{lines}\n]}}\n', encoding="utf-8")


def write(facts: Facts) -> None:
    """Write the data into the package and the tables into the page."""
    save(facts, FOLDER / f"{facts.framework}.json")
    PAGE.write_text(replaced(PAGE.read_text(encoding="utf-8"), facts), encoding="utf-8")


def summary(facts: Iterable[Fact]) -> str:
    """Return what is not the same, one line a case, for a terminal."""
    return "\n".join(
        f"{fact.torch} | {fact.counterpart} | {', '.join(fact.inputs)}\n    {_result(fact).replace('**', '')}"
        for fact in facts
        if fact.kind != SAME
    )
