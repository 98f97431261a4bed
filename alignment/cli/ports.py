"""The parts of `pit-port`'s commands that take a pair or rules of the user's own: a plan, and a verification."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from porting.terminal.again import again
from porting.terminal.next_commands import port_of
from porting.terminal.output import Output
from porting.terminal.tool import DIFFERENT, command_line

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


def after_diff(result: CheckpointDiff, *, own: bool) -> str:
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
    from alignment.running.verification import verify

    settings = Settings(pythons=own.pythons)
    with output.sides() as progress:
        result = verify(
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
