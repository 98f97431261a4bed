"""Versions of what is measured."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

_PACKAGES = {"torch": "torch", "paddle": "paddlepaddle", "mindspore": "mindspore", "numpy": "numpy"}
_ASKING = "import sys; from importlib.metadata import version; print(version(sys.argv[1]))"


def versions(framework: str = "paddle", python: str = sys.executable) -> dict[str, str]:
    """Return the versions of the packages that the results depend on, without importing them.

    Args:
        framework: `paddle` or `mindspore`.
        python: The interpreter that has it.

    Raises:
        RuntimeError: That interpreter does not have it.
    """
    command = [python, "-c", _ASKING, _PACKAGES[framework]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{python} has no {_PACKAGES[framework]}")
    asked = {"torch": version("torch"), framework: done.stdout.strip(), "numpy": version("numpy")}
    return {name: number.partition("+")[0] for name, number in asked.items()}
