"""The commands of `pit-align`: they parse options, call functions and set exit codes.

Everything heavy is imported by the command that needs it, so `--help` loads no framework.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import click

from alignment.cli.endings import end_of_run
from alignment.cli.options import (
    candidate_weights_option,
    pair_of,
    recipe_options,
    settings_of,
    step_options,
    training_of,
    training_options,
    without_old_reports,
    without_option,
)
from alignment.cli.power import power as power_command
from alignment.cli.reports import EVERY_QUANTITY, doctor, gate, html_option, matrix, report, show
from alignment.cli.rules import rules
from alignment.cli.search import bisect, diagnose, selftest
from porting.terminal.again import again
from porting.terminal.output import Output, output_options
from porting.terminal.tool import DIFFERENT, FILE, Tool, command_line, options, tool_options

if TYPE_CHECKING:
    from alignment.pair import Pair, Role
    from alignment.processes.settings import Settings
    from alignment.results.findings import Finding
    from alignment.results.report import Report
    from alignment.training.run import Training
    from porting.terminal.progress import Callback


class AlignTool(Tool):
    """The commands of `pit-align`, grouped by what they are for."""

    sections: ClassVar[Mapping[str, Sequence[str]]] = {
        "Prove a port": ("all", "forward", "metric", "loss", "bp", "batchnorm", "train_mode", "other_inputs", "power"),
        "Find what is wrong": ("bisect", "diagnose", "compare", "record", "rules"),
        "Gate in CI": ("gate", "matrix"),
        "Report": ("report", "doctor", "selftest"),
        "Training": (
            *("training", "data", "train_data", "init", "schedule", "regularisation", "optimizer", "train"),
            *("distributed", "inference"),
        ),
    }


@click.group(cls=AlignTool, context_settings={"help_option_names": ["-h", "--help"]})
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


_diagnose_option = click.option(
    "--diagnose", "why", is_flag=True, help="Where it diverges, try known mistakes until one explains it."
)
_power_option = click.option(
    "--power", is_flag=True, help="Plant mistakes into the candidate, and say which the proof notices."
)
_cause_option = click.option(
    "--diagnose/--no-diagnose",
    "why",
    default=None,
    help="Where it diverges, bisect and try known mistakes; on for `all`.",
)
_TRAINING_TEXTS = {
    "data": "Align the validation pipeline: listing, decoding, resize, crop, normalisation.",
    "train_data": "Align the training samples: order, crop, flip, RandAugment, erasing, mixup and cutmix, on one tape.",
    "init": "Compare the distributions of the initial weights of both sides.",
    "schedule": "Align the learning rate of every epoch.",
    "regularisation": "Align the decay of every parameter and the rate of every drop path and dropout.",
    "optimizer": "Align every parameter and both of its moments after each of some AdamW steps.",
    "train": "Align training as it really runs: losses, rates, gradient norms, final and averaged weights.",
    "distributed": "Align two data-parallel workers of each side with one worker of the reference.",
    "inference": "Align classes and probabilities of image files.",
    "training": "Align all check points of training.",
}

_TRAINING_EXAMPLE = "--model pit_ti --data photographs"
_TRAINING_EXAMPLES = {
    "init": "--model pit_ti --candidate paddle",
    "schedule": "--model pit_ti --config pit_ti_224 --set schedule.epochs=100",
    "regularisation": "--model pit_b --set model.drop_path=0.2",
    "optimizer": "--model pit_ti --image-size 64 --steps 3",
    "train": "--model pit_ti --data photographs --steps 20 --dtype float64",
}
_TEXTS = {
    "forward": "Align the logits, every stage and the parameters.",
    "metric": "Align top-1 and top-5 accuracy, and the classes that each side predicts.",
    "loss": "Align cross entropy, label smoothing and soft-target cross entropy.",
    "bp": "Align the gradients of every parameter and the input, and the losses of the next steps.",
    "batchnorm": "Align one step in training mode, and the running statistics after it.",
    "train_mode": "Align outputs and gradients in training mode, and the rates of dropouts and drop paths.",
    "other_inputs": "Align single inputs, the same once more, another image size, shorter sequences.",
    "all": "Align all steps; the two frameworks run in processes of their own, at the same time.",
}
_EXAMPLES = {
    "forward": "--model pit_ti --weights pit_ti.pth",
    "metric": "--model pit_ti --weights pit_ti.pth --inputs photographs.npz",
    "loss": "--model pit_ti --dtype float64",
    "bp": "--model pit_ti --candidate-weights pit_ti.pdparams --html pit_ti.html",
    "batchnorm": "--model regnety_160 --image-size 64 --batch-size 2",
    "train_mode": "--model pit_ti --dtype float64",
    "other_inputs": "--model regnety_160 --image-size 64 --dtype float64",
    "all": "--model pit_b --weights pit_b.pth --candidate-weights pit_b.pdparams --dtype both",
}


_strict_option = click.option(
    "--strict", is_flag=True, help="Count what the frameworks' own kernels do differently as a divergence."
)


def _align_command(name: str, text: str, example: str, *, trains: bool) -> None:
    """Add a command that aligns the check point of this name, of training or of the model; or all of them."""
    steps = () if name in ("all", "training") else (name,)
    extra = [_strict_option, _diagnose_option if trains else _cause_option]
    extra += [without_option, _power_option] if name == "all" else []

    @pit_align.command(name, help=f"{text}\n\n\b\npit-align {name} {example}")
    @(training_options if trains else step_options)
    @candidate_weights_option
    @html_option
    @options(*extra)
    @output_options(verbose=EVERY_QUANTITY)
    def run(
        out: Path | None,
        html: Path | None,
        output: Output,
        why: bool | None = None,
        without: tuple[str, ...] = (),
        power: bool = False,
        **values: Any,
    ) -> None:
        from alignment.results.report import DIVERGENCE

        with without_old_reports(out, values["pair"]):
            pair = pair_of(values)
        folder = out or Path("logs") / (f"{pair.name}-{name}" if trains else pair.name)
        training = training_of(steps, values) if trains else None
        settings = settings_of(() if trains else steps, values, without)
        with output.sides() as progress:
            report = _aligned(pair, folder, settings, training, power, progress)
            findings: tuple[Finding, ...] = ()
            if report.verdict == DIVERGENCE and (name == "all" if why is None else why):
                report, findings = _explained(report, pair, folder, settings, progress, trains=trains)
        diverges = show([report], output, html=html, folders=[folder])
        if findings:
            _show_causes(findings, folder, output)
        end_of_run(report, folder, output, html=html, trains=trains)
        if diverges:
            raise SystemExit(DIFFERENT)


def _aligned(
    pair: Pair, folder: Path, settings: Settings, training: Training | None, power: bool, progress: Callback
) -> Report:
    """Align the check points of training, or those of the model, with mistakes planted if `power` asks for it."""
    if training is not None:
        from alignment.training.run import align as align_training

        return align_training(pair, folder, training, settings, progress=progress, command=command_line())
    if power:
        from alignment.power.run import measure

        return measure(pair, folder, settings, progress=progress, command=command_line())
    from alignment.running.run import align

    return align(pair, folder, settings, progress=progress, command=command_line())


def _explained(
    report: Report, pair: Pair, folder: Path, settings: Settings, progress: Callback, *, trains: bool
) -> tuple[Report, tuple[Finding, ...]]:
    """The report with its cause; and of training the findings, which are printed below it."""
    if not trains:
        from alignment.bisection.explaining import with_cause

        return with_cause(report, pair, folder, settings, progress=progress), ()
    from dataclasses import replace

    from alignment.results.findings import cause_line
    from alignment.results.report import write_report
    from alignment.running.prepare import REPORT_FILE
    from alignment.training.diagnose_worker import explain_run

    findings = explain_run(pair, folder, settings, progress=progress)
    report = replace(report, cause=cause_line(findings))
    write_report(report, folder / REPORT_FILE)
    return report, findings


def _show_causes(findings: tuple[Finding, ...], folder: Path, output: Output) -> None:
    """Print the findings and their causes; after a report in JSON, only the path of their file."""
    from alignment.report.bisection import print_findings
    from alignment.results.findings import DIAGNOSIS_FILE

    if output.as_json:
        output.note(f"what is to blame, and why: {folder / DIAGNOSIS_FILE}")
    else:
        print_findings(findings, output.console())


for _name, _text in _TEXTS.items():
    _align_command(_name, _text, _EXAMPLES[_name], trains=False)
for _name, _text in _TRAINING_TEXTS.items():
    _align_command(_name, _text, _TRAINING_EXAMPLES.get(_name, _TRAINING_EXAMPLE), trains=True)
for _command in (bisect, diagnose, power_command, selftest):
    pit_align.add_command(_command)


@pit_align.command()
@click.argument("step")
@click.option("--backend", required=True, help="The framework whose side is run: torch, paddle, mindspore.")
@step_options
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
    output.end(then=_after_recording(pair, role, folder, step))


def _after_recording(pair: Pair, role: Role, folder: Path, step: str) -> str:
    """The command that compares both sides where the other is in its usual folder, else the one that records it."""
    side = pair.candidate if role == "reference" else pair.reference
    other = Path("logs") / f"{pair.name}-{side.framework}"
    if not any(other.glob("recordings/*/manifest.json")):
        return again("record", step, "--backend", side.framework, without=("backend",))
    both = (folder, other) if role == "reference" else (other, folder)
    return shlex.join(["pit-align", "compare", *map(str, both)])


@pit_align.command()
@click.argument("reference", type=FILE)
@click.argument("candidate", type=FILE)
@click.option(
    "--atol", multiple=True, metavar="[KEY:]VALUE", help="Absolute tolerance, for keys of this pattern or all."
)
@click.option("--rtol", multiple=True, metavar="[KEY:]VALUE", help="Relative tolerance, for the same.")
@click.option("--squeeze", is_flag=True, help="Let shapes differ by axes of length one.")
@output_options(verbose=EVERY_QUANTITY)
def compare(reference: Path, candidate: Path, squeeze: bool, output: Output, **tolerances: tuple[str, ...]) -> None:
    """Compare two recordings, or two .npy files of anybody's reprod_log.

    \b
    pit-align compare forward_torch.npy forward_paddle.npy --atol 1e-5
    pit-align compare torch-side paddle-side
    """
    from alignment.judging.compare_paths import compare_paths
    from alignment.judging.tolerance import Tolerances

    parsed = Tolerances.parse(**tolerances)
    with output.waiting("comparing"):
        report = compare_paths(reference, candidate, tolerances=parsed, squeeze=squeeze, command=command_line())
    if show([report], output):
        raise SystemExit(DIFFERENT)


for _command in (gate, report, matrix, rules, doctor):
    pit_align.add_command(_command)
