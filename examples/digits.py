"""Writes scikit-learn's handwritten digits as a data set of image folders: real images without a download.

    python examples/digits.py data/digits

1797 images of 8x8 pixels in 10 classes, of the UCI "Optical Recognition of Handwritten Digits" test set. Every fifth
image of a class is held out: `data/digits/train/<digit>/*.png` and `data/digits/val/<digit>/*.png`.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
from PIL import Image
from sklearn.datasets import load_digits

_BRIGHTEST = 16
_HELD_OUT = 5


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--arrays", type=click.Path(path_type=Path), help="Write the held-out images as `pit-align --inputs` too."
)
def main(folder: Path, arrays: Path | None) -> None:
    """Write the digits below FOLDER."""
    written = write(folder)
    click.echo(f"{folder}: {written['train']} images to train on, {written['val']} held out")
    if arrays is not None:
        images, labels = prepared(folder / "val")
        np.savez(arrays, image=images, label=labels)


def write(folder: Path) -> Counter[str]:
    """Write the digits; return the number of images of each split."""
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


def prepared(split: Path) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """A split as `pit_micro_digits` evaluates it: images `(images, 3, 32, 32)` and labels `(images,)`."""
    from recipe.augmentation.transforms import EvalTransform
    from recipe.images import read_image
    from recipe.loading import load
    from recipe.samples import read_folder

    samples, prepare = read_folder(split), EvalTransform.of(load("pit_micro_digits"))
    return np.stack([prepare(read_image(sample.path)) for sample in samples]), samples.labels


if __name__ == "__main__":
    main()
