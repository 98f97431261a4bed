"""Finds Paddle, and lets the BLAS inside it use the processor it runs on."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

_INSTALL = 'pip install "pit-port[paddle]"'


def require_paddle() -> None:
    """Checks that Paddle is installed, without importing it.

    Raises:
        ImportError: It is not; the message names the extra that brings it.
    """
    if importlib.util.find_spec("paddle") is None:
        raise ImportError(f"paddle_impl needs paddle, which is not installed: {_INSTALL}", name="paddle")


def unlock_mkl(cpuinfo: Path = Path("/proc/cpuinfo")) -> None:
    """Gives AMD processors the AVX2 kernels of the MKL that Paddle's wheels bundle.

    That MKL is of 2019 and falls back to SSE on a processor that Intel did not make: matrix products run at 40 GFLOP/s
    for 200, a training step of pit_ti takes twice as long. MKL reads this variable at its first product, so that it
    works after `import paddle` too; newer releases of MKL, such as torch's, ignore it. A value that is set stays.

    Args:
        cpuinfo: Linux's description of the processor; elsewhere nothing is done.
    """
    if not cpuinfo.is_file():
        return
    words = cpuinfo.read_text(encoding="utf-8", errors="replace").split()
    if "AuthenticAMD" in words and "avx2" in words:
        os.environ.setdefault("MKL_DEBUG_CPU_TYPE", "5")
