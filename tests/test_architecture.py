"""Which module may import which: top-level folders, the rooms of a package, and the frameworks."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OWN = ("cli", "alignment", "paddle_impl", "reference_torch", "mindspore_impl", "recipe", "porting")
FRAMEWORKS = {"torch", "timm", "torchvision", "paddle", "mindspore", "mindcv", "reprod_log"}

MAY_IMPORT = {
    "cli": {"alignment", "paddle_impl", "porting", "recipe"},
    "alignment": {"porting", "recipe"},  # the recipe, without a framework, is what both trainers are given
    "paddle_impl": set[str](),
    "paddle_impl/training": {"porting", "recipe"},
    "reference_torch": set[str](),
    "reference_torch/training": {"porting", "recipe"},
    "mindspore_impl": set[str](),
    "mindspore_impl/training": {"porting", "recipe"},
    "recipe": {"porting"},
    "porting": set[str](),
}
FLOORS = (
    ("cli", "testing"),
    ("power",),
    ("selftest",),
    ("bisection", "training", "report"),
    ("running",),
    ("rules",),
    ("hypotheses", "processes"),
    ("judging", "steps", "gating"),
    ("backends", "results"),
    ("pair", "recordings", "framework_facts"),
    ("",),  # the loose modules of the package
)
"""The rooms of `alignment/`, from the top floor down; a room imports from lower floors only."""

WITH_A_FRAMEWORK = ("alignment/backends", "alignment/selftest/inject")
"""Rooms in which a module may import the framework that its name begins with, and that framework's models here."""
OF_A_FRAMEWORK = {
    "torch": {"torch", "timm", "torchvision", "reference_torch"},
    "paddle": {"paddle", "paddle_impl"},
    "mindspore": {"mindspore", "mindspore_impl"},
}
FRAMEWORKS_OF = {
    "reference_torch": {"torch", "timm", "torchvision"},
    "paddle_impl": {"paddle"},
    "mindspore_impl": {"mindspore", "mindcv"},
    "alignment/recordings": {"reprod_log"},  # the official files are written by the process of the Paddle side
}


def _modules() -> list[Path]:
    folders = (path for name in OWN for path in sorted((ROOT / name).rglob("*.py")))
    return [Path("cli.py"), *(path.relative_to(ROOT) for path in folders)]


@cache
def _imported(path: Path) -> frozenset[str]:
    """Full names of what a module imports, anywhere in it: `package.module` and `package.module.name`."""
    names: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(names)


def _targets(path: Path, modules: Mapping[str, Path]) -> Iterator[Path]:
    """Our own modules that a module imports."""
    for name in _imported(path):
        target = modules.get(name) or modules.get(name.rpartition(".")[0])
        if target is not None and target != path:
            yield target


def _by_name() -> dict[str, Path]:
    return {str(path.with_suffix("")).replace("/", ".").removesuffix(".__init__"): path for path in _modules()}


def _framework_names(path: Path) -> set[str]:
    allowed = {name for folder in path.parents for name in FRAMEWORKS_OF.get(str(folder), ())}
    if any(path.is_relative_to(room) for room in WITH_A_FRAMEWORK):
        allowed |= OF_A_FRAMEWORK.get(path.stem.partition("_")[0], set())
    return allowed


def _room(path: Path, depth: int) -> str:
    return "/".join(path.parts[1:-1][:depth])


@pytest.mark.parametrize("path", _modules(), ids=str)
def test_top_level_folders_import_downwards(path: Path) -> None:
    packages = {name.partition(".")[0] for name in _imported(path)}
    home = path.parts[0].removesuffix(".py")
    allowed = {name for folder in (home, *map(str, path.parents)) for name in MAY_IMPORT.get(folder, ())}
    frameworks = _framework_names(path)
    assert packages & set(OWN) <= allowed | frameworks | {home}
    assert packages & FRAMEWORKS <= frameworks


def test_rooms_of_alignment_import_from_lower_floors_only() -> None:
    floor = {room: -number for number, rooms in enumerate(FLOORS) for room in rooms}
    modules = _by_name()
    upwards = [
        f"{path} imports {target}"
        for path in modules.values()
        if path.parts[0] == "alignment" and path != Path("alignment/__init__.py")
        for target in _targets(path, modules)
        if target.parts[0] == "alignment"
        and (here := _room(path, 1)) != (there := _room(target, 1))
        and floor[here] <= floor[there]
    ]
    assert not upwards


def test_only_what_shows_imports_the_presentation() -> None:
    modules = _by_name()
    users = {
        path.parts[1]
        for path in modules.values()
        for target in _targets(path, modules)
        if target.is_relative_to("alignment/report") and len(path.parts) > 2
    }
    assert users <= {"report", "cli", "selftest"}


@pytest.mark.parametrize("package", [name for name in OWN if name != "cli"])
@pytest.mark.parametrize("depth", [0, 1, 2])
def test_neither_modules_nor_rooms_import_each_other_in_a_circle(package: str, depth: int) -> None:
    """Depth 0 looks at modules; 1 and 2 at folders, a loose module being a room of its own."""
    modules = {name: path for name, path in _by_name().items() if path.parts[0] == package}
    public = Path(package, "__init__.py")

    def room(path: Path) -> str:
        return _room(path, depth) if 0 < depth < len(path.parts) - 1 else str(path)

    edges: dict[str, set[str]] = {}
    for path in modules.values():
        targets = {room(target) for target in _targets(path, modules) if public not in (target, path)}
        edges.setdefault(room(path), set()).update(targets - {room(path)})
    TopologicalSorter(edges).prepare()  # raises CycleError, which names the circle


def test_imports_without_any_framework() -> None:
    names = [name for name, path in _by_name().items() if not _framework_names(path)]
    assert len(names) > 200
    code = (
        f"import importlib, sys\nfor name in {sorted(FRAMEWORKS)!r}: sys.modules[name] = None\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, cwd=ROOT)


def test_help_loads_neither_numpy_nor_a_framework() -> None:
    code = (
        "import sys, cli\n"
        "for tool in (cli.pit_port, cli.pit_align):\n"
        "    tool.main(['--help'], standalone_mode=False)\n"
        "print(sorted({'numpy', 'rich', 'torch', 'paddle'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT)
    assert done.stderr.strip() == "[]"
