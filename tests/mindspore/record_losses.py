"""Records losses and a prediction of torch, for MindSpore's to be compared with where no torch is installed.

`python tests/mindspore/record_losses.py` writes `losses.json` and `shares.json` beside this file; a test checks that
they are still true.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from porting.architectures import build
from porting.conversion import write_random
from recipe.config import Config
from recipe.draws import Seeded
from recipe.images import read_image
from recipe.loading import load

RECORDED = Path(__file__).with_name("losses.json")
SHARES = Path(__file__).with_name("shares.json")
IMAGE = "val/3/0.png"
"""The image that is classified."""
SETTINGS = (
    *("model.name=pit_micro", "model.image_size=32", "model.num_classes=2", "model.drop_path_rate=0.3"),
    *("data.workers=0", "data.batch_size=4", "run.device=cpu", "optimizer.base_batch=0"),
    *("optimizer.clip=1", "optimizer.learning_rate=0.01", "schedule.epochs=2", "schedule.warmup_epochs=0"),
    *("schedule.cooldown_epochs=0", "schedule.per_update=true", "schedule.deit_quirk=false", "ema.decay=0.5"),
)


def prepare(folder: Path) -> tuple[str, ...]:
    """Write weights and four images each of two classes; return the overrides of the run."""
    for at, (split, label) in enumerate((split, label) for split in ("train", "val") for label in ("3", "7")):
        (folder / split / label).mkdir(parents=True)
        for count in range(4):
            pixels = np.random.default_rng(4 * at + count).integers(0, 256, (32, 32, 3), np.uint8)
            Image.fromarray(pixels).save(folder / split / label / f"{count}.png")
    write_random(build("pit_micro", image_size=32, num_classes=2), folder / "first.ckpt")
    return (*SETTINGS, f"data.path={folder}", f"model.weights={folder / 'first.ckpt'}", f"run.output={folder / 'out'}")


def configuration(folder: Path, *more: str) -> Config:
    """The configuration of the run, its files written."""
    return load("deit", [*prepare(folder), *more])


def losses() -> list[tuple[float, float]]:
    """Loss and norm of the gradients of two updates in torch, in float64; then loss and top-1 of the average."""
    from reference_torch.training.run import Run

    with tempfile.TemporaryDirectory() as folder:
        config = configuration(Path(folder), "run.precision=float64")
        run = Run(config, tape=Seeded(config.run.seed))
        rows = [(step.loss, step.gradient_norm) for step in run.epoch(0)]
        result = run.evaluate("ema")
    return [*rows, (result.loss, result.top1)]


def shares() -> list[float]:
    """The probabilities of both classes of the first image in torch, in float64, with the first weights."""
    from reference_torch.training.program import Torch

    with tempfile.TemporaryDirectory() as folder:
        opened = Torch().open(configuration(Path(folder), "run.precision=float64"))
        image = opened.prepare(read_image(Path(folder) / IMAGE))
        return [float(share) for share in opened.shares(image[None].astype(np.float64))[0]]


if __name__ == "__main__":
    SHARES.write_text(json.dumps(shares()) + "\n")
    RECORDED.write_text(json.dumps(losses()) + "\n")
