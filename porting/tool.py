"""The command line's frame: expected failures in one line, exit codes, and the options that all tools share."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

DIFFERENT, COULD_NOT_RUN = 1, 3
FILE = click.Path(path_type=Path)


class Tool(click.Group):
    """A group of commands whose expected failures are one line on stderr and an exit code, never a traceback.

    An error is expected when its class says what to exit with, as `exit_code`, or when it is the system's.
    """

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; with `--debug`, let errors through."""
        if ctx.params.get("debug"):
            return super().invoke(ctx)
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit):
            raise
        except (KeyboardInterrupt, click.Abort):
            self._fail(ctx, "interrupted; nothing was left half-written", COULD_NOT_RUN)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(COULD_NOT_RUN)
        except Exception as error:
            code = COULD_NOT_RUN if isinstance(error, OSError) else getattr(error, "exit_code", None)
            if code is None:
                raise
            self._fail(ctx, str(error), code)

    @staticmethod
    def _fail(ctx: click.Context, message: str, code: int) -> NoReturn:
        click.echo(f"{ctx.info_name}: {message}", err=True)
        ctx.exit(code)


def _version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"{ctx.info_name} {version('pit-port')}")
        ctx.exit()


def options(*chosen: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Several options as one decorator, shown in this order by `--help`."""

    def add(command: Command) -> Command:
        for option in reversed(chosen):
            command = option(command)
        return command

    return add


tool_options = options(
    click.option("--debug", is_flag=True, help="Show the traceback of an error."),
    click.option(
        "--version", is_flag=True, callback=_version, expose_value=False, is_eager=True, help="Show the version."
    ),
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
force_option = click.option("--force", is_flag=True, help="Replace the target if it is there.")
verbose_option = click.option("-v", "--verbose", is_flag=True, help="Show every quantity, not only the worst.")


def command_line() -> str:
    """The words that this program was started with, for reports."""
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


def print_json(value: Any) -> None:
    """Print a value as JSON, indented."""
    click.echo(json.dumps(value, indent=2))
