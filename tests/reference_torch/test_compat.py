"""timm imports beside a mismatched torchvision, and no other failure is hidden."""

from __future__ import annotations

import importlib
import importlib.util
from types import SimpleNamespace
from typing import Any

import pytest

from reference_torch import compat


class Imports:
    """Stands in for `importlib`: torchvision fails `failures` times, and what is declared is noted."""

    def __init__(self, failures: int, message: str) -> None:
        self.failures = failures
        self.message = message
        self.declared: list[str] = []

    def __call__(self, name: str) -> Any:
        if name == "torch.library":
            return SimpleNamespace(Library=lambda *_: SimpleNamespace(define=self.declared.append))
        if self.failures:
            self.failures -= 1
            raise RuntimeError(self.message)
        return SimpleNamespace()


def prepare(monkeypatch: pytest.MonkeyPatch, imports: Imports) -> None:
    monkeypatch.setattr(compat, "_declared", [])
    monkeypatch.setattr(compat, "importlib", SimpleNamespace(import_module=imports, util=importlib.util))
    compat.prepare_timm()


def test_timm_imports() -> None:
    assert importlib.import_module("timm").__version__


def test_declares_the_operators_of_a_mismatched_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    imports = Imports(1, "operator torchvision::nms does not exist")
    prepare(monkeypatch, imports)
    assert [schema.split("(")[0] for schema in imports.declared] == ["nms", "qnms"]
    assert len(compat._declared) == 1


def test_declares_nothing_for_a_torchvision_that_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    imports = Imports(0, "")
    prepare(monkeypatch, imports)
    assert imports.declared == []
    assert compat._declared == []


@pytest.mark.parametrize(
    ("failures", "message"),
    [(1, "libc10.so: undefined symbol"), (2, "operator torchvision::nms does not exist")],
    ids=["another error", "the same error again"],
)
def test_hides_no_other_failure(monkeypatch: pytest.MonkeyPatch, failures: int, message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        prepare(monkeypatch, Imports(failures, message))


@pytest.mark.parametrize("package", ["torch", "torchvision", "timm"])
def test_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == package else find(name))
    with pytest.raises(ImportError, match=rf"needs {package}, .*pip install torch timm") as raised:
        compat.prepare_timm()
    assert raised.value.name == package
