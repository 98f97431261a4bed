"""What is published: the files in wheel and source distribution, and a wheel alone beside its base dependencies.

Nothing is fetched. The environment of the wheel is empty but for links to the distributions that the wheel's metadata
asks for, and what these ask for, as they are installed here; so a dependency that is not declared is missing there.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from email.parser import HeaderParser
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from packaging.requirements import Requirement

from alignment.results.report import SAME_FUNCTION, Report, Row, write_report

ROOT = Path(__file__).parents[1]
PACKAGES = ("alignment", "mindspore_impl", "paddle_impl", "porting", "recipe", "reference_torch")
DATA = (".py", ".json", "py.typed", ".yaml", ".tsv", ".css", ".js", ".jinja", ".schema.json")
NOT_PUBLISHED = (
    "__pycache__",
    "*.egg-info",
    "*.pyc",
    ".git",
    ".venv*",
    ".*_cache",
    ".hypothesis",
    "build",
    "dist",
    "site",
)
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
_BUILD = """
import sys
from setuptools import build_meta
folder = sys.argv[1]
build_meta.build_sdist(folder)
build_meta.build_wheel(folder)
"""


def _copy_tree(target: Path) -> None:
    """Copy what a clone has: of a checkout the files that git knows, without what its user has made there."""
    names = _known_to_git()
    if not names:
        shutil.copytree(ROOT, target, ignore=_not_published)
    for name in names:
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


def _known_to_git() -> list[str]:
    """The files of a checkout, by their path in it; none where there is no checkout or no git."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        return []
    words = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    return [name for name in done.stdout.split("\0") if name] if done.returncode == 0 else []


def _not_published(folder: str, names: list[str]) -> set[str]:
    ignored = shutil.ignore_patterns(*NOT_PUBLISHED)(folder, names)
    return ignored | ({*names} - {"README.md"} if Path(folder) == ROOT / "logs" else set())


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A clean copy of the tree, its source distribution, and its wheel."""
    folder = tmp_path_factory.mktemp("packaging")
    source, dist = folder / "source", folder / "dist"
    _copy_tree(source)
    files = [path for path in source.rglob("*") if path.is_file()]
    (folder / "files.json").write_text(json.dumps([str(path.relative_to(source)) for path in files]))
    done = subprocess.run([sys.executable, "-c", _BUILD, str(dist)], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "files.json", next(dist.glob("*.tar.gz")), next(dist.glob("*.whl"))


@pytest.fixture(scope="module")
def files(built: tuple[Path, Path, Path]) -> set[str]:
    return set(json.loads(built[0].read_text()))


def test_wheel_holds_the_packages_and_nothing_else(built: tuple[Path, Path, Path], files: set[str]) -> None:
    with zipfile.ZipFile(built[2]) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    expected = {
        name for name in files if name.startswith(tuple(f"{package}/" for package in PACKAGES)) and name.endswith(DATA)
    }
    assert names == expected | {"cli.py", "_pit_port.py"}
    assert {"alignment/report/templates/report.html.jinja", "recipe/imagenet.tsv", "porting/py.typed"} <= names
    left_out = {name for name in files if name.startswith(tuple(f"{package}/" for package in PACKAGES))} - names
    assert not left_out, "add what is needed to [tool.setuptools.package-data]"


def test_source_distribution_holds_the_repository(built: tuple[Path, Path, Path], files: set[str]) -> None:
    with tarfile.open(built[1]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames() if archive.getmember(name).isfile()}
    made = {name for name in names if name.startswith("pit_port.egg-info/")} | {"PKG-INFO", "setup.cfg"}
    assert names - made == files - {".git"}, "MANIFEST.in says what it holds"
    assert {"Makefile", ".ci/run", "requirements.lock", "tests/test_packaging.py", "logs/README.md"} <= names


def test_metadata_lists_the_dependencies(built: tuple[Path, Path, Path]) -> None:
    metadata = _metadata(built[2])
    assert metadata["Requires-Python"] == ">=3.10"
    assert metadata["License-Expression"] == "Apache-2.0"
    extras = metadata.get_all("Provides-Extra") or []
    assert {"torch", "paddle", "mindspore", "hub", "train", "notebook", "docs", "dev"} == set(extras)
    assert {requirement.name for requirement in _requirements(built[2])} == {
        *("numpy", "click", "rich", "safetensors", "ml_dtypes", "jinja2"),
        *(["tomli"] if sys.version_info < (3, 11) else []),
    }


def _metadata(wheel: Path) -> Any:
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return HeaderParser().parsestr(archive.read(name).decode())


def _requirements(wheel: Path) -> list[Requirement]:
    """The base dependencies that apply here."""
    requirements = map(Requirement, _metadata(wheel).get_all("Requires-Dist") or [])
    return [
        requirement
        for requirement in requirements
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""})
    ]


def _closure(requirements: list[Requirement]) -> set[str]:
    """The names of the distributions that these need, and those that they need."""
    names: set[str] = set()
    left = list(requirements)
    while left:
        name = left.pop().name
        if name not in names:
            names.add(name)
            needed = map(Requirement, distribution(name).requires or ())
            left += [
                requirement
                for requirement in needed
                if requirement.marker is None or requirement.marker.evaluate({"extra": ""})
            ]
    return names


@pytest.fixture(scope="module")
def environment(built: tuple[Path, Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel and its base dependencies."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    packages = next(folder.glob("lib/python3.*/site-packages"))
    for name in _closure(_requirements(built[2])):
        installed = distribution(name)
        for top in {path.parts[0] for path in installed.files or () if path.parts[0] != ".."} - {"__pycache__"}:
            (packages / top).symlink_to(Path(str(installed.locate_file(top))).absolute())
    with zipfile.ZipFile(built[2]) as wheel:
        wheel.extractall(packages)
        points = next(name for name in wheel.namelist() if name.endswith(".dist-info/entry_points.txt"))
        scripts = re.findall(r"^([\w-]+) = (\w+):(\w+)$", wheel.read(points).decode(), re.MULTILINE)
    assert [name for name, _, _ in scripts] == ["pit-align", "pit-port", "pit-train"]
    for name, module, attribute in scripts:
        script = folder / "bin" / name
        script.write_text(f"#!{folder}/bin/python\nfrom {module} import {attribute}\n{attribute}()\n")
        script.chmod(0o755)
    return folder


Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(environment: Path, tmp_path: Path) -> Run:
    """Runs a program of the environment in an empty folder; it must exit 0 and say nothing but its result."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PIT_"))}

    def program(*words: str, exits: int = 0) -> subprocess.CompletedProcess[str]:
        command = [str(environment / "bin" / words[0]), *words[1:]]
        done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True)
        assert done.returncode == exits, f"{words}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    return program


