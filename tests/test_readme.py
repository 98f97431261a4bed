"""The README's commands and code run as written, in order, in one folder."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def _commands() -> list[str]:
    lines = (line for block in _blocks("console") for line in block.splitlines())
    return [line.removeprefix("$ ").split("#")[0].strip() for line in lines if line.startswith("$ ")]


def test_the_first_screen_names_the_two_commands() -> None:
    assert {"make demo", "make test"} <= set(_commands())
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(r"^demo:", makefile, re.MULTILINE)
    assert re.search(r"^test:", makefile, re.MULTILINE)


def test_commands_run_as_written(tmp_path: Path) -> None:
    shutil.copy(ROOT / "pit-align.toml", tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    commands = [command for command in _commands() if command.startswith(("pit-", "python "))]
    assert len(commands) >= 6
    for command in commands:
        done = subprocess.run(
            ["bash", "-c", command], cwd=tmp_path, env=os.environ | {"PATH": path}, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    for block in _blocks("python"):
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", block],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            check=True,
            capture_output=True,
        )
