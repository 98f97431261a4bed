"""What the tests of `alignment` share."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from porting.architectures import build
from porting.checkpoint import LazyTensor, write_checkpoint
from porting.synthetic import random_weights


@pytest.fixture
def bare_python(tmp_path: Path) -> str:
    """An interpreter without any installed package."""
    script = tmp_path / "bare-python"
    script.write_text(f'#!/bin/sh\nunset PYTHONPATH\nexec {sys.executable} -S "$@"\n')
    script.chmod(0o755)
    return str(script)


@pytest.fixture
def write_random() -> Callable[..., Path]:
    """Writes random weights of a model in the canonical layout."""

    def write(name: str, path: Path, **form: int) -> Path:
        weights = random_weights(build(name, **form))
        write_checkpoint(path, {key: LazyTensor.of(array) for key, array in weights.items()})
        return path

    return write
