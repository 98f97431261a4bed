"""The arrows between the top-level folders, and what imports where no framework is installed."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OWN = {"cli", "alignment", "paddle_impl", "reference_torch", "recipe", "porting"}
FRAMEWORKS = {"torch", "timm", "torchvision", "paddle", "mindspore", "mindcv", "reprod_log"}
MAY_IMPORT = {
    "cli": {"alignment", "paddle_impl", "porting", "recipe"},
    "alignment": {"porting", "recipe"},  # the recipe, without a framework, is what both trainers are given
    "alignment/backends/torch.py": {"reference_torch"},  # for `compat`, which makes timm importable
    "alignment/backends/torch_training.py": {"reference_torch"},  # the training code that is under test
    "alignment/backends/paddle_training.py": {"paddle_impl"},  # likewise
    "alignment/backends/paddle_ranks.py": {"paddle_impl"},  # likewise, in several processes
    "alignment/backends/paddle_training_faults.py": {"paddle_impl"},  # what the mistakes are put into
    "alignment/backends/paddle_course_faults.py": {"paddle_impl"},  # likewise
    "alignment/backends/paddle_fault_tools.py": {"paddle_impl"},  # likewise
    "alignment/backends/paddle_held_out_data.py": {"paddle_impl"},  # likewise
    "alignment/backends/paddle_held_out_training.py": {"paddle_impl"},  # likewise
    "alignment/backends/torch_slips.py": {"reference_torch"},  # likewise
    "paddle_impl": set[str](),
    "paddle_impl/training": {"porting", "recipe"},
    "reference_torch": set[str](),
    "reference_torch/training": {"porting", "recipe"},
    "recipe": {"porting"},
    "porting": set[str](),
}
FRAMEWORK_OF = {
    "alignment/backends/torch.py": {"torch", "timm"},
    "alignment/backends/torch_training.py": {"torch", "timm", "torchvision"},
    "alignment/backends/paddle.py": {"paddle"},
    "alignment/backends/paddle_faults.py": {"paddle"},
    "alignment/backends/paddle_training.py": {"paddle"},
    "alignment/backends/paddle_ranks.py": {"paddle"},
    "alignment/backends/paddle_course_faults.py": {"paddle"},
    "alignment/backends/paddle_fault_tools.py": {"paddle"},
    "alignment/backends/paddle_held_out.py": {"paddle"},
    "alignment/backends/paddle_held_out_training.py": {"paddle"},
    "alignment/backends/torch_ranks.py": {"torch"},
    "alignment/backends/torch_slips.py": {"torch", "timm"},
    "alignment/backends/mindspore.py": {"mindspore"},
    "alignment/backends/mindcv.py": {"mindspore", "mindcv"},
    "alignment/reprod_files.py": {"reprod_log"},
    "reference_torch": {"torch", "timm", "torchvision"},
    "paddle_impl": {"paddle"},
}


def _modules() -> list[Path]:
    return [
        ROOT / "cli.py",
        *(path for folder in sorted(OWN - {"cli"}) for path in sorted((ROOT / folder).rglob("*.py"))),
    ]


def _imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("path", _modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_follow_the_arrows(path: Path) -> None:
    relative = path.relative_to(ROOT)
    home = relative.parts[0].removesuffix(".py")
    imported = _imports(path)
    allowed = {name for folder in (str(relative), *map(str, relative.parents)) for name in MAY_IMPORT.get(folder, ())}
    assert imported & OWN <= allowed | MAY_IMPORT[home] | {home}
    frameworks = FRAMEWORK_OF.get(str(relative), set()) | FRAMEWORK_OF.get(home, set())
    assert imported & FRAMEWORKS <= frameworks


def _importable_without_frameworks() -> list[str]:
    excluded = ("alignment/backends/", "alignment/reprod_files.py", "reference_torch/", "paddle_impl/")
    names = []
    for path in _modules():
        relative = str(path.relative_to(ROOT))
        if not relative.startswith(excluded) or relative in (
            "alignment/backends/base.py",
            "alignment/backends/trainer.py",
        ):
            names.append(relative.removesuffix(".py").replace("/", ".").removesuffix(".__init__"))
    return names


def test_imports_without_any_framework() -> None:
    code = (
        f"import importlib, sys\nfor name in {sorted(FRAMEWORKS)!r}: sys.modules[name] = None\n"
        f"for name in {_importable_without_frameworks()!r}: importlib.import_module(name)\n"
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
