"""Image files for the check points that read images: photographs of scikit-image if it is installed, else drawn ones.

They have the forms that a pipeline has to handle: JPEG and PNG, grey, palette, with transparency, with an EXIF
orientation, upright, flat, and smaller than the model's input.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from alignment.errors import AlignmentError
from porting.installing import install_command
from recipe.samples import SUFFIXES

if TYPE_CHECKING:
    from PIL.Image import Image

CLASSES = 3
_SIZES = ((1.7, 1.3), (1.2, 1.9), (1.0, 1.0), (2.6, 0.8), (0.7, 0.9), (1.3, 1.3))
"""Width and height of the pictures in turn, divided by the model's image size."""
_FORMS = (("RGB", "jpg"), ("RGB", "png"), ("L", "png"), ("RGB", "jpg"), ("P", "png"), ("RGBA", "png"), ("L", "jpg"))
_ORIENTATION, _TURNED = 0x0112, 6
_CONTENT = 2**26
"""Size of a data set in bytes up to which its digest covers the contents of the files, not only their sizes."""


def write(folder: Path, *, size: int, num_classes: int, train: int, validation: int, seed: int) -> str:
    """Write a data set: `train/` and `val/` with a folder a class, and `train_list.txt` and `val_list.txt`.

    The labels of the lists range over all classes of the model; those of the folders are the folders.

    Args:
        folder: The folder to write.
        size: Height and width of the model's input in pixels.
        num_classes: Number of classes of the model.
        train: Number of images to train on.
        validation: Number of images to validate on.
        seed: Seed of the choice of the part of a picture that is shown.

    Returns:
        What the pictures are, in words.

    Raises:
        AlignmentError: Pillow is not installed.
    """
    try:
        from PIL import Image  # noqa: F401 - to see whether it is there
    except ImportError as error:
        raise AlignmentError(f"pictures need Pillow: {install_command('train')}") from error
    generator = np.random.default_rng((seed, 4))
    sources, what = _sources(generator)
    for split, count in (("train", train), ("val", validation)):
        lines = []
        for number in range(count):
            place = _write_one(folder, split, number, sources, size, generator)
            lines.append(f"{place} {(number * 7919 + seed) % num_classes}")
        (folder / f"{split}_list.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return what


def digest(folder: Path) -> str:
    """SHA-256 of names, sizes and contents of the images and lists below a folder; of much data, without contents."""
    suffixes = (*SUFFIXES, ".txt")
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in suffixes and path.is_file())
    hasher = hashlib.sha256()
    contents = sum(path.stat().st_size for path in files) <= _CONTENT
    for path in files:
        entry = f"{path.relative_to(folder).as_posix()}\0{path.stat().st_size}\0"
        hasher.update(entry.encode(errors="surrogateescape"))
        if contents:
            hasher.update(path.read_bytes())
    return f"sha256:{hasher.hexdigest()}"


def _write_one(
    folder: Path, split: str, number: int, sources: Sequence[Image], size: int, generator: np.random.Generator
) -> str:
    """One picture; returns its path below the folder."""
    from PIL import Image

    wide, high = (max(2, round(size * share)) for share in _SIZES[number % len(_SIZES)])
    source = sources[number % len(sources)]
    share = generator.uniform(0.5, 1.0)
    part = round(source.width * share), round(source.height * share)
    left, top = (int(generator.integers(0, whole - side + 1)) for whole, side in zip(source.size, part, strict=True))
    picture = source.crop((left, top, left + part[0], top + part[1])).resize((wide, high), Image.Resampling.LANCZOS)
    mode, suffix = _FORMS[number % len(_FORMS)]
    place = f"{split}/class {number % CLASSES}/{number:04d}.{suffix}"
    (folder / place).parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    if number % len(_FORMS) == 0:
        exif[_ORIENTATION] = _TURNED
    picture = picture.convert(mode)
    if mode == "RGBA":
        picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    picture.save(folder / place, **({"exif": exif, "quality": 90} if suffix == "jpg" else {}))
    return place


def _sources(generator: np.random.Generator) -> tuple[list[Image], str]:
    photographs = list(_photographs())
    if photographs:
        return photographs, "photographs of scikit-image"
    return [_drawn(generator) for _ in range(4)], "drawn pictures (no scikit-image here); --data DIR takes photographs"


def _photographs() -> Iterator[Image]:
    """Photographs with a free licence that come with scikit-image; none without it."""
    try:
        from skimage import data
    except ImportError:
        return
    from PIL import Image

    for name in ("chelsea", "coffee", "rocket", "astronaut"):
        yield Image.fromarray(getattr(data, name)()).convert("RGB")


def _drawn(generator: np.random.Generator) -> Image:
    """Random colours whose spectrum falls with the frequency, as that of photographs does."""
    from PIL import Image

    side = 320
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :])
    frequency[0, 0] = 1 / side
    noise = generator.standard_normal((3, side, side // 2 + 1, 2)).view(np.complex128)[..., 0]
    pixels = np.fft.irfft2(noise / frequency, (side, side))
    pixels = (pixels - pixels.mean((1, 2), keepdims=True)) / pixels.std((1, 2), keepdims=True)
    return Image.fromarray(np.clip(127 + 55 * pixels, 0, 255).astype(np.uint8).transpose(1, 2, 0), "RGB")
