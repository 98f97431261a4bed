"""MindSpore and MindCV, imported quietly; tests that need them are skipped by name where they are not installed."""

from __future__ import annotations

import gc
import os
import runpy
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("GLOG_v", "3")  # errors only: MindSpore warns of the machine it is on
os.environ.setdefault("OMP_NUM_THREADS", "2")


def framework(name: str) -> ModuleType:
    """A framework; its own warnings at import are not ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(name, reason=f"{name} is not installed here; `make test-mindspore` has it")


@pytest.fixture(scope="session")
def mindspore() -> ModuleType:
    """MindSpore. It refuses to load what does not fit into memory, and takes what the system caches for taken.

    The device is set first: a training sets it too, which MindSpore allows only where it was set from the start.
    """
    loaded = framework("mindspore")
    loaded.set_device("CPU")
    loaded.train.serialization._get_available_memory = lambda: None
    return loaded


@pytest.fixture
def mindcv(mindspore: ModuleType) -> Iterator[ModuleType]:
    """MindCV's models; each is gone before the interpreter is, at whose end MindSpore would complain of every layer."""
    yield framework("mindcv.models")
    gc.collect()


@pytest.fixture(scope="session")
def recorder() -> Mapping[str, Any]:
    """The functions of `record_logits.py`."""
    return runpy.run_path(str(Path(__file__).with_name("record_logits.py")))


@pytest.fixture(scope="session")
def recorded(recorder: Mapping[str, Any]) -> Mapping[str, np.ndarray[Any, Any]]:
    """Logits of the torch models, by model."""
    with np.load(recorder["RECORDED"], allow_pickle=False) as loaded:
        return dict(loaded)
