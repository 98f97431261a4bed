"""The last lines of `pit-train train`: what was written, and the command that goes on or evaluates it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from porting.terminal.again import again
from porting.terminal.output import Output
from recipe.config import Config

_RANKS = ("PADDLE_TRAINER_ID", "RANK_ID", "RANK")
"""Variables in which launchers number the processes of a run."""


def end_of_training(config: Config, overrides: Sequence[str], *, whole: bool, output: Output | None = None) -> None:
    """Print what a run wrote, and the next command; nothing in processes of a run but the first.

    Args:
        config: The configuration of the run.
        overrides: The settings that were given on the command line.
        whole: False for a run that was ended by a signal, and saved itself.
        output: How the command prints.
    """
    if any(os.environ.get(name, "0") not in ("0", "") for name in _RANKS) or "MS_ROLE" in os.environ:
        return
    folder = Path(config.run.output)
    latest, best = (sorted(path for path in folder.glob(f"{name}.*") if path.is_file()) for name in ("latest", "best"))
    files = [*latest[:1], *best[:1]]
    if not files:
        return
    overrides = list({text.partition("=")[0]: text for text in overrides}.values())  # of one given twice the last
    if whole:
        others = (text for text in overrides if not text.startswith("model.weights="))
        then = again("eval", *others, f"model.weights={files[-1]}")
    else:
        then = again("train", *overrides, "--resume", "auto", without=("resume",))
    (output or Output()).end(wrote=files, then=then)
