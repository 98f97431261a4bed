"""The commands of pit-align for the check points of training; frameworks are imported where they run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from alignment.cli.options import candidate_weights_option, pair_of, settings_of, training_of, training_options
from alignment.cli.reports import EVERY_QUANTITY, details_of, html_option, show
from porting.terminal.output import Output, output_options
from porting.terminal.tool import command_line

if TYPE_CHECKING:
    from alignment.results.findings import Finding

_diagnose_option = click.option(
    "--diagnose", "why", is_flag=True, help="Where it diverges, try known mistakes until one explains it."
)
_TEXTS = {
    "data": "Align the validation pipeline: listing, decoding, resize, crop, normalisation.",
    "train_data": "Align the training samples: order, crop, flip, RandAugment, erasing, mixup and cutmix, on one tape.",
    "init": "Compare the distributions of the initial weights of both sides.",
    "schedule": "Align the learning rate of every epoch.",
    "regularisation": "Align the decay of every parameter and the rate of every drop path and dropout.",
    "optimizer": "Align every parameter and both of its moments after each of some AdamW steps.",
    "train": "Align training as it really runs: losses, rates, gradient norms, final and averaged weights.",
    "distributed": "Align two data-parallel workers of each side with one worker of the reference.",
    "inference": "Align classes and probabilities of image files.",
}

_EXAMPLE = "--model pit_ti --data photographs"
_EXAMPLES = {
    "init": "--model pit_ti --candidate paddle",
    "schedule": "--model pit_ti --config pit_ti_224 --set schedule.epochs=100",
    "regularisation": "--model pit_b --set model.drop_path=0.2",
    "optimizer": "--model pit_ti --image-size 64 --steps 3",
    "train": "--model pit_ti --data photographs --steps 20 --dtype float64",
}


def _command(name: str, steps: tuple[str, ...], text: str) -> click.Command:
    """The command that aligns these steps; none stands for all."""

    @click.command(name, help=f"{text}\n\n\b\npit-align {name} {_EXAMPLES.get(name, _EXAMPLE)}")
    @training_options
    @candidate_weights_option
    @html_option
    @_diagnose_option
    @output_options(verbose=EVERY_QUANTITY)
    def run(out: Path | None, html: Path | None, why: bool, output: Output, **values: Any) -> None:
        from alignment.results.report import DIVERGENCE
        from alignment.training.diagnose_worker import explain_run
        from alignment.training.run import align

        pair = pair_of(values)
        training = training_of(steps, values)
        settings = settings_of((), values)
        folder = out or Path("logs") / f"{pair.name}-{name}"
        with output.sides() as progress:
            report = align(pair, folder, training, settings, progress=progress, command=command_line())
            explained = why and report.verdict == DIVERGENCE
            findings = explain_run(pair, folder, settings, progress=progress) if explained else ()
        try:
            show([report], output, html=html, details=details_of(report, folder))
        finally:
            if explained:
                _show_causes(findings, folder, output)

    return run


def _show_causes(findings: tuple[Finding, ...], folder: Path, output: Output) -> None:
    """Print the findings and their causes; after a report in JSON, only the path of their file."""
    from alignment.report.bisection import print_findings
    from alignment.results.findings import DIAGNOSIS_FILE

    if output.as_json:
        output.note(f"what is to blame, and why: {folder / DIAGNOSIS_FILE}")
    else:
        print_findings(findings, output.console())


TRAINING_COMMANDS = (
    *(_command(name, (name,), text) for name, text in _TEXTS.items()),
    _command("training", (), "Align all check points of training."),
)
"""A command a check point, and one for all."""
