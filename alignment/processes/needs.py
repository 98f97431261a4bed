"""What a run needs and does not have, found before anything is prepared and told at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

from alignment.errors import AlignmentError
from alignment.frameworks import FRAMEWORKS
from alignment.pair import AUTO, ROLES, Pair, Role
from alignment.processes.settings import Settings
from porting.installing import install_command

_ASK = """
import json, sys
from importlib.util import find_spec
print(json.dumps([name for name in sys.argv[1:] if find_spec(name) is None]))
"""
_SECONDS = 60
_EVERYWHERE = ("numpy", "safetensors", "ml_dtypes")
_OF_PUBLISHED = {"torch": ("torchvision", "timm"), "paddle": (), "mindspore": ("mindcv",)}
"""Framework to the packages that the published models need beside it."""


def require(pair: Pair, settings: Settings, roles: Sequence[Role] = ROLES) -> None:
    """Check that frameworks, interpreters and files of a run are there.

    Args:
        pair: What is aligned.
        settings: How to run.
        roles: The sides that run.

    Raises:
        AlignmentError: Something is missing; all that is, is named, each with a remedy.
    """
    frameworks = dict.fromkeys(pair.side(role).framework for role in roles)
    problems = [*_missing_files(pair, settings)]
    for framework in frameworks:
        packages = (*_EVERYWHERE, FRAMEWORKS[framework].package, *(() if pair.own else _OF_PUBLISHED[framework]))
        problems += _missing_packages(framework, settings.python(framework), packages)
    if len(problems) == 1:
        raise AlignmentError(problems[0])
    if problems:
        raise AlignmentError(f"{len(problems)} things that this run needs are missing; nothing was begun", problems)


def _missing_files(pair: Pair, settings: Settings) -> Iterator[str]:
    """Yield each file that is named and is not there."""
    rules = pair.rules if isinstance(pair.rules, str) and pair.rules != AUTO else ""
    named: dict[str, str | os.PathLike[str] | None] = {
        "--weights": settings.weights,
        "--candidate-weights": settings.candidate_weights,
        "--inputs": settings.inputs,
        "weights of the pair": None if settings.weights else pair.weights,
        "rules of the pair": rules,
    }
    for what, path in named.items():
        if path and "://" not in str(path) and not Path(path).exists():
            yield f"{path}: there is no such file; check the path ({what})"


def _missing_packages(framework: str, python: str, packages: Sequence[str]) -> Iterator[str]:
    """Yield what an interpreter lacks, or that it cannot be started."""
    try:
        missing = _absent(python, packages)
    except OSError as error:
        problem = reason_of(python, error)
        yield f"{framework} side: the interpreter {python!r} cannot be started: {problem}; name another with " + (
            f"--{framework}-python"
        )
        return
    if missing:
        known = FRAMEWORKS[framework]
        common = [name for name in missing if name in _EVERYWHERE]
        yield (
            f"the {framework} side needs {', '.join(missing)}, which {python} does not have: "
            f"`{install_command(known.extra, *common, python=python)}`, "
            f"or name an interpreter that has {known.title} with --{framework}-python"
        )


def reason_of(python: str, error: OSError) -> str:
    """Return why an interpreter cannot be started."""
    if Path(python).is_dir():
        return f"it is a folder; the interpreter of an environment is {Path(python) / 'bin' / 'python'}"
    if Path(python).is_file() and "/" not in python:
        return f"a program without a folder is looked for on PATH; the file here is ./{python}"
    return error.strerror or str(error)


def _absent(python: str, packages: Sequence[str]) -> list[str]:
    """The packages that an interpreter lacks; none where it does not tell, which its worker will."""
    if python == sys.executable:
        return [name for name in packages if name not in sys.modules and find_spec(name) is None]
    try:
        done = subprocess.run(
            [python, "-c", _ASK, *packages], capture_output=True, text=True, check=False, timeout=_SECONDS
        )
        return list(json.loads(done.stdout.splitlines()[-1]))
    except (ValueError, IndexError, subprocess.TimeoutExpired):
        return []
