"""Output of a command: its result on standard output, as text or JSON; progress and notes on standard error."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
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
    """The form in which a command prints.

    Attributes:
        as_json: Print the result as JSON instead of text.
        verbose: Print the result in full.
        quiet: Print no text, progress or notes; the exit code and, with `as_json`, JSON are left.
    """

    as_json: bool = False
    verbose: bool = False
    quiet: bool = False

    def show(self, text: Callable[[], str | None], value: Callable[[], Any]) -> None:
        """Print a result.

        Args:
            text: Returns the result as text, or None after it has printed to `console` itself.
            value: Returns the result as a value for JSON.
        """
        if self.as_json:
            import json

            click.echo(json.dumps(value(), indent=2))
        elif not self.quiet and (lines := text()) is not None:
            click.echo(lines)

    def end(self, *, verdict: str = "", wrote: Sequence[str | os.PathLike[str]] = (), then: str = "") -> None:
        """Print the last lines of a command, at most three: verdict, what was written, and the command to run next.

        Args:
            verdict: The verdict in a few words; empty where the first line above shows it still.
            wrote: The files that were written.
            then: The next command; empty where none is called for.
        """
        if self.as_json or self.quiet:
            return
        from porting.visible import visible

        lines = [verdict, f"wrote {', '.join(map(str, wrote))}" if wrote else "", f"next: {then}" if then else ""]
        for line in filter(None, lines):
            click.echo(visible(line))

    def note(self, line: str) -> None:
        """Print a line beside the result."""
        if not self.quiet:
            click.echo(line, err=True)

    def console(self) -> Console:
        """Return the console for people; rich finds its width and colours, and honours `NO_COLOR`."""
        from rich.console import Console

        class Printer(Console):
            def on_broken_pipe(self) -> None:
                """Leave the error to `Tool`: rich would exit with 1, which means that something differs."""
                raise BrokenPipeError

        return Printer(quiet=self.quiet)

    @property
    def width(self) -> int:
        """Number of columns of the terminal: `COLUMNS`, what the terminal says, or else 80."""
        import shutil

        return shutil.get_terminal_size().columns

    def sides(self) -> AbstractContextManager[Callback]:
        """Show the progress of the sides of an alignment."""
        return showing_sides(quiet=self.quiet)

    def tensors(self) -> AbstractContextManager[TensorCallback]:
        """Show the progress over the tensors of a file."""
        return showing_tensors(quiet=self.quiet)

    def waiting(self, what: str) -> AbstractContextManager[None]:
        """Show that something is going on."""
        return waiting(what, quiet=self.quiet)


def output_options(*, verbose: str = "", as_json: bool = True) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add `-q`, `-v` and `--json`, which the command receives as one argument, `output`.

    Args:
        verbose: Help text of `-v`; empty for a command without `-v`.
        as_json: False for a command without `--json`.
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
