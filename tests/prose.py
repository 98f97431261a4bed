"""Read the commands and code blocks of a page, and run a command as a reader would."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def blocks(text: str, language: str) -> list[str]:
    """Return the code blocks of a language, in the order of the page."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands(text: str) -> list[str]:
    """Return every line after a prompt in the `console` blocks, without its comment."""
    lines = (line for block in blocks(text, "console") for line in block.splitlines())
    return [re.sub(r"\s+#.*", "", line.removeprefix("$ ")).strip() for line in lines if line.startswith("$ ")]


def run(command: str, folder: Path) -> str:
    """Run a command with the tools of this environment and return its standard output; fail unless it exits 0."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=os.environ | {"PATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout
