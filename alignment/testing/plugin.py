"""A plugin of pytest: `assert_aligned`, a fixture of the same name, and `--pit-align-report FOLDER`.

It is loaded where pit-port is installed; elsewhere `-p alignment.testing.plugin` loads it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from alignment.testing import RUNNING, RunningTest, assert_aligned

if TYPE_CHECKING:
    import os

    from alignment.pair import Pair
    from alignment.results.report import Report

OPTION = "--pit-align-report"
"""Option of pytest that names the folder in which the runs of `assert_aligned` are kept."""
_LONGEST = 120
"""Characters of a test's name that its folder has; file systems take 255 bytes."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    parser.addoption(OPTION, metavar="FOLDER", help="keep the runs of assert_aligned, a folder each")


@pytest.hookimpl(hookwrapper=True)  # the older form, which every pytest in use takes
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, None, None]:
    """Tell `assert_aligned` which test runs, also where it is called by a fixture or without the fixture."""
    kept = item.config.getoption(OPTION)
    folders = _numbered(Path(kept).absolute() / _folder_name(item.nodeid)) if kept else None
    token = RUNNING.set(RunningTest(item.path.parent, folders))
    try:
        yield
    finally:
        RUNNING.reset(token)


def _folder_name(test: str) -> str:
    """Return the name of a test's folder: another one for each test, whatever its parameters are."""
    name = re.sub(r"[^\w.-]+", "-", test).strip("-")
    _, _, parameters = test.partition("[")
    if len(name) <= _LONGEST and re.fullmatch(r"[\w.-]*\]?", parameters):
        return name
    return f"{name[:_LONGEST]}-{hashlib.sha256(test.encode()).hexdigest()[:8]}"


def _numbered(folder: Path) -> Callable[[], Path]:
    """Return a function that returns the folder, then the folder with a 2 at its end, and so on."""
    count = 0

    def folder_of_next_run() -> Path:
        nonlocal count
        count += 1
        return folder if count == 1 else folder.with_name(f"{folder.name}-{count}")

    return folder_of_next_run


@pytest.fixture(name="assert_aligned")
def _assert_aligned(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Report]:
    """`assert_aligned`, whose runs stay in `tmp_path` where no folder is named to keep them."""
    temporary = _numbered(tmp_path / "pit-align")
    kept = request.config.getoption(OPTION)

    def check(pair: Pair | str, out: str | os.PathLike[str] | None = None, **settings: Any) -> Report:
        __tracebackhide__ = True
        return assert_aligned(pair, out if out is not None or kept else temporary(), **settings)

    return check
