"""The arguments of `pit-train`: overrides, PaddleViT's options, and the configuration that they give."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from porting.terminal.tool import COULD_NOT_RUN, Tool

if TYPE_CHECKING:
    from recipe.config import Config

_SINGLE_DASH = re.compile(r"-\w\w")
_OVERRIDE = re.compile(r"[a-z_]+\.[a-z_0-9]+=.*", re.DOTALL)


class TrainTool(Tool):
    """A group that also takes PaddleViT's documented command lines: `pit-train -cfg FILE -data_path D -eval`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments, after PaddleViT's are translated."""
        if args and _SINGLE_DASH.match(args[0]):
            args = self._translated(ctx, args)
        return super().parse_args(ctx, args)

    def _translated(self, ctx: click.Context, args: list[str]) -> list[str]:
        from recipe.errors import ConfigError

        try:
            from recipe.paddlevit import is_option, translate_arguments

            return _command(translate_arguments(args)) if is_option(args[0]) else args
        except ConfigError as error:
            raise click.UsageError(str(error), ctx) from None
        except ImportError as error:
            self.fail(ctx, str(error), COULD_NOT_RUN)


def _command(invocation: Any) -> list[str]:
    if invocation.config is None:
        raise click.UsageError("-cfg names no configuration file")
    for note in invocation.notes:
        click.echo(note, err=True)
    resume = ["--resume", invocation.resume] if invocation.resume and not invocation.evaluate else []
    return ["eval" if invocation.evaluate else "train", "--config", invocation.config, *resume, *invocation.overrides]


def config_option(required: bool = True) -> Callable[[Any], Any]:
    """Return the option `--config`."""
    return click.option(
        "--config",
        "source",
        required=required,
        metavar="FILE|NAME",
        help="A YAML file, PaddleViT's included, or a shipped configuration such as pit_b_224.",
    )


overrides_argument = click.argument("overrides", nargs=-1, metavar="[SECTION.KEY=VALUE]...")
"""Settings that override those of the file."""


def config_of(source: str, overrides: Sequence[str], note: Callable[[str], None] | None = None) -> Config:
    """Load the configuration; lines about settings of PaddleViT without effect go to `note`, or to standard error."""
    from recipe.loading import load

    return load(source, overrides, note=note or (lambda line: click.echo(line, err=True)))


def split_words(words: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Return the images and folders among these arguments, and the overrides.

    Raises:
        UsageError: There is no image.
    """
    overrides = [word for word in words if _OVERRIDE.fullmatch(word) and not Path(word).exists()]
    images = [Path(word) for word in words if word not in overrides]
    if not images:
        raise click.UsageError("name images or folders of images to classify")
    return images, overrides
