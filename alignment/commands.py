"""The commands of `pit-align`: words in, calls out, exit codes.

Everything heavy is imported by the command that needs it, so `--help` loads no framework.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from alignment.commands_evidence import bisect, diagnose, selftest
from alignment.commands_reports import doctor, gate, html_option, matrix, report, show
from alignment.options import (
    candidate_weights_option,
    pair_of,
    pair_options,
    recipe_options,
    settings_of,
    training_of,
)
from alignment.training.commands import TRAINING_COMMANDS
from porting.tool import FILE, Tool, command_line, json_option, tool_options, verbose_option


@click.group(cls=Tool, context_settings={"help_option_names": ["-h", "--help"]})
@tool_options
def pit_align(debug: bool) -> None:
    """Prove that a model and its port compute the same thing, and gate on it.

    \b
    pit-align all --model pit_ti --dtype both
    pit-align all --model pit_b --weights pit_b.pth --candidate-weights pit_b.pdparams
    pit-align gate logs/pit_ti/report.json --config pit-align.toml
    pit-align matrix 'pit_*' --html matrix.html
    pit-align doctor
    """


def _step_command(name: str, steps: tuple[str, ...], text: str) -> None:
    """Add a command that aligns these steps; none stands for all."""

    @pit_align.command(name, help=text)
    @pair_options
    @candidate_weights_option
    @verbose_option
    @html_option
    @json_option
    def run(out: Path | None, verbose: bool, html: Path | None, as_json: bool, **given: Any) -> None:
        from alignment.report.progress import showing_progress
        from alignment.run import align

        pair = pair_of(given)
        settings = settings_of(steps, given)
        with showing_progress() as progress:
            found = align(pair, out or Path("logs") / pair.name, settings, progress=progress, command=command_line())
        show([found], as_json=as_json, verbose=verbose, html=html)


_step_command("forward", ("forward",), "Align the logits, every stage and the parameters.")
_step_command("metric", ("metric",), "Align top-1 and top-5 accuracy, and the classes that each side predicts.")
_step_command("loss", ("loss",), "Align cross entropy, label smoothing and soft-target cross entropy.")
_step_command("bp", ("bp",), "Align the gradients of every parameter and the input, and the losses of the next steps.")
_step_command("batchnorm", ("batchnorm",), "Align one step in training mode, and the running statistics after it.")
_step_command("all", (), "Align all steps, one process a framework, both at the same time.")
for _command in (*TRAINING_COMMANDS, bisect, diagnose, selftest):
    pit_align.add_command(_command)


@pit_align.command()
@click.argument("step")
@click.option("--backend", required=True, help="The framework whose side is run: torch, paddle, mindspore.")
@pair_options
@recipe_options
def record(step: str, backend: str, out: Path | None, **given: Any) -> None:
    """Run one side of STEP alone, to be compared elsewhere: a step, all, or training for all of training.

    \b
    pit-align record forward --backend torch --model pit_ti --device gpu --out torch-side
    pit-align record train --backend torch --model pit_ti --dtype float64 --data photographs --out torch-side
    """
    from alignment.report.progress import showing_progress
    from alignment.run import record as record_side
    from alignment.steps.training import TRAINING_STEPS
    from alignment.training.run import Training
    from alignment.training.run import record as record_training

    pair = pair_of(given)
    folder, role = out or Path("logs") / f"{pair.name}-{backend}", pair.role_of(backend)
    of_training = step == "training" or step in TRAINING_STEPS
    training = training_of((step,) if step in TRAINING_STEPS else (), given)
    if not of_training and training != Training():
        raise click.UsageError("--config, --set, --steps, --data and --teacher are for the check points of training")
    settings = settings_of(() if of_training or step == "all" else (step,), given)
    with showing_progress() as progress:
        if of_training:
            written = record_training(pair, role, folder, training, settings, progress=progress, command=command_line())
        else:
            written = record_side(pair, role, folder, settings, progress=progress, command=command_line())
    for path in written:
        click.echo(path)


@pit_align.command()
@click.argument("reference", type=FILE)
@click.argument("candidate", type=FILE)
@click.option(
    "--atol", multiple=True, metavar="[KEY:]VALUE", help="Absolute tolerance, for keys of this pattern or all."
)
@click.option("--rtol", multiple=True, metavar="[KEY:]VALUE", help="Relative tolerance, likewise.")
@click.option("--squeeze", is_flag=True, help="Let shapes differ by axes of length one.")
@verbose_option
@json_option
def compare(
    reference: Path,
    candidate: Path,
    atol: tuple[str, ...],
    rtol: tuple[str, ...],
    squeeze: bool,
    verbose: bool,
    as_json: bool,
) -> None:
    """Compare two recordings, or two .npy files of anybody's reprod_log.

    \b
    pit-align compare forward_torch.npy forward_paddle.npy --atol 1e-5
    pit-align compare torch-side paddle-side
    """
    from alignment.comparison import compare_paths
    from alignment.tolerance import Tolerances

    tolerances = Tolerances.parse(atol, rtol)
    found = compare_paths(reference, candidate, tolerances=tolerances, squeeze=squeeze, command=command_line())
    show([found], as_json=as_json, verbose=verbose)


for _command in (gate, report, matrix, doctor):
    pit_align.add_command(_command)
