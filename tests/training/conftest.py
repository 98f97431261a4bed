"""The digits as a data set on disk."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`train/<digit>/*.png` and `val/<digit>/*.png`."""
    folder: Path = tmp_path_factory.mktemp("digits")
    counts = runpy.run_path(str(ROOT / "examples" / "digits.py"))["write"](folder)
    assert counts == {"train": 1442, "val": 355}
    return folder
