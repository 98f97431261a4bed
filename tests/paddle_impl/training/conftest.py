"""A small PiT's weights on disk, and configurations of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from porting import architectures
from porting.convert import write_random
from recipe.config import Config
from recipe.loading import load


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Writes random weights of a model, once a session."""
    folder = tmp_path_factory.mktemp("weights")

    def write(model: str = "pit_ti", image_size: int = 32, classes: int = 10, suffix: str = "safetensors") -> Path:
        path = folder / f"{model}-{image_size}-{classes}.{suffix}"
        if not path.exists():
            write_random(architectures.build(model, image_size=image_size, num_classes=classes), path)
        return path

    return write


@pytest.fixture
def small() -> Callable[..., Config]:
    """A configuration of a PiT of 32 pixels and ten classes, in float64."""

    def make(*overrides: str, base: str = "pit_ti_224") -> Config:
        fixed = ("model.image_size=32", "model.num_classes=10", "run.precision=float64", "data.batch_size=4")
        return load(base, (*fixed, *overrides))

    return make
