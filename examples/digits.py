"""Writes scikit-learn's handwritten digits as a data set of image folders: real data that needs no download.

    python examples/digits.py data/digits

1797 images of 8x8 pixels in 10 classes, of the UCI "Optical Recognition of Handwritten Digits" test set. Every fifth
image of a class is held out: `data/digits/train/<digit>/*.png` and `data/digits/val/<digit>/*.png`.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import click
import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

_BRIGHTEST = 16
_HELD_OUT = 5


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
def main(folder: Path) -> None:
    """Write the digits below FOLDER."""
    written = write(folder)
    click.echo(f"{folder}: {written['train']} images to train on, {written['val']} held out")


def write(folder: Path) -> Counter[str]:
    """Write the digits, and count the images of each split."""
    digits = load_digits()
    of_class, written = Counter[int](), Counter[str]()
    for number, (pixels, label) in enumerate(zip(digits.images, digits.target.tolist(), strict=True)):
        split = "val" if of_class[label] % _HELD_OUT == _HELD_OUT - 1 else "train"
        of_class[label] += 1
        written[split] += 1
        place = folder / split / str(label)
        place.mkdir(parents=True, exist_ok=True)
        image = np.rint(pixels * (255 / _BRIGHTEST)).astype(np.uint8)
        Image.fromarray(image).save(place / f"{number:04}.png")
    return written


if __name__ == "__main__":
    main()
