"""What a shell is told when it asks to complete a word; nothing is loaded before it asks."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import click

from porting.checkpoint.addresses import as_source

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    ParamType = click.ParamType[Path | str]
else:
    ParamType = click.ParamType  # generic to type-checkers since click 8.2, and never before


class Source(ParamType):
    """A file, a folder, or an address on the hub."""

    name = "source"

    def convert(
        self, value: str | PathLike[str], param: click.Parameter | None, ctx: click.Context | None
    ) -> Path | str:
        """The path, or the address as it is; an empty word, as an unset variable leaves one, stands for neither."""
        if not value:
            self.fail("the name is empty; give a file, a folder or an address", param, ctx)
        return as_source(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Files."""
        from click.shell_completion import CompletionItem

        return [CompletionItem(incomplete, type="file")]


def complete_models(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The models."""
    from porting.architectures import NAMES

    return [name for name in NAMES if name.startswith(incomplete)]


def complete_layouts(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The layouts."""
    from porting.converters import layout_names

    return [name for name in layout_names() if name.startswith(incomplete)]
