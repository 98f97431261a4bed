"""Help that groups commands by what they are for, and the installation of shell completion."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

Sections = Mapping[str, Sequence[str]]
"""Heading to the names of the commands below it."""
_OTHERS = "Others"
_FILES = {
    "bash": ".local/share/bash-completion/completions/{tool}",
    "zsh": ".zfunc/_{tool}",
    "fish": ".config/fish/completions/{tool}.fish",
}
"""Shell to the file from which it takes completions, below the home folder."""


def write_sections(group: click.Group, ctx: click.Context, formatter: click.HelpFormatter, sections: Sections) -> None:
    """Write the commands of a group under headings, each with its whole summary.

    Args:
        group: The group.
        ctx: Its context.
        formatter: What the help is written with.
        sections: The headings; commands that none names stand under the last one.
    """
    named = {name for names in sections.values() for name in names}
    left = [name for name in group.list_commands(ctx) if name not in named]
    for heading, names in {**sections, (_OTHERS if sections else "Commands"): left}.items():
        commands = [(name, command) for name in names if (command := group.get_command(ctx, name)) is not None]
        rows = [(name, command.get_short_help_str(limit=1000)) for name, command in commands if not command.hidden]
        if rows:
            with formatter.section(heading):
                formatter.write_dl(rows)


def install_completion(tool: str, group: click.Command, shell: str = "", home: Path | None = None) -> Path:
    """Write the completion script of a tool to where a shell takes it from.

    Args:
        tool: Name of the tool: `pit-align`.
        group: Its commands.
        shell: `bash`, `zsh` or `fish`; that of the variable SHELL by default.
        home: The home folder; that of the user by default.

    Returns:
        The file that was written.

    Raises:
        UsageError: The shell is none of these.
        OSError: The file cannot be written.
    """
    from click.shell_completion import get_completion_class

    shell = shell or Path(os.environ.get("SHELL", "")).name
    kind = get_completion_class(shell) if shell in _FILES else None
    if kind is None:
        raise click.UsageError(f"completion is written for {', '.join(_FILES)}; SHELL names {shell or 'none'!r}")
    path = (home or Path.home()) / _FILES[shell].format(tool=tool)
    variable = f"_{tool.replace('-', '_')}_COMPLETE".upper()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(kind(group, {}, tool, variable).source(), encoding="utf-8")
    except OSError as error:
        problem = error.strerror or str(error)
        raise OSError(f"{path}: cannot be written ({problem}); set HOME to a folder that can be") from None
    return path
