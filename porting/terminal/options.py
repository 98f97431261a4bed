"""Options for the source, its weights and the changes to the model, with the shell completion of their values."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from porting.checkpoint.addresses import as_source
from porting.terminal.tool import FILE, options

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from porting.saved_rules import SavedTable
    from porting.surgery import Surgery

    ParamType = click.ParamType[Path | str]
else:
    ParamType = click.ParamType  # generic to type-checkers since click 8.2, and never before


class Source(ParamType):
    """A file, a folder, or an address on the hub."""

    name = "source"

    def convert(
        self, value: str | PathLike[str], param: click.Parameter | None, ctx: click.Context | None
    ) -> Path | str:
        """Return the path, or the address as it is; an empty word, such as an unset variable, is refused."""
        if not value:
            self.fail("the name is empty; give a file, a folder or an address", param, ctx)
        return as_source(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Complete file names as the shell does."""
        from click.shell_completion import CompletionItem

        return [CompletionItem(incomplete, type="file")]


def complete_models(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete names of models."""
    from porting.architectures import NAMES

    return [name for name in NAMES if name.startswith(incomplete)]


def complete_layouts(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete names of layouts."""
    from porting.converters import layout_names

    return [name for name in layout_names() if name.startswith(incomplete)]


SOURCE = Source()
"""A file, a folder, or an address on the hub."""
weights_option = click.option(
    "--weights",
    type=click.Choice(["model", "ema"]),
    help="Weights of a training checkpoint; the EMA by default.",
)
selection_options = options(
    weights_option,
    click.option(
        "--key", metavar="PATH", help="Keys that lead to the weights in the file, such as state_dict.generator."
    ),
    click.option("--prefix", metavar="PREFIX", help="Take only tensors whose names begin so, and take it off."),
    click.option(
        "--ignore",
        multiple=True,
        metavar="PATTERN",
        help="Leave out tensors of this name, or with it as a whole part; * stands for any text. Repeatable.",
    ),
)
"""Where the weights are in the source; the commands take these as `where`."""
model_options = options(
    click.option(
        "--model",
        default="auto",
        shell_complete=complete_models,
        help="The model; found from names and shapes by default.",
    ),
    click.option(
        "--from",
        "source_layout",
        metavar="LAYOUT",
        shell_complete=complete_layouts,
        help="The source's layout; found from names and shapes by default.",
    ),
    selection_options,
)
"""Model, layout and weights of the source."""
to_option = click.option(
    "--to",
    "target_layout",
    metavar="LAYOUT",
    shell_complete=complete_layouts,
    help="The target's layout; by default the usual one of its format.",
)
"""Layout of the target."""
surgery_options = options(
    click.option(
        "--image-size", type=click.IntRange(min=1), help="Resize the position embedding for this size, pixels."
    ),
    click.option(
        "--num-classes",
        type=click.IntRange(min=0),
        help="Put in a new head of so many classes; 0 drops the head.",
    ),
    click.option("--drop-head-dist", is_flag=True, help="Make a plain model of a distilled one."),
    click.option("--head-seed", type=click.IntRange(min=0), help="Seed of a new head's weights; 0 by default."),
)
"""Changes to the model on its way; none by default."""


rules_options = options(
    click.option(
        "--rules",
        type=FILE,
        metavar="RULES.json",
        help="Rules between two models of your own, as `pit-align rules --save` writes them.",
    ),
    click.option(
        "--allow-code",
        multiple=True,
        metavar="MODULE",
        help="A module that may be imported for operations of your own in the rules. Repeatable.",
    ),
)
"""Rules of the user's own; the commands take them with `rules_of`."""


def rules_of(values: dict[str, Any]) -> SavedTable | None:
    """Take the values of `rules_options` out of those of a command; None without rules.

    Raises:
        RulesError: The file cannot be read, or a row of it does not fit.
        UsageError: Code is allowed, and there are no rules.
    """
    path, allowed = values.pop("rules"), values.pop("allow_code")
    if path is None:
        if allowed:
            raise click.UsageError("--allow-code is for operations in a file of rules: give --rules RULES.json too")
        return None
    from porting.saved_rules import read_table

    if allowed:
        sys.path += [str(Path(path).absolute().parent), str(Path.cwd())]
    return read_table(path, allowed=allowed)


NEEDS_PAIR = "rules alone do not say how the models are built, which verifying runs: give --pair FILE instead"


def refuse_with_rules(**values: Any) -> None:
    """Refuse options of published models beside rules of the user's own.

    Raises:
        UsageError: One of them has a value.
    """
    options = [f"--{name.replace('_', '-')}" for name, value in values.items() if value]
    if options:
        raise click.UsageError(f"{', '.join(options)} is for published models, not for rules of your own: leave it out")


def selection_of(values: dict[str, Any]) -> dict[str, Any]:
    """Take the values of `selection_options` out of those of a command, as arguments of `open_checkpoint`."""
    return {name: values.pop(name) for name in ("weights", "key", "prefix", "ignore")}


def is_own(values: dict[str, Any], **published: Any) -> bool:
    """Whether the options name rules or a pair of the user's own; other options of published models are then refused.

    Args:
        values: The values of all options of a command.
        published: Values of further options that are for published models only.

    Raises:
        UsageError: One of them has a value beside rules or a pair.
    """
    if not (values["rules"] or values["pair"]):
        return False
    refuse_with_rules(**published, **{name: values[name] for name in _SURGERY if name in values})
    return True


_SURGERY = ("image_size", "num_classes", "drop_head_dist", "head_seed")


def surgery_of(values: dict[str, Any]) -> Surgery:
    """Return the changes that the options ask for."""
    from porting.surgery import Surgery

    size = values["image_size"]
    return Surgery(
        (size, size) if size else None, values["num_classes"], values["drop_head_dist"], values["head_seed"] or 0
    )


def require_effect(options: Mapping[str, Any], *, settings: bool, unproven: bool) -> None:
    """Refuse options of a conversion that would change nothing.

    Args:
        options: `rules` and `pair` of the command.
        settings: Settings of an optimizer were given for a conversion without one.
        unproven: Rules that are not proven are wanted.

    Raises:
        click.UsageError: One changes nothing.
    """
    if settings:
        raise click.UsageError("--optimizer-setting is for --with-optimizer")
    if unproven and not (options["rules"] or options["pair"]):
        raise click.UsageError("--unproven is for --rules and --pair: those of published models are proven")


def require_verifiable(source_layout: str | None, values: dict[str, Any], *, changes: bool) -> None:
    """Refuse, before anything is written, a port that could not be verified.

    Args:
        source_layout: The layout that the user names.
        values: The values of all other options.
        changes: Whether numbers change, or nothing is written.

    Raises:
        UsageError: The options change the model or its numbers, nothing is written, no model loads the source, or rules
            alone do not say what to run.
    """
    from porting.converters import MISTAKES

    if values["rules"] and not values["pair"]:
        raise click.UsageError(NEEDS_PAIR)
    if changes or any(values.get(name) for name in _SURGERY):
        raise click.UsageError("--verify proves equal weights: leave out --dry-run, --dtype and changes to the model")
    if any(source_layout in tables for tables in MISTAKES.values()):
        raise click.UsageError(f"--verify runs the source too, and no model loads layout {source_layout}: leave it out")


def settings_of(texts: tuple[str, ...]) -> dict[str, float | tuple[float, float]]:
    """Return the settings of AdamW from `--optimizer-setting NAME=VALUE`; what reads them is imported only then.

    Raises:
        UnknownNameError: There is no such setting.
        PlanError: A value is no number.
    """
    if not texts:
        return {}
    from porting.training_state.runs import parse_settings

    return dict(parse_settings(texts))
