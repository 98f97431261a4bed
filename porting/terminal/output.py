"""What a command prints: its result on standard output, as text or JSON; progress and notes on standard error."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import wraps
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from porting.terminal.progress import Callback, showing_sides, showing_tensors, waiting

if TYPE_CHECKING:
    from rich.console import Console

    from porting.checkpoint.tensor import TensorCallback

_HUB_BARS = "HF_HUB_DISABLE_PROGRESS_BARS"


class Output(NamedTuple):
    """What was asked to be printed.

    Attributes:
        as_json: The result as JSON rather than as text.
        verbose: The result in full.
        quiet: No text, no progress, no notes: the exit code tells, and JSON where it was asked for.
    """

    as_json: bool = False
    verbose: bool = False
    quiet: bool = False

    def show(self, text: Callable[[], str | None], value: Callable[[], Any]) -> None:
        """Print a result.

        Args:
            text: Gives it as text; None where it has printed that itself, to `console`.
            value: Gives it as a value for JSON.
        """
        if self.as_json:
            print_json(value())
        elif not self.quiet and (lines := text()) is not None:
            click.echo(lines)

    def note(self, line: str) -> None:
        """Say something beside the result."""
        if not self.quiet:
            click.echo(line, err=True)

    def console(self) -> Console:
        """Where people read: rich finds out about its width and colours, and honours `NO_COLOR`."""
        from rich.console import Console

        class Printer(Console):
            def on_broken_pipe(self) -> None:
                """Leave it to `Tool`: rich would exit with 1, which means that something differs."""
                raise BrokenPipeError

        return Printer(quiet=self.quiet)

    def sides(self) -> AbstractContextManager[Callback]:
        """Progress of the sides of an alignment."""
        return showing_sides(quiet=self.quiet)

    def tensors(self) -> AbstractContextManager[TensorCallback]:
        """Progress over the tensors of a file."""
        return showing_tensors(quiet=self.quiet)

    def waiting(self, what: str) -> AbstractContextManager[None]:
        """A sign that something goes on."""
        return waiting(what, quiet=self.quiet)


def output_options(*, verbose: str = "", as_json: bool = True) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`-q`, `-v` and `--json`, which the command is given as one argument, `output`.

    Args:
        verbose: What `-v` shows; empty for a command that has nothing more to show, and no `-v`.
        as_json: Whether there is a result for programs.
    """
    chosen = [click.option("-q", "--quiet", is_flag=True, help="Print errors only; the exit code tells the result.")]
    if verbose:
        chosen.append(click.option("-v", "--verbose", is_flag=True, help=verbose))
    if as_json:
        chosen.append(click.option("--json", "as_json", is_flag=True, help="Print JSON."))

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def run(*args: Any, quiet: bool = False, verbose: bool = False, as_json: bool = False, **values: Any) -> Any:
            with _silent_downloads() if quiet else nullcontext():
                return command(*args, output=Output(as_json, verbose, quiet), **values)

        result: Callable[..., Any] = run
        for option in reversed(chosen):
            result = option(result)
        return result

    return add


@contextmanager
def _silent_downloads() -> Iterator[None]:
    """Keep huggingface_hub, which reads this when it is imported, from showing bars of its own."""
    before = os.environ.get(_HUB_BARS)
    os.environ[_HUB_BARS] = "1"
    try:
        yield
    finally:
        os.environ.pop(_HUB_BARS)
        os.environ.update({} if before is None else {_HUB_BARS: before})


def print_json(value: Any) -> None:
    """Print a value as JSON, indented."""
    import json

    click.echo(json.dumps(value, indent=2))
