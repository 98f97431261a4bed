"""The commands `pit-port` and `pit-align`: words in, calls out, exit codes.

0 aligned or done, 1 diverged or different, 2 usage, 3 could not run, 5 nothing was compared. Data goes to stdout,
progress and logs to stderr. Everything heavy is imported by the command that needs it, so `--help` loads no framework.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

DIFFERENT, COULD_NOT_RUN = 1, 3
_FILE = click.Path(path_type=Path)


class Tool(click.Group):
    """A group of commands whose expected failures are one line on stderr and an exit code, never a traceback."""

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
            sys.stderr.close()
            ctx.exit(COULD_NOT_RUN)
        except Exception as error:
            code = _exit_code(error)
            if code is None:
                raise
            self._fail(ctx, str(error), code)

    @staticmethod
    def _fail(ctx: click.Context, message: str, code: int) -> NoReturn:
        click.echo(f"{ctx.info_name}: {message}", err=True)
        ctx.exit(code)


def _exit_code(error: Exception) -> int | None:
    """The exit code of an error that users can act on; None for one of our own making."""
    from alignment.errors import AlignmentError
    from porting.errors import PortingError, UnknownNameError

    if isinstance(error, UnknownNameError):
        return click.UsageError.exit_code
    if isinstance(error, AlignmentError):
        return error.exit_code
    return COULD_NOT_RUN if isinstance(error, (PortingError, OSError)) else None


def _version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"{ctx.info_name} {version('pit-port')}")
        ctx.exit()


def _tool(command: Command) -> Command:
    """The options of both tools."""
    for option in (
        click.option("--debug", is_flag=True, help="Show the traceback of an error."),
        click.option("--version", is_flag=True, callback=_version, expose_value=False, is_eager=True, help="Show it."),
    ):
        command = option(command)
    return command


def _print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2))


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
force_option = click.option("--force", is_flag=True, help="Replace the target if it is there.")


@click.group(cls=Tool, context_settings={"help_option_names": ["-h", "--help"]})
@_tool
def pit_port(debug: bool) -> None:
    """Move model weights between PyTorch and PaddlePaddle, in any published layout.

    \b
    pit-port convert pit_b.pth pit_b.pdparams
    pit-port inspect pit_b.pdparams
    pit-port diff pit_b.pth pit_b.pdparams
    """


@pit_port.command()
@click.argument("source", type=_FILE)
@click.argument("target", type=_FILE)
@click.option("--model", default="auto", help="The model; found out from names and shapes by default.")
@click.option("--from", "source_layout", metavar="LAYOUT", help="The source's layout; found out by default.")
@click.option("--to", "target_layout", metavar="LAYOUT", help="The target's layout; the usual one of its format.")
@click.option("--dtype", metavar="DTYPE", help="float64, float32, float16 or bfloat16; kept by default.")
@click.option("--dry-run", is_flag=True, help="Check and report, write nothing.")
@force_option
@json_option
def convert(
    source: Path,
    target: Path,
    model: str,
    source_layout: str | None,
    target_layout: str | None,
    dtype: str | None,
    dry_run: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Port SOURCE into TARGET, whose suffix tells the format: .pth .pt .bin .pdparams .safetensors .npz.

    \b
    pit-port convert pit_b_820.pth pit_b.pdparams
    pit-port convert pit_b.pdparams pit_b.pth --to timm
    """
    from porting import convert as porting_convert
    from porting import render

    report = porting_convert.convert(
        source,
        target,
        model=None if model == "auto" else model,
        source_layout=source_layout,
        target_layout=target_layout,
        dtype=dtype,
        dry_run=dry_run,
        overwrite=force,
    )
    _print_json(render.convert_json(report)) if as_json else click.echo(render.convert_text(report))


@pit_port.command()
@click.argument("file", type=_FILE)
@json_option
def inspect(file: Path, as_json: bool) -> None:
    """Say what checkpoint FILE is: format, model, layout, tensors, and a digest of its content.

    The digest is the same for the same weights, whatever format and layout they are in.
    """
    from porting import render
    from porting.describe import describe

    description = describe(file)
    _print_json(render.describe_json(description)) if as_json else click.echo(render.describe_text(description))


@pit_port.command()
@click.argument("first", type=_FILE)
@click.argument("second", type=_FILE)
@json_option
def diff(first: Path, second: Path, as_json: bool) -> None:
    """Compare the weights of two checkpoints, tensor by tensor, in canonical form.

    Exits 0 when every tensor is bit-equal and 1 when one is not, naming the worst.
    """
    from alignment.diff import diff as diff_checkpoints

    result = diff_checkpoints(first, second)
    _print_json(result.to_json()) if as_json else click.echo(result.to_text())
    if not result.same:
        raise SystemExit(DIFFERENT)


@pit_port.command("list")
@json_option
def list_models(as_json: bool) -> None:
    """List the models and the layouts they can be read and written in."""
    from porting import render

    _print_json(render.list_json()) if as_json else click.echo(render.list_text())


@pit_port.command()
@click.argument("model")
@click.argument("target", type=_FILE)
@click.option("--to", "target_layout", metavar="LAYOUT", help="The target's layout; the usual one of its format.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0))
@click.option("--image-size", type=click.IntRange(min=1), help="Pixels; the published size by default.")
@click.option("--num-classes", type=click.IntRange(min=0), help="Columns of the head; the published count by default.")
@force_option
def random(
    model: str,
    target: Path,
    target_layout: str | None,
    seed: int,
    image_size: int | None,
    num_classes: int | None,
    force: bool,
) -> None:
    """Write random weights of MODEL in which every tensor matters, to try things out with.

    \b
    pit-port random pit_ti pit_ti.pth --seed 1
    """
    from porting.architectures import build
    from porting.convert import write_random

    architecture = build(model, image_size=image_size, num_classes=num_classes)
    written = write_random(architecture, target, layout=target_layout, seed=seed, overwrite=force)
    click.echo(f"{target}: {architecture.name}, {written.nbytes:,} bytes, random weights of seed {seed}")
