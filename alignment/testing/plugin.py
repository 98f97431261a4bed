"""A plugin of pytest: `assert_aligned`, a fixture of the same name, and `--pit-align-report FOLDER`.

It is loaded where pit-port is installed; elsewhere `-p alignment.testing.plugin` loads it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from alignment.testing import assert_aligned

if TYPE_CHECKING:
    from alignment.pair import Pair
    from alignment.results.report import Report

OPTION = "--pit-align-report"
"""Option of pytest that names the folder in which the runs of `assert_aligned` are kept."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    parser.addoption(OPTION, metavar="FOLDER", help="keep the runs of assert_aligned, a folder each")


@pytest.fixture(name="assert_aligned")
def _assert_aligned(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Report]:
    """`assert_aligned`, whose runs are kept in the folder of `--pit-align-report`, one for each test."""
    kept = request.config.getoption(OPTION)
    name = re.sub(r"[^\w.-]+", "-", request.node.nodeid).strip("-")
    folder = Path(kept).absolute() / name if kept else tmp_path / "pit-align"
    runs: list[Path] = []

    def check(pair: Pair | str, **settings: Any) -> Report:
        __tracebackhide__ = True
        runs.append(folder if not runs else folder.with_name(f"{folder.name}-{len(runs) + 1}"))
        return assert_aligned(pair, runs[-1], **settings)

    return check
