"""The next command: another command of the same tool, with the options of this one that it has too."""

from __future__ import annotations

import shlex
from collections.abc import Container
from typing import Any

import click
from click.core import ParameterSource

_NOT_REPEATED = {"out", "html", "as_json", "quiet", "verbose"}


def again(name: str, *arguments: object, without: Container[str] = ()) -> str:
    """Return the command line of another command of this tool, with the options that were given to this one.

    Args:
        name: The other command.
        arguments: Its arguments and further options; those of this command by default.
        without: Names of the parameters that are not repeated.
    """
    context = click.get_current_context()
    assert isinstance(context.parent and context.parent.command, click.Group)  # noqa: S101 - where commands are
    other = context.parent.command.get_command(context, name)  # type: ignore[union-attr] # as asserted above
    known = {parameter.name for parameter in other.params} if other is not None else set()
    words = [context.find_root().info_name or "", name, *map(str, arguments)]
    for parameter in context.command.params:
        chosen = context.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE
        replaced = bool(arguments) and isinstance(parameter, click.Argument)
        if chosen and not replaced and parameter.name in known - _NOT_REPEATED and parameter.name not in without:
            words += _words(parameter, context.params[parameter.name or ""])
    return shlex.join(words)


def _words(parameter: click.Parameter, value: Any) -> list[str]:
    if not isinstance(parameter, click.Option):
        return [str(word) for word in (value if isinstance(value, tuple) else (value,))]
    if parameter.is_flag:
        return [parameter.opts[0] if value else parameter.secondary_opts[0]]
    values = value if parameter.multiple else (value,)
    return [word for one in values for word in (parameter.opts[0], *_given(parameter, one))]


def _given(option: click.Option, value: Any) -> list[str]:
    """The words of an option's value as a user gives them: one word of names with commas where it takes one word."""
    if not isinstance(value, tuple):
        return [str(value)]
    words = [str(part) for part in value]
    return [",".join(words)] if option.nargs == 1 else words
