"""Examination of every configured interpreter: what it has, what is missing or known to be bad, and how to fix it.

`alignment.processes.doctor_probe` runs in all interpreters at the same time and prints facts; `examine` judges them.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from alignment.frameworks import FRAMEWORKS
from alignment.processes.needs import reason_of
from porting.installing import install_command

Level: TypeAlias = Literal["missing", "bad", "note"]
_PROBE = Path(__file__).with_name("doctor_probe.py")
_SECONDS = 300
_EVERYWHERE = ("numpy", "safetensors", "ml_dtypes")
_NEEDED = {"torch": ("torch", "timm"), "paddle": ("paddlepaddle",), "mindspore": ("mindspore", "mindcv")}
_OLDEST = {"torch": (2, 4), "paddlepaddle": (3, 3), "mindspore": (2, 10)}
_TORCHVISION_AHEAD = 15
"""Minor versions that torchvision 0.x is ahead of torch 2.x."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem of an environment.

    Attributes:
        level: `missing` and `bad` keep the framework from being used, a `note` does not.
        summary: What is wrong.
        fix: The command that helps; empty where none does.
    """

    level: Level
    summary: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Environment:
    """One framework in one interpreter.

    Attributes:
        framework: Name in `alignment.frameworks.FRAMEWORKS`.
        needed: True if an alignment as configured needs the framework.
        python: The interpreter, as configured.
        version: Version of the interpreter; empty where it does not run.
        versions: Package to installed version.
        devices: `cpu`, then the names of the GPUs.
        threads: CPU threads that the framework starts with; None if unknown.
        blas: The library for products of matrices; None if unknown.
        tf32: Operation to whether it uses TensorFloat-32 by default.
        half: Name of a half precision to the operations that do not run in it, and `autocast` where that has no effect;
            both as tried on the best device. Empty where nothing was tried.
        problems: What is wrong.
    """

    framework: str
    needed: bool
    python: str
    version: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    devices: tuple[str, ...] = ()
    threads: int | None = None
    blas: str | None = None
    tf32: Mapping[str, bool] = field(default_factory=dict)
    half: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()

    @property
    def usable(self) -> bool:
        """True if the framework can be aligned in this interpreter."""
        return all(problem.level == "note" for problem in self.problems)


def examine_all(pythons: Mapping[str, str], needed: Iterable[str]) -> tuple[Environment, ...]:
    """Examine the interpreters of all frameworks at the same time.

    Args:
        pythons: Framework to interpreter, where it is not this one.
        needed: The frameworks that an alignment needs; those in `pythons` are needed, too.
    """
    needed = {*needed, *pythons}
    with ThreadPoolExecutor(len(FRAMEWORKS)) as pool:
        examinations = [
            pool.submit(_ask, framework, pythons.get(framework) or sys.executable, framework in needed)
            for framework in FRAMEWORKS
        ]
        return tuple(examination.result() for examination in examinations)


def healthy(environments: Sequence[Environment]) -> bool:
    """True if every framework that is needed can be used."""
    return all(environment.usable for environment in environments if environment.needed)


def examine(framework: str, needed: bool, python: str, probed: Mapping[str, Any]) -> Environment:
    """Judge the facts about one framework in one interpreter.

    Args:
        framework: Name in `alignment.frameworks.FRAMEWORKS`.
        needed: True if an alignment needs it.
        python: The interpreter, as configured.
        probed: What `doctor_probe` printed.
    """
    facts = probed["facts"]
    return Environment(
        framework=framework,
        needed=needed,
        python=python,
        version=probed["python"],
        versions=probed["versions"],
        devices=tuple(facts.get("devices", ())),
        threads=facts.get("threads"),
        blas=facts.get("blas"),
        tf32=facts.get("tf32", {}),
        half={dtype: (*tried["missing"], *tried["other"]) for dtype, tried in facts.get("half", {}).items()},
        problems=tuple(_problems(framework, python, probed)),
    )


def _ask(framework: str, python: str, needed: bool) -> Environment:
    try:
        done = subprocess.run(
            [python, str(_PROBE), framework], capture_output=True, text=True, errors="replace", timeout=_SECONDS
        )
    except OSError as error:
        problem = f"the interpreter cannot be started: {reason_of(python, error)}"
    except subprocess.TimeoutExpired:
        problem = f"importing {framework} took more than {_SECONDS} seconds"
    else:
        try:
            return examine(framework, needed, python, json.loads(done.stdout.splitlines()[-1]))
        except (ValueError, LookupError, TypeError, AttributeError):  # whatever else such a program prints
            tail = (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1]
            problem = f"the interpreter says nothing of {framework}: {tail}"
    problems = (Problem("bad", problem, f"name another: --{framework}-python"),)
    return Environment(framework, needed, python, problems=problems)


def _problems(framework: str, python: str, probed: Mapping[str, Any]) -> Iterator[Problem]:
    versions: Mapping[str, str] = probed["versions"]
    if _numbers(probed["python"]) < (3, 10):
        summary = f"Python {probed['python']}, 3.10 or newer is needed"
        yield Problem("bad", summary, f"name another: --{framework}-python")
    yield from _of_packages(framework, python, versions)
    package = _installed(FRAMEWORKS[framework].package, versions)
    if probed["error"] is not None and (package or probed.get("missing") != FRAMEWORKS[framework].package):
        yield Problem("bad", f"{framework} is installed and cannot be imported: {probed['error']}")
    yield from _of_half(FRAMEWORKS[framework].title, probed["facts"])
    checks = {"torch": _of_torch, "paddle": _of_paddle, "mindspore": _of_mindspore}
    yield from checks[framework](python, versions, probed["facts"])


def _of_packages(framework: str, python: str, versions: Mapping[str, str]) -> Iterator[Problem]:
    extra = FRAMEWORKS[framework].extra
    missing = [name for name in _NEEDED[framework] if not _installed(name, versions)]
    if missing:
        yield Problem("missing", f"{', '.join(missing)} not installed", _pip(python, extra))
    common = [name for name in _EVERYWHERE if name not in versions]
    if common:
        yield Problem("missing", f"{', '.join(common)} not installed, which every side needs", _pip(python, *common))
    for name in _NEEDED[framework]:
        version, oldest = _installed(name, versions), _OLDEST.get(name)
        if version and oldest and _numbers(version) < oldest:
            wanted = ".".join(map(str, oldest))
            yield Problem("bad", f"{name} {version}, {wanted} or newer is needed", _pip(python, f"{name}>={wanted}"))


def _of_half(title: str, facts: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what a framework does not compute in half precision, and where it computes in another without a word."""
    device = "the CPU" if len(facts.get("devices", ())) < 2 else "the GPU"
    for dtype, tried in facts.get("half", {}).items():
        if tried["missing"]:
            summary = f"no {dtype} on {device}: {title} has no {', '.join(tried['missing'])} in it"
            yield Problem("note", f"{summary}; --dtype {dtype} cannot run there")
        if tried["other"]:
            where = ", ".join(tried["other"])
            yield Problem("note", f"{dtype} has no effect in {where} on {device}: {title} computes in float32 there")


