"""The options that say which weights of which checkpoint are meant, and what is to become of the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from porting.terminal.completion import Source, complete_layouts, complete_models
from porting.terminal.tool import options

if TYPE_CHECKING:
    from porting.surgery import Surgery


SOURCE = Source()
"""A file, a folder, or an address on the hub."""
weights_option = click.option(
    "--weights", type=click.Choice(["model", "ema"]), help="Which of a training checkpoint's; its EMA by default."
)
model_options = options(
    click.option(
        "--model",
        default="auto",
        shell_complete=complete_models,
        help="The model; found out from names and shapes by default.",
    ),
    click.option(
        "--from",
        "source_layout",
        metavar="LAYOUT",
        shell_complete=complete_layouts,
        help="The source's layout; found out by default.",
    ),
    weights_option,
)
"""What the source is."""
to_option = click.option(
    "--to",
    "target_layout",
    metavar="LAYOUT",
    shell_complete=complete_layouts,
    help="The target's layout; the usual one of its format.",
)
"""What the target shall be."""
surgery_options = options(
    click.option(
        "--image-size", type=click.IntRange(min=1), help="Resize the position embedding for this size, pixels."
    ),
    click.option(
        "--num-classes", type=click.IntRange(min=0), help="Start the head afresh with so many classes; 0 drops it."
    ),
    click.option("--drop-head-dist", is_flag=True, help="Make a plain model of a distilled one."),
    click.option("--head-seed", type=click.IntRange(min=0), help="Seed of a fresh head's weights; 0 by default."),
)
"""Changes to the model on its way; none unless asked for."""


def surgery_of(values: dict[str, Any]) -> Surgery:
    """The changes that the options stand for."""
    from porting.surgery import Surgery

    size = values["image_size"]
    return Surgery(
        (size, size) if size else None, values["num_classes"], values["drop_head_dist"], values["head_seed"] or 0
    )


def require_verifiable(source_layout: str | None, *, changes: bool) -> None:
    """Say before anything is written that a port could not be verified.

    Raises:
        UsageError: The model or its numbers are to be changed, or nothing is written, or no model loads the source.
    """
    from porting.converters import MISTAKES

    if changes:
        raise click.UsageError("--verify proves equal weights: leave out --dry-run, --dtype and changes to the model")
    if any(source_layout in tables for tables in MISTAKES.values()):
        raise click.UsageError(f"--verify runs the source too, and no model loads layout {source_layout}: leave it out")
