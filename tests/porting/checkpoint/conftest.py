"""What the tests of checkpoint files share: tensors of every dtype, frameworks, and small files to damage."""

from __future__ import annotations

import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from porting.checkpoint import LazyTensor, open_checkpoint, write_checkpoint
from porting.checkpoint.dtypes import dtype

os.environ.setdefault("OMP_NUM_THREADS", "2")
settings.register_profile(
    "checkpoint", max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
settings.load_profile("checkpoint")

Arrays = dict[str, "np.ndarray[Any, Any]"]
SUFFIXES = {
    "torch-zip": ".pth",
    "pdparams": ".pdparams",
    "safetensors": ".safetensors",
    "npz": ".npz",
    "mindspore": ".ckpt",
}


def framework(name: str) -> ModuleType:
    """A framework; its own warnings at import are not ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(name, reason=f"{name} is not installed; it is part of the {name} extra")


@pytest.fixture(scope="session")
def torch() -> ModuleType:
    return framework("torch")


@pytest.fixture(scope="session")
def paddle() -> ModuleType:
    return framework("paddle")


@pytest.fixture(params=SUFFIXES)
def written_format(request: pytest.FixtureRequest) -> str:
    """Each format that is written."""
    return str(request.param)


@pytest.fixture
def arrays() -> Callable[[str], Arrays]:
    """Arrays of one dtype with one, several and no elements, with and without axes."""

    def make(name: str) -> Arrays:
        generator = np.random.default_rng(7)

        def draw(*shape: int) -> np.ndarray[Any, Any]:
            wanted = dtype(name)
            if name == "bool":
                return generator.integers(0, 2, shape).astype(bool)
            if wanted.kind in "iu":
                return generator.integers(0, 256, (*shape, wanted.itemsize), dtype=np.uint8).view(wanted).reshape(shape)
            return np.asarray(generator.standard_normal(shape) * 100).astype(wanted)

        return {
            "a.weight": draw(3, 5),
            "a.bias": draw(3),
            "scalar": draw(),
            "empty": draw(0, 4),
            "conv": draw(2, 3, 2, 2),
        }

    return make


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes arrays in a format and returns the file."""

    def to_file(values: Mapping[str, np.ndarray[Any, Any]], name: str, stem: str = "file", **options: Any) -> Path:
        path = tmp_path / f"{stem}{SUFFIXES[name]}"
        write_checkpoint(path, {key: LazyTensor.of(value) for key, value in values.items()}, format=name, **options)
        return path

    return to_file


@pytest.fixture
def read() -> Callable[[Path], Arrays]:
    """All tensors of a file, copied."""

    def from_file(path: Path) -> Arrays:
        with open_checkpoint(path) as checkpoint:
            loaded = {}
            for name, tensor in checkpoint.tensors.items():
                array = tensor.load()
                assert (array.shape, array.dtype) == (tensor.shape, tensor.dtype)
                loaded[name] = np.array(array)
            return loaded

    return from_file


@pytest.fixture
def same() -> Callable[[Mapping[str, Any], Mapping[str, Any]], None]:
    """Checks that two sets of arrays have the same names, in any order, dtypes, shapes and bits."""

    def check(actual: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
        assert set(actual) == set(expected)
        for name, array in expected.items():
            assert (actual[name].dtype, actual[name].shape) == (array.dtype, array.shape), name
            assert actual[name].tobytes() == array.tobytes(), name

    return check


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """A file that appears only if something in a checkpoint was executed."""
    return tmp_path / "executed"


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Path]:
    """A target in a folder of its own; no thread and no other file may be left when the test is over."""
    folder = tmp_path / "target"
    folder.mkdir()
    yield folder / "a.pdparams"
    deadline = time.monotonic() + 10
    while any(thread.name == "checkpoint-writer" for thread in threading.enumerate()):
        assert time.monotonic() < deadline
    assert {path.name for path in folder.iterdir()} <= {"a.pdparams", "kept"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "out"
    path.mkdir()
    return path
