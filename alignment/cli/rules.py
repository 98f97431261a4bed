"""The command of `pit-align` that shows which weights of a user's pair become which."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from alignment.cli.options import python_options, pythons_of
from porting.terminal.again import again
from porting.terminal.output import Output, output_options
from porting.terminal.tool import FILE, PAGE


@click.command()
@click.option("--pair", "declaration", metavar="FILE[:NAME]", required=True, help="A pair declared in a Python file.")
@click.option("--save", type=PAGE, metavar="RULES.json", help="Write them to a file, which the pair's rules may name.")
@click.option("--out", type=FILE, help="Where the sides write their logs; logs/<pair>-rules/ by default.")
@python_options
@output_options(verbose="Show every tensor, indices not folded.")
def rules(declaration: str, save: Path | None, out: Path | None, output: Output, **values: Any) -> None:
    """Show which weights of a pair become which, as derived from the modules of both sides; indices folded.

    What cannot be matched, or in several ways, is listed at once, and exits 3.

    \b
    pit-align rules --pair my_pair.py
    pit-align rules --pair my_pair.py --save my_rules.json
    """
    from alignment.pair import load_pair
    from alignment.processes.needs import require
    from alignment.processes.settings import Settings
    from alignment.rules.settle import settle
    from alignment.running.prepare import workspace
    from porting.terminal.plan_table import table_text, wrapped
    from porting.visible import lines_of

    pair = load_pair(declaration)
    if not pair.own:
        raise click.UsageError(f"{pair.name} is a published model; `pit-port plan` shows the rules of its layouts")
    settings = Settings(pythons=pythons_of(values))
    with workspace((out or Path("logs") / f"{pair.name}-rules").absolute()) as folder, output.sides() as progress:
        require(pair, settings)
        contract = settle(pair, folder, settings, progress).contract
    assert contract is not None  # noqa: S101 - what settling fills
    if save is not None:
        contract.write(save)
    head = f"{pair.name}: {pair.reference.framework} -> {pair.candidate.framework}, {contract.summary}"
    table, saved = contract.table, contract.saved

    def text() -> str:
        told = wrapped(lines_of(head, saved.proof, *filter(None, [saved.crosswise])), output.width)
        return f"{told}\n{table_text(table, folded=not output.verbose, width=output.width)}"

    output.show(text, contract.to_json)
    saving = f"{again('rules')} --save {shlex.quote(f'{pair.name}.json')}"
    output.end(wrote=[save] if save else [], then=again("all") if save else saving)
