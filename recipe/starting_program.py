"""Starts the program of a framework, `python -m recipe.starting_program torch`, or says which packages are missing."""

from __future__ import annotations

import runpy
import sys
from importlib.util import find_spec

from porting.installing import install_command
from recipe.programs import PROGRAMS, tell_error

_COULD_NOT_RUN = 3
_PACKAGES = {"torch": ("torch", "timm"), "mindspore": ("mindspore", "mindcv")}
"""Framework, which is the name of an extra too, to the packages that its program imports."""
_OF_TRAINING = ("yaml", "PIL")
"""Packages of the extra `train` that every program imports."""


def problem_of(framework: str, python: str) -> str:
    """Return what an interpreter lacks for a framework's program, and how to install it; empty if it has everything.

    Args:
        framework: One of `recipe.programs.PROGRAMS`.
        python: The interpreter that runs this.
    """
    own = [name for name in _PACKAGES[framework] if find_spec(name) is None]
    others = [name for name in _OF_TRAINING if find_spec(name) is None]
    if not own + others:
        return ""
    command = install_command(*([framework] if own else []), *(["train"] if others else []), python=python)
    return (
        f"--framework {framework} needs {', '.join(own + others)}, which {python} does not have: `{command}`, "
        f"or name an interpreter that has them: export PIT_{framework.upper()}_PYTHON=..."
    )


def main(framework: str, *options: str) -> int:
    """Run the program of a framework; return the exit code where it cannot.

    Args:
        framework: One of `recipe.programs.PROGRAMS`.
        options: `--json`, where an error is JSON too.
    """
    if problem := problem_of(framework, sys.executable):
        return tell_error(problem, _COULD_NOT_RUN, as_json="--json" in options)
    runpy.run_module(PROGRAMS[framework], run_name="__main__", alter_sys=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
