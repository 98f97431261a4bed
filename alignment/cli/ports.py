"""Commands of `pit-port` that compare or describe, and what its others do with a pair or rules of the user's own."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from alignment.cli.own_rules import own_options, own_rules
from porting.terminal.again import again
from porting.terminal.next_commands import after_inspect, port_of
from porting.terminal.options import NEEDS_PAIR, SOURCE, selection_of, selection_options
from porting.terminal.output import Output, output_options
from porting.terminal.tool import DIFFERENT, FILE, command_line

if TYPE_CHECKING:
    from alignment.cli.own_rules import OwnRules
    from alignment.running.differences import CheckpointDiff
    from alignment.running.verification import Verification
    from porting.conversion.report import ConvertReport


def command_to_verify(report: ConvertReport, own: OwnRules) -> str:
    """Return the command that verifies a port; empty where its models are not known, or are not the same function."""
    from porting.architectures import FAMILIES

    model = report.architecture
    published = model is not None and model.family in FAMILIES and model.name in FAMILIES[model.family].CONFIGS
    if report.cast_from or report.shards or not ((published and not report.changes) or own.pair):
        return ""
    pair = ["--pair", own.table.name] if own.pair and own.table else []
    return shlex.join(["pit-port", "verify", str(report.source), str(report.target), *pair])


def _after_diff(result: CheckpointDiff, *, own: bool) -> str:
    """Return the command that compares by a pair what are perhaps two models of the user's, whose names differ.

    Args:
        result: What was compared.
        own: Whether rules or a pair were given.
    """
    other_names = any((tensor.problem or "").startswith("only in the") for tensor in result.different)
    if own or not (result.by_name and other_names):
        return ""
    return again("diff", result.first, result.second, "--pair", "my_pair.py")


def show_plan(source: Path | str, own: OwnRules, side: str | None, where: dict[str, Any], output: Output) -> None:
    """Show which tensors of a checkpoint become which of the other side of a table, and how.

    Args:
        source: The checkpoint, or its address.
        own: The user's rules, with a table.
        side: The side that the checkpoint is; found by default.
        where: Where the weights are in it, as `open_checkpoint` takes it.
        output: Where the plan is shown.

    Raises:
        CheckpointError: The checkpoint cannot be read, or is no side of the table.
        RulesError: The rules do not map the two models onto each other.
    """
    from porting.by_rules import plan_by_rules
    from porting.checkpoint import open_checkpoint
    from porting.terminal.plan_table import table_json
    from porting.terminal.plans import rules_text

    assert own.table is not None  # noqa: S101 - what the options say
    with open_checkpoint(source, **where) as checkpoint:
        port = plan_by_rules(own.table, checkpoint, side=side)
    output.show(lambda: rules_text(port, folded=not output.verbose, width=output.width), lambda: table_json(port.plan))
    output.end(then=again("convert", source, port_of(source, checkpoint.format)))


def _after_verification(result: Verification, source: Path | str, target: Path | str, own: OwnRules) -> str:
    """The command that proves more than outputs, shows which tensors differ, or searches for what does."""
    if not result.tensors.same:
        return again("diff", source, target)
    if own.pair is None or own.table is None or result.source_side != "reference":
        return ""
    files = ["--weights", str(source), "--candidate-weights", str(target)]
    name = "all" if result.passed else "diagnose"
    return shlex.join(["pit-align", name, "--pair", own.table.name, *files])


def verify_port(
    source: Path | str,
    target: Path | str,
    where: dict[str, Any],
    out: Path | None,
    output: Output,
    own: OwnRules,
    converted: dict[str, Any] | None = None,
) -> None:
    """Verify a port and print the result; exit 1 when it is none.

    Args:
        source: The checkpoint that was ported, or its address.
        target: The port.
        where: Where the weights are in both, as `open_checkpoint` takes it.
        out: Folder of the evidence; None for the usual one.
        output: Where the result is shown.
        own: The user's pair, if there is one.
        converted: The JSON of the conversion before; the result becomes a part of it.
    """
    from alignment.processes.settings import Settings
    from alignment.running.verification import verify as run_both

    settings = Settings(pythons=own.pythons)
    with output.sides() as progress:
        result = run_both(
            source, target, out, settings, **where, pair=own.pair, progress=progress, command=command_line()
        )
    output.show(
        result.to_text,
        lambda: result.to_json() if converted is None else converted | {"verification": result.to_json()},
    )
    if output.verbose and not output.as_json:
        from alignment.report.terminal import print_report

        print_report(result.forward, output.console(), verbose=True)
    output.end(then=_after_verification(result, source, target, own))
    if not result.passed:
        raise SystemExit(DIFFERENT)


@click.command()
@click.argument("source", type=SOURCE)
@click.argument("target", type=SOURCE)
@selection_options
@own_options
@click.option("--out", type=FILE, help="Folder of the evidence; logs/<model>/ by default.")
@output_options(verbose="Show every quantity of the forward passes.")
def verify(source: Path | str, target: Path | str, out: Path | None, output: Output, **options: Any) -> None:
    """Verify that TARGET is a port of SOURCE: equal tensors, and equal outputs of the real models.

    SOURCE runs in torch, TARGET in the framework of its format, in float64 and float32; with --pair, each in the
    framework of its side. Exits 1 when they differ.

    \b
    pit-port verify pit_b.pth pit_b.pdparams
    pit-port verify pit_b.pth pit_b.ckpt --mindspore-python .venv-mindspore/bin/python
    pit-port verify bert.safetensors bert.pdparams --pair my_pair.py
    """
    if options["rules"] is not None:
        raise click.UsageError(NEEDS_PAIR)
    where = selection_of(options)
    verify_port(source, target, where, out, output, own_rules(options, output, out and out / "rules"))


@click.command()
@click.argument("file", type=SOURCE)
@selection_options
@own_options
@output_options(verbose="Print every tensor with its dtype and shape.")
def inspect(file: Path | str, output: Output, **where: Any) -> None:
    """Describe the checkpoint FILE: format, model, layout, tensors, and a digest of its content.

    The digest is the same for the same weights in any format and layout.

    \b
    pit-port inspect pit_b.pth
    pit-port inspect logs/train/last.pdparams --weights model -v
    pit-port inspect hf://timm/pit_b_224.in1k --json
    pit-port inspect bert.pdparams --rules bert.json
    """
    from porting.describe import describe
    from porting.terminal import models

    rules = own_rules(where, output).table
    with output.tensors() as progress:
        description = describe(file, **where, rules=rules, progress=progress)
    output.show(
        lambda: models.describe_text(description, verbose=output.verbose),
        lambda: models.describe_json(description, verbose=output.verbose),
    )
    output.end(then=after_inspect(description))


@click.command()
@click.argument("first", type=SOURCE)
@click.argument("second", type=SOURCE)
@selection_options
@own_options
@output_options(verbose="Print every tensor that differs, not only the worst.")
def diff(first: Path | str, second: Path | str, output: Output, **where: Any) -> None:
    """Compare the weights of two checkpoints, tensor by tensor, in canonical form.

    Exits 0 when every tensor is bit-equal, and 1 with the name of the worst when one is not.

    \b
    pit-port diff pit_b.pth pit_b.pdparams
    pit-port diff pit_b.pth pit_b.safetensors -q && echo same
    pit-port diff bert.safetensors bert.pdparams --rules bert.json
    """
    from alignment.running.differences import diff as diff_checkpoints

    rules = own_rules(where, output).table
    with output.tensors() as progress:
        result = diff_checkpoints(first, second, **where, rules=rules, progress=progress)
    output.show(lambda: result.to_text(verbose=output.verbose), result.to_json)
    output.end(then=_after_diff(result, own=rules is not None))
    if not result.same:
        raise SystemExit(DIFFERENT)
