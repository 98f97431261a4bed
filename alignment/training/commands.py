"""The commands of pit-align for the check points of training; frameworks are imported where they run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from alignment.commands_reports import html_option, show
from alignment.options import candidate_weights_option, pair_of, settings_of, training_of, training_options
from porting.tool import command_line, json_option, verbose_option

_TEXTS = {
    "data": "Align the validation pipeline: listing, decoding, resize, crop, normalisation.",
    "train_data": "Align the training samples: order, crop, flip, RandAugment, erasing, mixup and cutmix, on one tape.",
    "init": "Hold the initial weights of both sides against each other: the same distributions?",
    "schedule": "Align the learning rate of every epoch.",
    "regularisation": "Align the decay of every parameter and the rate of every drop path and dropout.",
    "optimizer": "Align every parameter and both of its moments after each of some AdamW steps.",
    "train": "Align training as it really runs: losses, rates, gradient norms, final and averaged weights.",
    "distributed": "Align two data-parallel workers of the candidate with one worker of the reference.",
    "inference": "Align classes and probabilities of image files.",
}


def _command(name: str, steps: tuple[str, ...], text: str) -> click.Command:
    """The command that aligns these steps; none stands for all."""

    @click.command(name, help=text)
    @training_options
    @candidate_weights_option
    @verbose_option
    @html_option
    @json_option
    def run(out: Path | None, verbose: bool, html: Path | None, as_json: bool, **given: Any) -> None:
        from alignment.report.progress import showing_progress
        from alignment.training.run import align

        pair = pair_of(given)
        training = training_of(steps, given)
        settings = settings_of((), given)
        folder = out or Path("logs") / f"{pair.name}-{name}"
        with showing_progress() as progress:
            found = align(pair, folder, training, settings, progress=progress, command=command_line())
        show([found], as_json=as_json, verbose=verbose, html=html)

    return run


TRAINING_COMMANDS = (
    *(_command(name, (name,), text) for name, text in _TEXTS.items()),
    _command("training", (), "Align all check points of training."),
)
"""A command a check point, and one for all."""
