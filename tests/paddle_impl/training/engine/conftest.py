"""The tiny run, for tests within this process and programs beside it."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import paddle
import pytest
from rich.console import Console

from paddle_impl.training import run as run_module
from paddle_impl.training.log import draw_curves
from paddle_impl.training.parallel import World
from paddle_impl.training.parts import Parts
from paddle_impl.training.precision import Precision
from paddle_impl.training.run import Result, train
from recipe.draws import Seeded


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
def parts(tiny_run: ModuleType) -> Callable[[], Parts]:
    """Freshly made parts of the tiny run."""
    return lambda: tiny_run.assemble(tiny_run.config_of(), World(), Precision(), Seeded(0))


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


@pytest.fixture(autouse=True, scope="module")
def _without_curves() -> Iterator[None]:
    """Draw no curves, which takes three times as long as the tiny run; `with_curves` draws them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_module, "draw_curves", lambda entries, path: None)
        yield


@pytest.fixture
def with_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw the curves at the end of a run."""
    monkeypatch.setattr(run_module, "draw_curves", draw_curves)
