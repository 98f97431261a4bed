"""The commands of `pit-align`: they parse options, call functions and set exit codes.

Everything heavy is imported by the command that needs it, so `--help` loads no framework.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from alignment.cli.options import (
    candidate_weights_option,
    pair_of,
    pair_options,
    recipe_options,
    settings_of,
    training_of,
)
from alignment.cli.reports import EVERY_QUANTITY, details_of, doctor, gate, html_option, matrix, report, show
from alignment.cli.rules import rules
from alignment.cli.search import bisect, diagnose, selftest
from alignment.cli.training import TRAINING_COMMANDS
from porting.terminal.output import Output, output_options
from porting.terminal.tool import FILE, Tool, command_line, tool_options


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


def _step_command(name: str, steps: tuple[str, ...], text: str, example: str) -> None:
    """Add a command that aligns these steps; none stands for all."""

    @pit_align.command(name, help=f"{text}\n\n\b\npit-align {name} {example}")
    @pair_options
    @candidate_weights_option
    @html_option
    @output_options(verbose=EVERY_QUANTITY)
    def run(out: Path | None, html: Path | None, output: Output, **values: Any) -> None:
        from alignment.running.run import align

        pair = pair_of(values)
        settings = settings_of(steps, values)
        folder = out or Path("logs") / pair.name
        with output.sides() as progress:
            report = align(pair, folder, settings, progress=progress, command=command_line())
        show([report], output, html=html, details=details_of(report, folder))


_STEP_COMMANDS = (
    ("forward", "Align the logits, every stage and the parameters.", "--model pit_ti --weights pit_ti.pth"),
    (
        "metric",
        "Align top-1 and top-5 accuracy, and the classes that each side predicts.",
        "--model pit_ti --weights pit_ti.pth --inputs photographs.npz",
    ),
    ("loss", "Align cross entropy, label smoothing and soft-target cross entropy.", "--model pit_ti --dtype float64"),
    (
        "bp",
        "Align the gradients of every parameter and the input, and the losses of the next steps.",
        "--model pit_ti --candidate-weights pit_ti.pdparams --html pit_ti.html",
    ),
    (
        "batchnorm",
        "Align one step in training mode, and the running statistics after it.",
        "--model regnety_160 --image-size 64 --batch-size 2",
    ),
)
for _name, _text, _example in _STEP_COMMANDS:
    _step_command(_name, (_name,), _text, _example)
_step_command(
    "all",
    (),
    "Align all steps; the two frameworks run in processes of their own, at the same time.",
    "--model pit_b --weights pit_b.pth --candidate-weights pit_b.pdparams --dtype both",
)
for _command in (*TRAINING_COMMANDS, bisect, diagnose, selftest):
    pit_align.add_command(_command)


@pit_align.command()
@click.argument("step")
@click.option("--backend", required=True, help="The framework whose side is run: torch, paddle, mindspore.")
@pair_options
@recipe_options
@output_options()
def record(step: str, backend: str, out: Path | None, output: Output, **values: Any) -> None:
    """Run one side of STEP alone, to be compared elsewhere; `all` runs all steps, `training` all of training.

    \b
    pit-align record forward --backend torch --model pit_ti --device gpu --out torch-side
    pit-align record train --backend torch --model pit_ti --dtype float64 --data photographs --out torch-side
    """
    from alignment.running.run import record as record_side
    from alignment.steps.training import TRAINING_STEPS
    from alignment.training.run import Training
    from alignment.training.run import record as record_training

    pair = pair_of(values)
    folder, role = out or Path("logs") / f"{pair.name}-{backend}", pair.role_of(backend)
    of_training = step == "training" or step in TRAINING_STEPS
    training = training_of((step,) if step in TRAINING_STEPS else (), values)
    if not of_training and training != Training():
        raise click.UsageError("--config, --set, --steps, --data and --teacher are for the check points of training")
    settings = settings_of(() if of_training or step == "all" else (step,), values)
    with output.sides() as progress:
        if of_training:
            written = record_training(pair, role, folder, training, settings, progress=progress, command=command_line())
        else:
            written = record_side(pair, role, folder, settings, progress=progress, command=command_line())
    paths = [str(path) for path in written]
    output.show(lambda: "\n".join(paths), lambda: paths)


@pit_align.command()
@click.argument("reference", type=FILE)
@click.argument("candidate", type=FILE)
@click.option(
    "--atol", multiple=True, metavar="[KEY:]VALUE", help="Absolute tolerance, for keys of this pattern or all."
)
@click.option("--rtol", multiple=True, metavar="[KEY:]VALUE", help="Relative tolerance, for the same.")
@click.option("--squeeze", is_flag=True, help="Let shapes differ by axes of length one.")
@output_options(verbose=EVERY_QUANTITY)
def compare(
    reference: Path,
    candidate: Path,
    atol: tuple[str, ...],
    rtol: tuple[str, ...],
    squeeze: bool,
    output: Output,
) -> None:
    """Compare two recordings, or two .npy files of anybody's reprod_log.

    \b
    pit-align compare forward_torch.npy forward_paddle.npy --atol 1e-5
    pit-align compare torch-side paddle-side
    """
    from alignment.judging.compare_paths import compare_paths
    from alignment.judging.tolerance import Tolerances

    tolerances = Tolerances.parse(atol, rtol)
    with output.waiting("comparing"):
        report = compare_paths(reference, candidate, tolerances=tolerances, squeeze=squeeze, command=command_line())
    show([report], output)


for _command in (gate, report, matrix, rules, doctor):
    pit_align.add_command(_command)
