"""`python -m reference_torch.training CONFIG [SECTION.KEY=VALUE]...`: the run in torch, a JSON object a line."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

import torch

from porting.errors import ExpectedError
from recipe.loading import load
from reference_torch.training.run import Run


def main(words: list[str]) -> int:
    """Carry out the run; return the exit code."""
    if not words or words[0] in ("-h", "--help"):
        print(__doc__)
        return 0 if words else 2
    config = load(words[0], words[1:])
    device = config.run.device
    if device == "auto":
        device = "gpu" if torch.cuda.is_available() else "cpu"
    run = Run(config, "cuda" if device == "gpu" else "cpu")
    for note in run.recipe.notes:
        print(note, file=sys.stderr)
    for epoch in range(run.recipe.schedule.epochs):
        for step in run.epoch(epoch):
            if (step.update + 1) % config.run.log_every == 0 or step.update + 1 == run.training.updates:
                print(json.dumps({"event": "train", **asdict(step)}), flush=True)
        due = (epoch + 1) % config.run.validate_every == 0 or epoch + 1 == run.recipe.schedule.epochs
        for weights in ("model", "ema") if due and run.recipe.ema is not None else ("model",) if due else ():
            event = {"event": "evaluate", "epoch": epoch, "weights": weights, **asdict(run.evaluate(weights))}
            print(json.dumps(event), flush=True)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except ExpectedError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
