"""Commands of `pit-port` for models and rules; those for files are in `cli`."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from porting.terminal.next_commands import port_of
from porting.terminal.options import complete_models, to_option
from porting.terminal.output import Output, output_options
from porting.terminal.tool import DIFFERENT, FILE, force_option


@click.command("check-rules")
@click.argument("files", nargs=-1, type=FILE, metavar="[FILE]...")
@output_options(verbose="Print the models that each table was checked against.")
def check_rules(files: tuple[Path, ...], output: Output) -> None:
    """Check the tables of rules in Python FILEs, or those of the toolkit; pre-commit runs this.

    No two rules may take or give the same name, every rule must have an inverse, and every tensor of every
    porting.Architecture in the file must be taken once and be filled again on the way back. The files are run.
    Exits 1 when a table is wrong.

    \b
    pit-port check-rules my_rules.py
    pit-port check-rules
    """
    from dataclasses import asdict

    from porting.checking import check_file, check_shipped

    results = [table for file in files for table in check_file(file)] if files else list(check_shipped())

    def text() -> str:
        lines = []
        for table in results:
            models = ", ".join(table.models) if output.verbose else f"models: {len(table.models)}"
            against = models if table.models else "patterns alone, for want of an Architecture"
            lines.append(f"{table.name}: {'WRONG' if table.problems else 'sound'}; rules: {table.rules}, {against}")
            lines += [f"  {problem}" for problem in table.problems]
        return "\n".join(lines)

    output.show(text, lambda: [asdict(table) for table in results])
    if any(table.problems for table in results):
        raise SystemExit(DIFFERENT)


@click.command("list")
@output_options(verbose="Print the published accuracies of every model, with their sources.")
def list_models(output: Output) -> None:
    """List the models with their parameters and multiply-accumulates, and the layouts they are read and written in.

    \b
    pit-port list
    pit-port list -v
    pit-port list --json
    """
    from porting.terminal import models

    output.show(lambda: models.list_text(verbose=output.verbose), models.list_json)


@click.command()
@click.argument("model", shell_complete=complete_models)
@click.argument("target", type=FILE)
@to_option
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0))
@click.option("--image-size", type=click.IntRange(min=1), help="Pixels; the published size by default.")
@click.option("--num-classes", type=click.IntRange(min=0), help="Columns of the head; the published count by default.")
@force_option
@output_options(as_json=False)
def random(
    model: str,
    target: Path,
    target_layout: str | None,
    seed: int,
    image_size: int | None,
    num_classes: int | None,
    force: bool,
    output: Output,
) -> None:
    """Write random weights of MODEL for trials; every tensor in them affects the output.

    \b
    pit-port random pit_ti pit_ti.pth --seed 1
    """
    from porting.architectures import build
    from porting.conversion import write_random
    from porting.visible import visible

    architecture = build(model, image_size=image_size, num_classes=num_classes)
    with output.waiting(f"writing {target}"):
        written = write_random(architecture, target, layout=target_layout, seed=seed, overwrite=force)
    if not output.quiet:
        click.echo(
            f"{visible(str(target))}: {architecture.name}, {written.nbytes:,} bytes, random weights of seed {seed}"
        )
    output.end(then=shlex.join(["pit-port", "convert", str(target), port_of(target, "")]))
