"""Versions of what is measured."""

from __future__ import annotations

from importlib.metadata import version


def versions() -> dict[str, str]:
    """Return the versions of the packages that the results depend on, without importing them."""
    packages = {"torch": "torch", "paddle": "paddlepaddle", "numpy": "numpy"}
    return {name: version(package).partition("+")[0] for name, package in packages.items()}
