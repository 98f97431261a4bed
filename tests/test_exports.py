"""What the packages offer to programs: it is there, it is cheap, and it stays what it is."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("porting", "alignment")
HEAVY = ("torch", "timm", "paddle", "mindspore", "numpy", "rich", "jinja2")


def _run(code: str) -> str:
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def _for_checkers(package: str) -> dict[str, str]:
    """What the package imports for type-checkers: name to `module:attribute`."""
    tree = ast.parse((ROOT / package / "__init__.py").read_text())
    blocks = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    imports = [node for node in ast.walk(blocks[0]) if isinstance(node, ast.ImportFrom)]
    return {alias.asname or alias.name: f"{node.module}:{alias.name}" for node in imports for alias in node.names}


@pytest.mark.parametrize("package", PACKAGES)
def test_names_at_run_time_are_those_that_type_checkers_see(package: str) -> None:
    module = import_module(package)
    seen = _for_checkers(package)
    assert sorted(seen) == sorted(module.__all__)
    for name, place in seen.items():
        home, _, attribute = place.partition(":")
        assert getattr(module, name) is getattr(import_module(home), attribute), name
        assert name in dir(module)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_export_is_documented(package: str) -> None:
    module = import_module(package)
    for name in set(module.__all__) - {"MODELS"}:
        docstring = getattr(module, name).__doc__
        assert docstring, name
        assert not docstring.startswith(f"{name}("), f"{name} has only what dataclasses make up"


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_has_the_name_of_an_export(package: str) -> None:
    """Importing one would put a module where the function is, unless it hands over the function itself."""
    modules = {path.stem for path in (ROOT / package).glob("*.py")} | {
        path.name for path in (ROOT / package).iterdir() if path.is_dir()
    }
    exported = import_module(package)
    for name in modules & set(exported.__all__):
        assert (
            _run(
                f"import {package}.{name}; from types import FunctionType; "
                f"print(isinstance({package}.{name}, FunctionType))"
            )
            == "True"
        )
        assert import_module(f"{package}.{name}") is getattr(exported, name)


@pytest.mark.parametrize("package", PACKAGES)
def test_exports_stay_when_every_module_is_loaded(package: str) -> None:
    code = (
        f"import importlib, pkgutil, types, {package}\n"
        f"for module in pkgutil.iter_modules({package}.__path__, '{package}.'):\n"
        "    if not module.name.endswith(('reprod_files', 'doctor_probe')): importlib.import_module(module.name)\n"
        f"print([name for name in {package}.__all__ if isinstance(getattr({package}, name), types.ModuleType)])"
    )
    assert _run(code) == "[]"


@pytest.mark.parametrize("package", PACKAGES)
def test_importing_the_package_loads_nothing_heavy(package: str) -> None:
    assert _run(f"import sys, {package}; print([name for name in {HEAVY!r} if name in sys.modules])") == "[]"


def test_using_the_exports_loads_no_framework(tmp_path: Path) -> None:
    code = (
        "import sys, alignment, porting\n"
        f"folder = {str(tmp_path)!r}\n"
        "porting.write_random(porting.build('pit_micro'), f'{folder}/a.pth')\n"
        "report = porting.convert(f'{folder}/a.pth', f'{folder}/a.pdparams')\n"
        "assert (report.target_layout, porting.inspect(report.target).model) == ('paddlevit', 'pit_micro')\n"
        "assert alignment.diff(f'{folder}/a.pth', report.target).same\n"
        "assert alignment.build_pair('pit_micro').name == 'pit_micro'\n"
        "for name in alignment.__all__: getattr(alignment, name)\n"
        "print([name for name in ('torch', 'timm', 'paddle', 'mindspore', 'reprod_log') if name in sys.modules])"
    )
    assert _run(code) == "[]"


def test_documented_program_runs(tmp_path: Path) -> None:
    code = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / "api.md").read_text(), re.MULTILINE | re.DOTALL)
    assert len(code) == 2  # one program, and one in a notebook
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(code)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:3] == ["paddlevit 27", "pit_micro", "same function"]
    assert (tmp_path / "pit_micro.html").is_file()


@pytest.mark.parametrize("package", PACKAGES)
def test_unknown_export_is_an_attribute_error(package: str) -> None:
    module: ModuleType = import_module(package)
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'convrt'"):
        module.convrt  # noqa: B018 - asking is what is tested
