"""Ports a PiT-B with random weights, aligns it on real photographs, and gates the result.

Then evaluates a small trained PiT on held-out digits: both sides reach the same accuracy; then it classifies some.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
from skimage import data, transform

MEAN, STD = np.array((0.485, 0.456, 0.406)), np.array((0.229, 0.224, 0.225))
PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")
FOLDER = Path("logs/pit_b")
TRAINED, DIGITS = Path("tests/assets/pit_micro_digits.safetensors"), Path("logs/pit_micro")


def main() -> None:
    """Run the commands of a port, and print each."""
    start = time.monotonic()
    FOLDER.mkdir(parents=True, exist_ok=True)
    official, ported, images = FOLDER / "pit_b_820.pth", FOLDER / "pit_b.pdparams", FOLDER / "photographs.npz"
    np.savez(images, image=photographs())
    run("pit-port", "random", "pit_b", official, "--force")
    run("pit-port", "convert", official, ported, "--force")
    run("pit-port", "diff", official, ported)
    weights = ("--weights", official, "--candidate-weights", ported)
    run("pit-align", "all", "--model", "pit_b", *weights, "--inputs", images, "--dtype", "both", "--out", FOLDER)
    run("pit-align", "gate", FOLDER / "report.json", "--config", "pit-align.toml")
    trained()
    print(f"\nDone in {time.monotonic() - start:.0f} s. The report, the recordings and reprod_log's files are in")
    print(f"{FOLDER}/; logs/README.md explains each.")


def trained() -> None:
    """Compare both sides' accuracy with trained weights, and classify three images in Paddle."""
    run("python", "examples/digits.py", DIGITS / "digits", "--arrays", DIGITS / "held_out.npz")
    model = ("--model", "pit_micro", "--weights", TRAINED)
    run("pit-align", "metric", *model, "--inputs", DIGITS / "held_out.npz", "--dtype", "both", "--out", DIGITS)
    few = [next(iter(sorted((DIGITS / "digits" / "val" / digit).iterdir()))) for digit in "038"]
    run("pit-train", "predict", "--weights", TRAINED, "--config", "pit_micro_digits", "--top", "2", *few)


def photographs() -> npt.NDArray[np.float32]:
    """Four photographs that scikit-image ships, centre-cropped and normalised: (4, 3, 224, 224)."""
    return np.stack([prepare(getattr(data, name)()) for name in PHOTOGRAPHS]).astype(np.float32)


def prepare(photograph: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """One photograph, (height, width, 3) bytes, as input of an ImageNet model: (3, 224, 224)."""
    side = min(photograph.shape[:2])
    top, left = ((length - side) // 2 for length in photograph.shape[:2])
    square = photograph[top : top + side, left : left + side]
    pixels = transform.resize(square, (224, 224), order=3, anti_aliasing=True)
    normalised: npt.NDArray[np.float64] = ((pixels - MEAN) / STD).transpose(2, 0, 1)
    return normalised


def run(tool: str, *words: str | Path) -> None:
    """Run a command, printed as a user would type it; exit with its code if it fails."""
    command = [tool, *map(str, words)]
    print(f"\n$ {shlex.join(command)}", flush=True)
    done = subprocess.run([str(Path(sys.executable).with_name(tool)), *command[1:]], check=False)
    if done.returncode:
        sys.exit(done.returncode)


if __name__ == "__main__":
    main()
