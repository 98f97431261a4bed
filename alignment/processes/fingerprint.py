"""What results depend on beside their settings: the toolkit's code and the packages of an interpreter."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

from alignment.processes.doctor_probe import PACKAGES

_ROOT = Path(__file__).resolve().parents[2]
_CODE = ("alignment", "paddle_impl", "porting", "recipe", "reference_torch")
_ASK = """
import sys
from importlib.metadata import PackageNotFoundError, version
print(sys.version)
for name in sys.argv[1:]:
    try:
        print(name, version(name))
    except PackageNotFoundError:
        pass
"""


def digest_of_code() -> str:
    """SHA-256 of the names and contents of all modules, in hexadecimal."""
    digest = hashlib.sha256()
    for path in sorted(path for name in _CODE for path in (_ROOT / name).rglob("*.py")):
        digest.update(str(path.relative_to(_ROOT)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def versions_in(python: str, framework: str) -> str:
    """Versions of an interpreter, a framework and the packages it needs, a line each; empty if Python cannot be run."""
    try:
        done = subprocess.run([python, "-c", _ASK, *PACKAGES[framework]], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout
