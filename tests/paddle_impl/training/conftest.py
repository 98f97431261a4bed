"""Real photographs, as pictures and as a data set on disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import skimage.data
from PIL import Image

from recipe.config import Augmentation, Config, Data, Model
from recipe.samples import Samples, read_folder

_CLASSES = {"animals": ("chelsea",), "people": ("astronaut", "rocket"), "things": ("coffee",)}
_COPIES = 6


def _photograph(name: str, side: int) -> Image.Image:
    image = Image.fromarray(getattr(skimage.data, name)()).convert("RGB")
    image.thumbnail((side, side))
    return image


@pytest.fixture(scope="session")
def photographs() -> list[Image.Image]:
    """Four of different shapes, one of them upright."""
    wide = [_photograph(name, 160) for names in _CLASSES.values() for name in names]
    return [*wide, wide[0].transpose(Image.Transpose.ROTATE_90)]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 JPEGs in folders of three classes."""
    root: Path = tmp_path_factory.mktemp("photographs") / "train"
    for label, names in _CLASSES.items():
        (root / label).mkdir(parents=True)
        for name in names:
            for copy in range(_COPIES):
                _photograph(name, 90 + copy).save(root / label / f"{name}_{copy}.jpg", quality=90 - copy)
    return root


@pytest.fixture
def samples(folder: Path) -> Samples:
    return read_folder(folder)


@pytest.fixture
def config() -> Config:
    """32 pixels, three classes, everything random, batches of four."""
    return replace(
        Config(),
        model=Model(image_size=32, num_classes=3),
        data=Data(batch_size=4, workers=0),
        augmentation=Augmentation(erasing=0.6, erasing_count=3),
    )
