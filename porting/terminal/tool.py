"""Base of the command-line tools: expected failures in one line, exit codes, and the shared options."""

from __future__ import annotations

import atexit
import gc
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, ClassVar, NoReturn, TypeVar

import click

from porting.terminal.streams import silence, tell, told, unwritten

Command = TypeVar("Command", bound=Callable[..., Any])

DIFFERENT, COULD_NOT_RUN = 1, 3
_INTERRUPTED = 130
_DEBUG, _JSON = "--debug", "--json"
FILE = click.Path(path_type=Path)
PAGE = click.Path(path_type=Path, dir_okay=False)
"""A file that a command writes at its end; a folder in its place is refused before anything is begun."""
_PACKAGES = {
    "torch": ("torch", "timm", "torchvision"),
    "paddle": ("paddlepaddle", "paddlepaddle-gpu", "reprod-log"),
    "mindspore": ("mindspore", "mindcv"),
}
"""Framework to the packages that belong to it."""
_EXTRAS = {
    "torch": ("torch", "timm", "torchvision"),
    "paddle": ("paddle", "reprod_log"),
    "mindspore": ("mindspore", "mindcv"),
    "train": ("yaml", "PIL", "matplotlib"),
}
"""Extra to the names under which its packages are imported."""


class Tool(click.Group):
    """A group of commands that reports failures in one line on stderr and an exit code, never a traceback.

    An error is expected when its class has an `exit_code`, when it is an `OSError`, and when a package of one of the
    extras is not installed. Any other error is one line too, and exits with 3: 1 would mean that something was compared
    and differs.
    """

    sections: ClassVar[Mapping[str, Sequence[str]]] = {}
    """Heading to the commands below it in the help; none for one list."""

    ends_in_order: ClassVar[bool] = True
    """Whether SIGTERM and SIGHUP end a command as Ctrl-C does; False where the commands handle them."""

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        """Run the tool; after SIGTERM or SIGHUP everything is tidied up, and the process ends by the signal.

        Ctrl-C before or after the command itself exits with 130, for click's 1 means that something differs.
        """
        try:
            from porting.terminal.signals import ending_by_signals

            with ending_by_signals() if self.ends_in_order else nullcontext():
                result: Any = super().main(*args, **extra | {"standalone_mode": False})
        except click.ClickException as error:
            if not standalone_mode:
                raise
            with told():
                error.show()
            raise SystemExit(error.exit_code) from None
        except (click.Abort, KeyboardInterrupt):
            raise SystemExit(_INTERRUPTED) from None
        except OSError as error:  # of a help, a version or a completion, which are written before a command is run
            if not standalone_mode:
                raise
            tell(f"{self.name}: {unwritten(error) or error}")
            raise SystemExit(COULD_NOT_RUN) from None
        if standalone_mode:  # the code of click's Exit; commands themselves return nothing
            raise SystemExit(result if isinstance(result, int) else 0)
        return result

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Parse the arguments; Ctrl-C meanwhile exits with 130, for click's 1 means that something differs."""
        try:
            return super().make_context(*args, **extra)
        except KeyboardInterrupt:
            click.echo(f"{self.name}: interrupted; nothing was begun", err=True)
            raise SystemExit(_INTERRUPTED) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands under their headings, each with its whole summary."""
        from porting.terminal.help import write_sections

        write_sections(self, ctx, formatter, self.sections)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; with `--debug`, raise its errors."""
        if ctx.params.get("debug"):
            return super().invoke(ctx)
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            if _JSON in ctx.meta:
                _echo_json(error.format_message(), error.exit_code)
            raise
        except click.exceptions.Exit:
            raise
        except (KeyboardInterrupt, click.Abort) as error:
            self.fail(ctx, f"interrupted; {str(error) or 'nothing was left half-written'}", COULD_NOT_RUN)
        except BrokenPipeError:
            silence(sys.stdout)
            ctx.exit(COULD_NOT_RUN)
        except Exception as error:  # a defect of ours is told as such, in a few lines
            if _interrupted(error):
                self.fail(ctx, "interrupted; nothing was left half-written", COULD_NOT_RUN)
            self.fail(ctx, *_failure(error))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments; `--debug` may come after the command too, where a user adds it after an error."""
        end = args.index("--") if "--" in args else len(args)
        if _JSON in args[:end]:
            ctx.meta[_JSON] = True
        if _DEBUG in args[:end]:
            args = [_DEBUG, *(word for word in args[:end] if word != _DEBUG), *args[end:]]
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command of this name; the error for an unknown name has the nearest one."""
        name = args[0]
        if name == "help" and self.get_command(ctx, name) is None:
            if not args[1:]:
                self._help(ctx)
            args = [args[1], "--help"]
            name = args[0]
        if not ctx.resilient_parsing and not name.startswith("-") and self.get_command(ctx, name) is None:
            from porting.names import unknown

            ctx.fail(str(unknown("command", name, self.list_commands(ctx))))
        return super().resolve_command(ctx, args)

    @staticmethod
    def _help(ctx: click.Context) -> NoReturn:
        """Show the help of the tool, which `pit-align help` asks for."""
        click.echo(ctx.get_help())
        ctx.exit()

    @staticmethod
    def fail(ctx: click.Context, message: str, code: int) -> NoReturn:
        """End with one line and its details on standard error; with `--json`, as an object on standard output too."""
        tell(f"{ctx.info_name}: {message}")
        if _JSON in ctx.meta:
            _echo_json(message, code)
        ctx.exit(code)


