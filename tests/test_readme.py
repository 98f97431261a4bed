"""The README's commands and code run as written, in order, in one folder."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests import prose
from tests.prose import ROOT

README = (ROOT / "README.md").read_text()


def test_first_screen_names_the_two_commands() -> None:
    assert {"make demo", "make test"} <= set(prose.commands(README))
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(r"^demo:", makefile, re.MULTILINE)
    assert re.search(r"^test:", makefile, re.MULTILINE)


def test_commands_run_as_written(tmp_path: Path) -> None:
    shutil.copy(ROOT / "pit-align.toml", tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    commands = [command for command in prose.commands(README) if command.startswith(("pit-", "python "))]
    assert len(commands) >= 6
    for command in commands:
        prose.run(command, tmp_path)
    for block in prose.blocks(README, "python"):
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", block],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            check=True,
            capture_output=True,
        )
