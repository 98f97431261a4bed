"""Real photographs, as pictures and as a data set on disk; and the tiny run, here and in programs beside it."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import paddle
import pytest
import skimage.data
from PIL import Image
from rich.console import Console

from paddle_impl.training.run import Result, train
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


@pytest.fixture(scope="session")
def tiny_run() -> ModuleType:
    """The module `tiny_run.py`."""
    spec = spec_from_file_location("tiny_run", Path(__file__).with_name("tiny_run.py"))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules["tiny_run"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run_tiny(tiny_run: ModuleType, tmp_path: Path) -> Callable[..., Result]:
    """Carries out the tiny run in `tmp_path / "run"`, or elsewhere, with settings changed by section."""

    def run(
        *, resume: str | Path | None = None, assemble: Any = None, console: Console | None = None, **changes: Any
    ) -> Result:
        settings = {**changes, "run": {"output": str(tmp_path / "run"), **changes.get("run", {})}}
        return train(
            tiny_run.config_of(**settings),
            resume=resume,
            assemble=assemble or tiny_run.assemble,
            console=console or Console(file=io.StringIO()),
        )

    return run


@pytest.fixture(autouse=True)
def _on_the_cpu() -> None:
    paddle.set_device("cpu")
