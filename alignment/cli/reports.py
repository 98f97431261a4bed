"""The commands of `pit-align` that show reports and gate on them.

Everything heavy is imported by the command that needs it, so `--help` loads no framework.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from alignment.cli.endings import gating
from alignment.cli.options import (
    candidate_option,
    dtype_option,
    python_options,
    pythons_of,
    settings_of,
    size_options,
    trial_options,
)
from porting.terminal.options import complete_models
from porting.terminal.output import Output, output_options
from porting.terminal.tool import DIFFERENT, FILE, PAGE, command_line, force_option

if TYPE_CHECKING:
    from alignment.results.report import Report
    from alignment.running.matrix import Result

html_option = click.option("--html", type=PAGE, metavar="FILE", help="Write the report as one HTML page, too.")
EVERY_QUANTITY = "Show every quantity, not only the worst."


def show(
    reports: Sequence[Report],
    output: Output,
    *,
    html: Path | None = None,
    folders: Sequence[Path] = (),
    quantities: Sequence[str] = (),
    diagnoses: Sequence[Path] = (),
) -> bool:
    """Print reports, as a JSON list where they are several.

    Args:
        reports: What to show.
        output: How to print them.
        html: File for the page; None writes none.
        folders: The folder of each report, with its recordings if they are kept, for the page.
        quantities: Keys whose errors the page shows element by element, as shell patterns; chosen by default.
        diagnoses: Files of bisections, shown in the page with the report of their model.

    Returns:
        Whether one of them diverges.
    """
    from alignment.report.terminal import print_report
    from alignment.results.report import DIVERGENCE, dumps
    from porting.fields import encode
    from porting.visible import harmless

    if html is not None:
        write_page(reports, html, output, folders, quantities, diagnoses)
    if output.as_json:
        several = len(reports) > 1
        text = json.dumps(encode(list(reports)), indent=2) if several else dumps(reports[0]).rstrip("\n")
        click.echo(harmless(text))
    else:
        for number, report in enumerate(reports):
            if number and not output.quiet:
                click.echo()
            print_report(report, output.console(), verbose=output.verbose)
    return any(report.verdict == DIVERGENCE for report in reports)


def write_page(
    reports: Sequence[Report],
    html: Path,
    output: Output,
    folders: Sequence[Path],
    quantities: Sequence[str] = (),
    diagnoses: Sequence[Path] = (),
) -> None:
    """Write the page about reports; arguments as those of `show`."""
    from alignment.report.details import collect, diagnosis_of
    from alignment.report.html import write_html

    with output.waiting("writing the page"):
        by_model = diagnosis_of(diagnoses, reports)
        details = [
            collect(report, folder, quantities, by_model.get(report.model))
            for report, folder in zip(reports, folders, strict=True)
        ]
        write_html(reports, html, details=details)
    for note in (note for shown in details for note in shown.unread):
        output.note(note)


@click.command()
@click.argument("files", nargs=-1, required=True, type=FILE, metavar="REPORT...")
@html_option
@click.option(
    "--diagnosis",
    "diagnoses",
    multiple=True,
    type=FILE,
    metavar="FILE",
    help="A bisection.json of bisect or diagnose, shown in the page with the report of its model.",
)
@click.option(
    "--quantity",
    "quantities",
    multiple=True,
    metavar="KEY",
    help="Show how the errors of this quantity's elements are distributed; a pattern as in a shell.",
)
@output_options(verbose=EVERY_QUANTITY)
def report(
    files: tuple[Path, ...],
    html: Path | None,
    diagnoses: tuple[Path, ...],
    quantities: tuple[str, ...],
    output: Output,
) -> None:
    """Show every REPORT again, and write one HTML page about all of them; exit 1 if one says divergence.

    If the recordings of a run lie beside its report, the page also shows how the errors of single elements are
    distributed, the elements that differ most, and the curves of training.

    \b
    pit-align report logs/pit_ti/report.json --html pit_ti.html
    pit-align report logs/*/report.json --html all.html
    pit-align report logs/pit_ti/report.json --html pit_ti.html --quantity 'bp/gradient/head.*'
    pit-align report logs/pit_ti/report.json --html pit_ti.html --diagnosis logs/pit_ti-diagnose/bisection.json
    """
    from alignment.errors import NothingComparedError
    from alignment.results.report import read_report

    if (diagnoses or quantities) and html is None:
        raise click.UsageError("--diagnosis and --quantity are for the page: give --html FILE, too")
    reports = [read_report(path) for path in files]
    for file, shown in zip(files, reports, strict=True):
        if not shown.rows:
            raise NothingComparedError(f"{file}: nothing was compared: the report has no rows; run the alignment again")
    folders = [file.parent for file in files]
    diverges = show(reports, output, html=html, folders=folders, quantities=quantities, diagnoses=diagnoses)
    page = shlex.join(["pit-align", "report", *map(str, files), "--html", f"{files[0].absolute().parent.name}.html"])
    after = "" if diverges else gating(files)
    output.end(wrote=[html] if html else [], then=after if html else page)
    if diverges:
        raise SystemExit(DIFFERENT)


@click.command()
@click.argument("files", nargs=-1, required=True, type=FILE, metavar="REPORT...")
@click.option("--config", type=FILE, help="The reviewed thresholds; pit-align.toml or [tool.pit-align] by default.")
@click.option(
    "--against",
    multiple=True,
    type=FILE,
    metavar="BASELINE",
    help="An earlier report of the same model: fail if a margin is much larger than there. Repeat for several models.",
)
@click.option("--junit", type=PAGE, metavar="FILE", help="Write JUnit XML.")
@click.option("--markdown", type=PAGE, metavar="FILE", help="Write Markdown.")
@click.option("--github", is_flag=True, help="Annotate the job on GitHub, and append to its summary.")
@click.option("--init", is_flag=True, help="Write the configuration from these reports instead.")
@force_option
@output_options(verbose="Show every failure and every waiver, not only the first.")
def gate(files: tuple[Path, ...], config: Path | None, init: bool, force: bool, output: Output, **outputs: Any) -> None:
    """Compare every REPORT with reviewed thresholds; exit 1 if one is exceeded.

    \b
    pit-align gate logs/pit_ti/report.json --init
    pit-align gate logs/*/report.json --junit gate.xml --github
    pit-align gate logs/pit_ti/report.json --against baselines/pit_ti.json
    """
    from alignment.gating.outputs import passed, to_json
    from alignment.gating.reports import hold, publish
    from alignment.gating.terminal import print_gate
    from porting.visible import harmless

    if init:
        _init(files, config, force, output)
        return
    outcomes = hold(files, config, outputs.pop("against"))
    lines = list(publish(outcomes, **outputs))
    if output.as_json:
        click.echo(harmless(json.dumps(to_json(outcomes), indent=2)))
    else:
        for outcome in outcomes:
            name = outcome.name if len(outcomes) > 1 else ""
            print_gate(outcome.result, output.console(), name=name, verbose=output.verbose)
    for line in lines:
        click.echo(line, err=output.as_json)
    if not passed(outcomes):
        failed = [str(file) for file, outcome in zip(files, outcomes, strict=True) if not outcome.result.passed]
        output.end(then=shlex.join(["pit-align", "report", *failed]))
        raise SystemExit(DIFFERENT)


def _init(files: tuple[Path, ...], config: Path | None, force: bool, output: Output) -> None:
    from alignment.gating.config import CONFIG
    from alignment.gating.init import write_config
    from alignment.results.report import read_report

    path = config or Path(CONFIG)
    limits = write_config([read_report(file) for file in files], path, force=force)
    source = f"{len(files)} report{'' if len(files) == 1 else 's'}"
    text = f"{path}: written from {source}; review it and commit it"
    if not limits:
        text += (
            "; it sets no limits, since no row has an error to limit: verdicts and what is required are all it holds"
        )
    output.show(lambda: text, lambda: {"written": str(path), "reports": len(files), "thresholds": limits})
    output.end(then=shlex.join(["pit-align", "gate", *map(str, files), *(["--config", str(path)] if config else [])]))


@click.command()
@candidate_option("The framework that ports run in.")
@python_options
@click.option(
    "--survey", "measures", is_flag=True, help="Measure the candidate's layers against torch's, as the docs have them."
)
@click.option("--group", "groups", multiple=True, help="With --survey: these kinds of layers only, such as Pooling.")
@output_options(verbose="Show the problems of frameworks that are not needed, too.")
def doctor(candidate: str, output: Output, measures: bool, groups: tuple[str, ...], **values: Any) -> None:
    """Show what every interpreter has, what is missing, and how to install it; exit 1 if it is needed.

    With --survey it says instead which layers, functions and optimizers of the candidate's framework do otherwise here
    than is recorded in docs/framework-differences.md; exit 1 if one does.

    \b
    pit-align doctor
    pit-align doctor --survey --group Pooling
    pit-align doctor --survey --candidate mindspore --mindspore-python ~/mindspore/bin/python
    pit-align doctor --torch-python ~/torch/bin/python --paddle-python ~/paddle/bin/python
    """
    if groups and not measures:
        raise click.UsageError("--group is for --survey")
    if measures:
        return _survey(pythons_of(values), groups, candidate, output)

    from alignment.processes.doctor import examine_all, healthy
    from alignment.report.doctor import print_doctor, to_json

    with output.waiting("asking the interpreters"):
        environments = examine_all(pythons_of(values), ("torch", candidate))
    output.show(
        lambda: print_doctor(environments, output.console(), verbose=output.verbose), lambda: to_json(environments)
    )
    if not healthy(environments):
        raise SystemExit(DIFFERENT)
    return None


def _survey(pythons: Mapping[str, str], groups: Sequence[str], framework: str, output: Output) -> None:
    """Print what the survey finds, and exit with 1 if it is not what is recorded."""
    from alignment.processes.survey import survey

    with output.waiting("measuring layers of both frameworks"):
        python = pythons.get("paddle" if framework == "paddle" else "torch") or sys.executable
        result = survey(python, groups, framework, mindspore_python=pythons.get("mindspore"))
    versions = (
        result.versions if result.versions == result.recorded else f"{result.versions}; recorded: {result.recorded}"
    )
    lines = [f"{len(result.changes)} of {result.cases} cases are not as recorded ({versions})", *result.changes]
    output.show(lambda: "\n".join(lines), lambda: asdict(result))
    if result.changes:
        raise SystemExit(DIFFERENT)


@click.command()
@click.argument("models", nargs=-1, metavar="[MODEL]...", shell_complete=complete_models)
@click.option("--step", "steps", multiple=True, help="A check point; all by default. Repeat for several.")
@size_options
@trial_options
@dtype_option("both", half=True)
@click.option(
    "--out", type=FILE, default=Path("logs/matrix"), show_default=True, help="Where to write, a folder a model."
)
@click.option("--shard", metavar="I/N", help="Run the I-th of N parts of the models only, for as many machines.")
@click.option("--fresh", is_flag=True, help="Run again what has passed and has not changed.")
@click.option("--keep", is_flag=True, help="Keep recordings and weights, which take gigabytes.")
@html_option
@output_options(verbose="Show every model's report, too.")
def matrix(models: tuple[str, ...], html: Path | None, output: Output, out: Path, **values: Any) -> None:
    """Align many MODELs, as in a shell ('pit_*'), all by default, and report on them together.

    What has passed before and has not changed is not run again. A model that cannot run does not stop the others.

    \b
    pit-align matrix --html matrix.html
    pit-align matrix 'pit_*' deit_base --step forward --step bp --dtype both
    pit-align matrix --shard 2/3 --out logs/matrix
    """
    from alignment.report.terminal import print_matrix
    from alignment.running import matrix as matrices

    form = {name: values.pop(name) for name in ("image_size", "num_classes", "candidate")}
    shard, fresh, keep = (values.pop(name) for name in ("shard", "fresh", "keep"))
    chosen = matrices.chosen(models, form)
    chosen = chosen if shard is None else matrices.shard(chosen, shard, form)
    plan = matrices.Matrix(chosen, settings_of(values.pop("steps"), values), form, keep=keep, fresh=fresh)
    with output.sides() as progress:
        results = matrices.align_all(plan, out, progress=progress, announce=output.note, command=command_line())
    if html is not None:
        from alignment.report.html import write_html

        missing = [result for result in results if result.report is None]
        problems, skipped = (
            {result.model: result.problem for result in missing if result.applies is applies}
            for applies in (True, False)
        )
        reports = [result.report for result in results if result.report is not None]
        write_html(reports, html, problems=problems, skipped=skipped)
    output.show(
        lambda: print_matrix(results, output.console(), verbose=output.verbose), lambda: matrices.to_json(results)
    )
    output.end(wrote=[out / matrices.SUMMARY_FILE, *([html] if html else [])], then=_after_matrix(results, out))
    if code := matrices.exit_code(results):
        raise SystemExit(code)


def _after_matrix(results: Sequence[Result], out: Path) -> str:
    """The command that shows the first model that does not pass, or gates on all."""
    from alignment.results.report import DIVERGENCE

    reports = [result for result in results if result.report is not None]
    bad = [result for result in reports if result.report is not None and result.report.verdict == DIVERGENCE]
    if bad:
        return shlex.join(["pit-align", "report", str(out / bad[0].model / "report.json")])
    return f"pit-align gate {shlex.quote(str(out))}/*/report.json" if reports else ""
