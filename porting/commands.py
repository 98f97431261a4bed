"""Commands of `pit-port` about rules; the others are in `cli`."""

from __future__ import annotations

from pathlib import Path

import click

from porting.output import Output, output_options
from porting.tool import DIFFERENT, FILE


@click.command("check-rules")
@click.argument("files", nargs=-1, type=FILE, metavar="[FILE]...")
@output_options(verbose="Name the models that each table was held against.")
def check_rules(files: tuple[Path, ...], output: Output) -> None:
    """Check the tables of rules that Python FILEs declare, or those of the toolkit: what pre-commit runs.

    No two rules may take or give the same name, each must be invertible, and every tensor of each
    porting.Architecture in the file must be taken once and found again on the way back. The files are run.
    Exits 1 when a table is wrong.

    \b
    pit-port check-rules my_rules.py
    pit-port check-rules
    """
    from dataclasses import asdict

    from porting.checking import check_file, check_shipped

    found = [each for file in files for each in check_file(file)] if files else list(check_shipped())

    def text() -> str:
        lines = []
        for each in found:
            models = ", ".join(each.models) if output.verbose else f"models: {len(each.models)}"
            against = models if each.models else "patterns alone, for want of an Architecture"
            lines.append(f"{each.name}: {'WRONG' if each.problems else 'sound'}; rules: {each.rules}, {against}")
            lines += [f"  {problem}" for problem in each.problems]
        return "\n".join(lines)

    output.show(text, lambda: [asdict(each) for each in found])
    if any(each.problems for each in found):
        raise SystemExit(DIFFERENT)
