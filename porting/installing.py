"""Commands that install what is missing; every package in them is in the Python package index."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping

PACKAGES: Mapping[str, tuple[str, ...]] = {
    "torch": ("torch>=2.4,<3", "timm>=1.0.25,<2"),
    "paddle": ("paddlepaddle>=3.3,<4", "reprod_log>=1.0.1,<2"),
    "mindspore": ("mindspore>=2.10,<3", "mindcv>=0.3,<1", "numpy<2"),
    "hub": ("huggingface_hub>=0.25,<3",),
    "train": ("pyyaml>=6,<7", "pillow>=10,<14", "matplotlib>=3.8,<4"),
}
"""Extra of pyproject.toml to its packages, as pip takes them."""


def install_command(*packages: str, python: str | None = None) -> str:
    """Return the command that installs packages for an interpreter: `/usr/bin/python -m pip install 'torch>=2.4,<3'`.

    Args:
        packages: Packages as pip takes them, or the names of extras in `PACKAGES`.
        python: The interpreter; by default the one that runs this.
    """
    named = [name for package in packages for name in PACKAGES.get(package, (package,))]
    return shlex.join([python or sys.executable, "-m", "pip", "install", *named])