def test_base_environment_has_no_framework(run: Run) -> None:
    for name in ("torch", "timm", "paddle", "mindspore", "yaml", "PIL", "huggingface_hub"):
        searched = run("python", "-c", f"import importlib.util; print(importlib.util.find_spec({name!r}))")
        assert searched.stdout == "None\n", name
    assert "torch      not found\npaddle     not found\nmindspore  not found\n" in run("pit-align", "--version").stdout


def test_base_wheel_converts_checkpoints(run: Run) -> None:
    for tool in ("pit-port", "pit-align", "pit-train"):
        assert run(tool, "--help").stdout.startswith(f"Usage: {tool} ")
    run("pit-port", "random", "pit_ti", "a.pth", "--image-size", "32", "--num-classes", "3")
    for target in ("a.pdparams", "a.safetensors", "a.npz", "a.ckpt"):
        run("pit-port", "convert", "a.pth", target)
        assert run("pit-port", "diff", "a.pth", target).stdout.startswith("same: ")
    assert json.loads(run("pit-port", "inspect", "a.pdparams", "--json").stdout)["model"] == "pit_ti"
    assert "pit_b_distilled" in run("pit-port", "list").stdout
    assert "transpose" in run("pit-port", "plan", "a.pth", "--to", "paddlevit").stdout
    assert "WRONG" not in run("pit-port", "check-rules").stdout
    missing = run("pit-port", "inspect", "hf://timm/pit_b_224.in1k", exits=3)
    assert "pip install 'huggingface_hub>=0.25,<3'" in missing.stderr


def test_base_wheel_compares_gates_and_reports(run: Run, tmp_path: Path) -> None:
    for name, error in (("a", 0.0), ("b", 1e-7), ("c", 0.1)):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "logits.npy", np.arange(1.0, 9.0, dtype=np.float32) + np.float32(error))
    assert "WITHIN TOLERANCE" in run("pit-align", "compare", "a/logits.npy", "b/logits.npy").stdout
    assert "DIVERGENCE" in run("pit-align", "compare", "a/logits.npy", "c/logits.npy", exits=1).stdout
    row = Row("forward/logits", "forward", "output", "float64", 0.0, 0.0, 0.0, SAME_FUNCTION, "because")
    write_report(Report(SAME_FUNCTION, "pit_ti", ("forward",), (row,)), tmp_path / "report.json")
    run("pit-align", "gate", "report.json", "--init")
    assert "PASSED" in run("pit-align", "gate", "report.json", "--junit", "gate.xml").stdout
    assert (tmp_path / "gate.xml").read_text().startswith("<?xml")
    run("pit-align", "report", "report.json", "--html", "report.html")
    assert "<title>pit_ti: same function</title>" in (tmp_path / "report.html").read_text()


