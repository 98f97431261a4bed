"""Help under headings, and the installation of completion."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import cli
from porting.terminal.help import install_completion, write_sections

TOOLS = {"pit-port": cli.pit_port, "pit-align": cli.pit_align, "pit-train": cli.pit_train}


def test_commands_of_pit_align_stand_under_headings_with_whole_summaries() -> None:
    shown = CliRunner().invoke(cli.pit_align, ["--help"]).stdout
    headings = [line for line in shown.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert headings[1:] == ["Prove a port:", "Find what is wrong:", "Gate in CI:", "Report:", "Training:"]
    assert "..." not in shown.partition("Options:")[2]


def test_command_that_no_heading_names_stands_last() -> None:
    group = click.Group(commands=[click.Command(name, help=name.upper()) for name in ("a", "b", "c")])
    formatter = click.HelpFormatter()
    write_sections(group, click.Context(group), formatter, {"First": ("b",)})
    assert formatter.getvalue().split() == ["First:", "b", "B", "Others:", "a", "A", "c", "C"]


@pytest.mark.parametrize("tool", TOOLS)
def test_help_is_a_command_too(tool: str) -> None:
    def shown(*words: str) -> str:
        return CliRunner().invoke(TOOLS[tool], words, prog_name=tool).stdout

    command = next(iter(TOOLS[tool].commands))
    assert shown("help") == shown("--help")
    assert shown("help", command) == shown(command, "--help")
    assert shown("-V") == shown("--version")


@pytest.mark.parametrize(
    ("shell", "file"), [("zsh", ".zfunc/_pit-align"), ("fish", ".config/fish/completions/pit-align.fish")]
)
def test_completion_is_installed_for_the_shell(shell: str, file: str, tmp_path: Path) -> None:
    path = install_completion("pit-align", cli.pit_align, shell, tmp_path)
    assert path == tmp_path / file
    assert f"_PIT_ALIGN_COMPLETE={shell}_complete" in path.read_text()


def test_other_shell_is_refused(tmp_path: Path) -> None:
    with pytest.raises(click.UsageError, match="bash, zsh, fish; SHELL names 'tcsh'"):
        install_completion("pit-align", cli.pit_align, "tcsh", tmp_path)
