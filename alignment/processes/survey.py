"""Measures anew what layers of a framework do otherwise than torch's, and says what is not as it is recorded.

The survey is a benchmark of the repository, `python -m benchmarks.frameworks`, and needs a checkout. Paddle has to be
in one interpreter with torch; MindSpore has one of its own.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from alignment.errors import AlignmentError
from alignment.framework_facts import changes, framework_facts, read_facts

ROOT = Path(__file__).parents[2]
_MODULE = "benchmarks.frameworks"


@dataclass(frozen=True)
class Survey:
    """What came of a survey.

    Attributes:
        cases: Number of cases that were measured.
        versions: Package to the version that was measured, in words.
        recorded: The versions of the recorded facts, in words.
        changes: What is not as it is recorded, a line for each case.
    """

    cases: int
    versions: str
    recorded: str
    changes: tuple[str, ...]


def survey(
    python: str,
    groups: Sequence[str] = (),
    framework: str = "paddle",
    root: Path = ROOT,
    *,
    mindspore_python: str | None = None,
) -> Survey:
    """Measure the layers of a framework.

    Args:
        python: Interpreter that has torch, and Paddle where that is the framework.
        groups: Kinds of layers, as the page of docs has them; all by default.
        framework: `paddle` or `mindspore`.
        root: The checkout.
        mindspore_python: Interpreter that has MindSpore; `python` by default.

    Raises:
        AlignmentError: There is no checkout, or measuring failed.
    """
    if not (root / "benchmarks" / "frameworks").is_dir():
        raise AlignmentError(
            f"the survey is part of the repository and not of the package in {root}: run it in a checkout"
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "facts.json"
        chosen = [word for group in groups for word in ("--group", group)]
        if framework != "paddle":
            chosen += ["--framework", framework, "--mindspore-python", mindspore_python or python]
        command = [python, "-W", "ignore", "-m", _MODULE, "--save", str(path), *chosen]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root)
        if done.returncode or not path.is_file():
            lines = done.stderr.strip().splitlines()
            raise AlignmentError(f"{python}: the survey ended with exit code {done.returncode}", lines[-3:])
        measured = read_facts(path)
    recorded = framework_facts(framework)
    return Survey(
        len(measured.cases), _words(measured.versions), _words(recorded.versions), changes(recorded, measured)
    )


def _words(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())