def _of_torch(python: str, versions: Mapping[str, str], facts: Mapping[str, Any]) -> Iterator[Problem]:
    timm = versions.get("timm")
    if timm and (0, 9) <= _numbers(timm) < (1, 0, 25):
        summary = f"timm {timm}: from 0.9.0 to 1.0.24 both heads of a distilled PiT read the class token"
        yield Problem("bad", summary, _pip(python, "timm>=1.0.25"))
    elif timm and _numbers(timm) < (0, 9):
        yield Problem("bad", f"timm {timm}, 1.0.25 or newer is needed", _pip(python, "timm>=1.0.25"))
    torch, torchvision = versions.get("torch"), versions.get("torchvision")
    major, minor = (*_numbers(torch or ""), 0, 0)[:2]
    fitting = f"0.{minor + _TORCHVISION_AHEAD}" if major == 2 else ""
    if torchvision and fitting and not f"{torchvision}.".startswith(f"{fitting}."):
        summary = f"torchvision {torchvision} was not made for torch {torch}, which wants {fitting}"
        yield Problem("note", summary, _pip(python, f"torchvision=={fitting}.*"))
    elif facts.get("torchvision"):
        summary = f"torchvision {torchvision} was built for another torch than {torch}: {facts['torchvision']}"
        fix = f"{_pip(python, 'torchvision')} --force-reinstall"
        yield Problem("note", f"{summary}; alignments work around it", fix)
    on = [name for name, value in facts.get("tf32", {}).items() if value]
    if on and len(facts.get("devices", ())) > 1:
        yield Problem("note", f"TensorFloat-32 is on by default ({', '.join(on)}); alignments turn it off")


def _of_paddle(python: str, versions: Mapping[str, str], facts: Mapping[str, Any]) -> Iterator[Problem]:
    if "reprod-log" not in versions and _installed("paddlepaddle", versions):
        yield Problem("note", "without reprod_log its official files are not written", _pip(python, "reprod_log"))


def _of_mindspore(python: str, versions: Mapping[str, str], _: Mapping[str, Any]) -> Iterator[Problem]:
    numpy = versions.get("numpy")
    if versions.get("mindspore") and numpy and _numbers(numpy) >= (2,):
        yield Problem("bad", f"MindSpore does not work with NumPy {numpy}", _pip(python, "numpy<2"))


def _installed(package: str, versions: Mapping[str, str]) -> str | None:
    """The version of an installed package, None without it; Paddle's package has two names."""
    if package in ("paddle", "paddlepaddle"):
        return versions.get("paddlepaddle") or versions.get("paddlepaddle-gpu")
    return versions.get(package)


def _numbers(version: str) -> tuple[int, ...]:
    """The numbers at the start of a version: 2.13.0+cpu is (2, 13, 0)."""
    start = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in start[0].split(".")) if start else (0, 0)


def _pip(python: str, *packages: str) -> str:
    return install_command(*packages, python=python)