def _echo_json(message: str, code: int) -> None:
    """Print an error as a line of JSON: its first line, the further ones, and the exit code."""
    import json

    from porting.visible import harmless

    summary, *details = message.splitlines() or [""]
    value = {"summary": summary, "details": [line.strip() for line in details], "exit_code": code}
    click.echo(harmless(json.dumps({"error": value})))


def _interrupted(error: BaseException | None) -> bool:
    """True if Ctrl-C is behind an error: a framework that is interrupted while it is imported raises ImportError."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False


def _failure(error: Exception) -> tuple[str, int]:
    """The line to print for an error, and the exit code."""
    if (missing := _missing(error)) is not None:
        return missing, COULD_NOT_RUN
    if isinstance(error, MemoryError):
        return f"needs more memory than there is: {str(error) or 'an allocation failed'}", COULD_NOT_RUN
    if isinstance(error, OSError):
        return unwritten(error) or str(error), COULD_NOT_RUN
    code = getattr(error, "exit_code", None)
    if code is not None:
        return str(error), code
    problem = f"{type(error).__name__}: {error}"
    return f"failed in a way that was not expected ({problem}); --debug shows where", COULD_NOT_RUN


def _missing(error: Exception) -> str | None:
    """The line for a package of one of the extras that is not installed; None for any other error."""
    package = (error.name or "").partition(".")[0] if isinstance(error, ImportError) else ""
    extra = next((name for name, packages in _EXTRAS.items() if package in packages), None)
    if extra is None:
        return None
    from porting.installing import install_command

    problem = str(error)
    return problem if "pip install" in problem else f"needs {package}, which is not installed: {install_command(extra)}"


def _version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        for line in _versions(ctx.info_name or "pit-port"):
            click.echo(line)
        ctx.exit()


def _completion(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from porting.terminal.help import install_completion

        path = install_completion(ctx.info_name or "pit-port", ctx.command)
        click.echo(f"wrote {path}; it holds from the next shell on")
        if path.parent.name == ".zfunc":
            click.echo(f"zsh takes it if ~/.zshrc has, before compinit: fpath+={path.parent}")
        ctx.exit()


def _versions(tool: str) -> Iterator[str]:
    """Yield the versions of the tool and of the frameworks from their metadata; none is imported."""
    from importlib.metadata import PackageNotFoundError, version
    from platform import python_version

    yield f"{tool} {version('pit-port')}, Python {python_version()}, NumPy {version('numpy')}"
    for framework, packages in _PACKAGES.items():
        versions = []
        for package in packages:
            with suppress(PackageNotFoundError):
                versions.append(f"{package} {version(package)}")
        yield f"{framework:<10} {', '.join(versions) or 'not found'}"


def options(*chosen: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Several options as one decorator, shown in this order by `--help`."""

    def add(command: Command) -> Command:
        for option in reversed(chosen):
            command = option(command)
        return command

    return add


tool_options = options(
    click.option(_DEBUG, is_flag=True, help="Show the traceback of an error; may stand after the command."),
    click.option(
        "-V",
        "--version",
        is_flag=True,
        callback=_version,
        expose_value=False,
        is_eager=True,
        help="Show the version, and the frameworks beside it.",
    ),
    click.option(
        "--install-completion",
        is_flag=True,
        callback=_completion,
        expose_value=False,
        is_eager=True,
        help="Let bash, zsh or fish, whichever SHELL names, complete commands, options and models.",
    ),
)
force_option = click.option("--force", is_flag=True, help="Replace the target if it exists.")


def command_line() -> str:
    """Return the command line of this program, for reports."""
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


@contextmanager
def uncollected() -> Iterator[None]:
    """Switch the garbage collector's search for cycles off, which would take 5 % of a command's time.

    Objects in cycles stay until the process ends.
    """
    atexit.register(gc.freeze)
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()  # and back: all counts as searched
        gc.unfreeze()
        if enabled:
            gc.enable()
