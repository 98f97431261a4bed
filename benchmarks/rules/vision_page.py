"""Writes the table of published pairs in docs from what was measured."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.rules.vision_pairs import PAIRS, WITHOUT, VisionPair
from porting import tables

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "vision-models.md"
Measured = tuple[str, str, float | None]
"""What the rules were derived from, the verdict, and the relative L2 of the outputs."""
_TITLES = {"paddle": "paddle.vision.models", "mindspore": "MindCV"}
_LAYOUTS = {"paddle": "paddle", "mindspore": "mindcv"}


def markers(framework: str) -> tuple[str, str]:
    """Return the lines of the page between which the table of a framework stands."""
    return f"<!-- {framework}: begin -->", f"<!-- {framework}: end -->"


def rows(framework: str, measured: Mapping[str, Measured]) -> Iterator[str]:
    """Yield the lines of the table of a framework's pairs, as Markdown."""
    numbers = "forward, relative L2 in float64" if framework == "paddle" else "forward, relative L2 of its float32"
    yield f"| {_TITLES[framework]} | reference | rules | {numbers} | in the library | where they differ |"
    yield "|---|---|---|---|---|---|"
    for name, pair in PAIRS.items():
        if pair.framework == framework and name in measured:
            yield _row(name, pair, measured[name])
        elif pair.framework == framework == "paddle":
            yield _row(name, pair, None)
    if framework == "paddle":
        yield from (f"| `{name}` | - | - | - | no | {reason} |" for name, reason in WITHOUT.items())


def _row(name: str, pair: VisionPair, measured: Measured | None) -> str:
    rules, verdict, error = measured or ("", "", None)
    found = "refused" if rules.startswith("refused") else "found" if measured else "those of its family"
    forward = f"{verdict}, {error:.0e}" if error is not None else "-" if measured else "same function, by its table"
    model = name.removeprefix("mindcv_")
    family = tables.models().get(pair.table or model)
    known = family is not None and _LAYOUTS[pair.framework] in tables.family(family).tables
    cells = (
        *(f"`{model}`", f"`{pair.reference.replace(':', ': ')}`", found, forward),
        *("yes" if known and not pair.differs else "no", pair.differs or "-"),
    )
    return f"| {' | '.join(cells)} |"


def write_page(measured: Mapping[str, Measured], page: Path = PAGE) -> Path:
    """Put the tables of these pairs into the page, each between its markers, and return its path."""
    text = page.read_text(encoding="utf-8")
    for framework in _TITLES:
        begin, end = markers(framework)
        inside = "\n".join((begin, *rows(framework, measured), end))
        text = re.sub(f"{begin}.*{end}", inside.replace("\\", r"\\"), text, flags=re.DOTALL)
    page.write_text(text, encoding="utf-8")
    return page
