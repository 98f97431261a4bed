"""What every test process needs before it imports a framework."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

os.environ.setdefault("GLOG_minloglevel", "2")  # Paddle's notes on start and end, which no capture of pytest reaches

try:
    from hypothesis import settings
except ModuleNotFoundError:  # the environment of MindSpore has none
    pass
else:
    settings.register_profile("any machine", deadline=None)  # other processes may slow a test down
    settings.load_profile("any machine")

_TESTS = Path(__file__).parent
_LAST = ("porting", "recipe")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """End with the folders whose files take a moment each.

    Each file runs in one of two processes; a long one at the end would keep the other one waiting.
    """
    items.sort(key=lambda item: item.path.is_relative_to(_TESTS) and item.path.relative_to(_TESTS).parts[0] in _LAST)


@pytest.fixture(autouse=True, scope="session")
def _workers_have_one_thread() -> Iterator[None]:
    """Workers share the processors with the other tests; with equal settings they are forked from the same server."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("alignment.processes.settings.processors", SimpleNamespace(available=lambda: 1))
        yield


@pytest.fixture(autouse=True)
def _default_precision_is_left_as_it_was() -> Iterator[None]:
    """A test that leaves a framework in float64 makes others fail that run after it in the same process."""
    yield
    for name in ("torch", "paddle"):
        framework = sys.modules.get(name)
        if framework is None or not hasattr(framework, "get_default_dtype"):
            continue
        left = str(framework.get_default_dtype()).rpartition(".")[2]
        framework.set_default_dtype(framework.float32)
        assert left == "float32", f"{name}'s default precision is left at {left}"
