"""Options of `pit-port` for models of the user's own: a file of rules, or a pair, of which they are derived."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from alignment.cli.options import python_options, pythons_of
from porting.terminal.options import rules_of, rules_options
from porting.terminal.output import Output
from porting.terminal.tool import options

if TYPE_CHECKING:
    from alignment.pair import Pair
    from porting.saved_rules import SavedTable

own_options = options(
    rules_options,
    click.option(
        "--pair",
        metavar="FILE[:NAME]",
        help="A pair declared in a Python file instead: its rules are derived, or those that it names are taken.",
    ),
    python_options,
)
"""Rules of the user's own, and what they are derived with; the commands take them with `own_rules`."""


class OwnRules(NamedTuple):
    """Rules between two models of the user's.

    Attributes:
        table: The rules; None for a published model.
        pair: The models, their rules settled; None where the rules came from a file alone.
        pythons: Framework to interpreter, for those that are named.
    """

    table: SavedTable | None
    pair: Pair | None
    pythons: dict[str, str]


def require_one_of(values: dict[str, Any]) -> None:
    """Refuse both rules and a pair.

    Raises:
        UsageError: Both are given.
    """
    if values["pair"] is not None and values["rules"] is not None:
        raise click.UsageError("give either --rules or --pair: a pair may name its file of rules itself")


def own_rules(values: dict[str, Any], output: Output, out: Path | None = None) -> OwnRules:
    """Take the values of `own_options` out of those of a command, and settle the rules of a pair.

    Args:
        values: The values of all options; those of `own_options` are taken out.
        output: Shows the progress.
        out: Folder for the logs of the two models; logs/<pair>-rules/ by default.

    Raises:
        RulesError: The file of rules cannot be read, or a row of it does not fit.
        AlignmentError: The pair cannot be loaded, or its rules cannot be settled.
        UsageError: Both rules and a pair are given, or the pair is a published model.
    """
    declaration, pythons = values.pop("pair"), pythons_of(values)
    if declaration is None:
        return OwnRules(rules_of(values), None, pythons)
    require_one_of({**values, "pair": declaration})
    rules_of(values)
    pair = _settled(declaration, pythons, output, out)
    return OwnRules(_table(pair, declaration), pair, pythons)


def _settled(declaration: str, pythons: dict[str, str], output: Output, out: Path | None) -> Pair:
    from alignment.pair import load_pair
    from alignment.processes.needs import require
    from alignment.processes.settings import Settings
    from alignment.rules.settle import settle
    from alignment.running.prepare import workspace

    pair = load_pair(declaration)
    if not pair.own:
        raise click.UsageError(f"{pair.name} is a published model, which is known without --pair")
    folder = (out or Path("logs") / f"{pair.name}-rules").absolute()
    settings = Settings(pythons=pythons)
    with workspace(folder), output.sides() as progress:
        require(pair, settings)
        return settle(pair, folder, settings, progress)


def _table(pair: Pair, declaration: str) -> SavedTable:
    from dataclasses import replace

    assert pair.contract is not None  # noqa: S101 - what settling fills
    return replace(pair.contract.saved, name=declaration)