def test_commands_without_their_framework_name_the_command_that_installs_it(run: Run) -> None:
    assert "pip install 'torch>=2.4,<3' 'timm>=1.0.25,<2'" in run("pit-align", "doctor", exits=1).stdout
    run("pit-port", "random", "pit_micro", "a.pth")
    for words, extra in (
        (("pit-align", "forward", "--model", "pit_micro"), "torch|paddle"),  # whichever side is first to say so
        (("pit-port", "verify", "a.pth", "a.pth"), "torch"),
        (("pit-align", "train", "--model", "pit_micro"), "pyyaml"),
        (("pit-train", "train", "--config", "pit_b_224"), "pyyaml"),
        (("pit-train", "-cfg", "some.yaml"), "pyyaml"),
        (("pit-train", "predict", "--weights", "a.pth", "image.png"), "paddle|pyyaml"),
    ):
        message = run(*words, exits=3).stderr
        assert re.search(rf"pip install '?({extra})", message), message
        assert len(message.splitlines()) <= 3


def test_python_api_works_in_the_base_wheel(run: Run) -> None:
    code = (
        "import alignment, porting, sys\n"
        "porting.write_random(porting.build('pit_micro'), 'a.pth')\n"
        "porting.convert('a.pth', 'a.pdparams')\n"
        "print(alignment.diff('a.pth', 'a.pdparams').same, porting.inspect('a.pdparams').model)\n"
        "[getattr(alignment, name) for name in alignment.__all__]"
    )
    assert run("python", "-W", "error", "-c", code).stdout == "True pit_micro\n"


@pytest.mark.parametrize(
    ("lock", "python"),
    [("requirements.lock", "3.11"), ("requirements.lock", "3.13"), ("requirements-3.10.lock", "3.10")],
)
def test_lock_satisfies_every_extra_that_is_installed_from_it(
    lock: str, python: str, built: tuple[Path, Path, Path]
) -> None:
    lines = (ROOT / lock).read_text().splitlines()[1:]
    locked = {
        re.sub(r"[-_.]+", "-", name).lower(): version for name, _, version in (line.partition("==") for line in lines)
    }
    for requirement in map(Requirement, _metadata(built[2]).get_all("Requires-Dist")):
        extra = next(
            (
                name
                for name in ("torch", "paddle", "hub", "train", "notebook", "dev")
                if _applies(requirement, name, python)
            ),
            None,
        )
        if extra:
            name = re.sub(r"[-_.]+", "-", requirement.name).lower()
            assert name in locked, f"{requirement} (extra {extra}): run make lock"
            assert requirement.specifier.contains(locked[name]), f"{requirement}: the lock has {locked[name]}"


def _applies(requirement: Requirement, extra: str, python: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra, "python_version": python})


def test_make_takes_the_lock_of_the_python_that_it_is_given(tmp_path: Path) -> None:
    older = tmp_path / "python3.10"  # stands for a Python 3.10: it answers as that does
    older.write_text("#!/bin/sh\necho -3.10\n")
    older.chmod(0o755)
    this = "requirements.lock" if sys.version_info >= (3, 11) else "requirements-3.10.lock"
    for python, lock in ((older, "requirements-3.10.lock"), (sys.executable, this)):
        command = ["make", "--dry-run", "--always-make", "setup", f"PYTHON={python}"]
        shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        assert f"--requirement {lock}\n" in shown


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_to_commits(path: Path) -> None:
    used = re.findall(r"uses: *(\S+)(.*)", path.read_text())
    assert used
    for action, comment in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action), f"{action}: name the commit"
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), f"{action}: say which version that is"


def test_only_the_publishing_job_has_the_permission_for_an_identity_token() -> None:
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())["jobs"]
    assert {name for name, job in jobs.items() if "id-token" in job.get("permissions", {})} == {"publish"}
    publish = jobs["publish"]
    assert (publish["environment"]["name"], publish["permissions"]) == ("pypi", {"id-token": "write"})
    assert set(publish["needs"]) == {"test", "build"}
    assert not any("run" in step for step in publish["steps"]), "no code of ours runs with that right"
    assert "secrets." not in (ROOT / ".github" / "workflows" / "release.yml").read_text()


def test_every_framework_has_a_dockerfile(built: tuple[Path, Path, Path]) -> None:
    extras = _metadata(built[2]).get_all("Provides-Extra")
    for framework in ("torch", "paddle", "mindspore"):
        text = (ROOT / "docker" / f"{framework}.Dockerfile").read_text()
        assert framework in extras
        assert f'"$1[{framework}]"' in text
        lock = re.findall(r"^COPY (\S+) /tmp/constraints.txt$", text, re.MULTILINE)
        assert len(lock) == 1
        assert re.search(rf"^{framework}(paddle)?==", (ROOT / lock[0]).read_text(), re.MULTILINE)
        assert re.findall(r"^USER (\S+)", text, re.MULTILINE) == ["1000"]
        assert ":latest" not in text
