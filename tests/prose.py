"""Read the commands and code blocks of a page, and run a command as a reader would."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner

import cli

ROOT = Path(__file__).parents[1]


def blocks(text: str, language: str) -> list[str]:
    """Return the code blocks of a language, in the order of the page."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands(text: str) -> list[str]:
    """Return every line after a prompt in the `console` blocks, without its comment."""
    lines = (line for block in blocks(text, "console") for line in block.splitlines())
    return [re.sub(r"\s+#.*", "", line.removeprefix("$ ")).strip() for line in lines if line.startswith("$ ")]


def run(command: str, folder: Path, exits: int = 0) -> str:
    """Run a command with the tools of this environment and return its standard output.

    A command that starts workers runs in this process, so that they are forked from those that earlier commands have
    started, and no framework is imported again; all others run in a shell.

    Args:
        command: The command.
        folder: Where it runs.
        exits: The exit code that it must have.
    """
    code, printed, errors = (_run_here if _starts_workers(command) else _run_in_a_shell)(command, folder)
    assert code == exits, f"{command}\n{printed}\n{errors}"
    return printed


def _starts_workers(command: str) -> bool:
    tool, *words = shlex.split(command)
    if {"||", "&&"} & {*words}:
        return False
    return (tool == "pit-align" and words[0] not in ("gate", "report")) or (tool == "pit-port" and "--pair" in words)


def _run_here(command: str, folder: Path) -> tuple[int, str, str]:
    tool, *words = shlex.split(command)
    before = Path.cwd()
    os.chdir(folder)
    try:
        done = CliRunner().invoke(getattr(cli, tool.replace("-", "_")), words, prog_name=tool)
    finally:
        os.chdir(before)
    return done.exit_code, done.stdout, done.stderr


def _run_in_a_shell(command: str, folder: Path) -> tuple[int, str, str]:
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=os.environ | {"PATH": path}, capture_output=True, text=True
    )
    return done.returncode, done.stdout, done.stderr
