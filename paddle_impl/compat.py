"""Checks that Paddle is installed, and makes its MKL use AVX2 on AMD processors."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

_INSTALL = "pip install paddlepaddle reprod_log"


def require_paddle() -> None:
    """Check that Paddle is installed, without importing it.

    Raises:
        ImportError: Paddle is not installed; the message has the command that installs it.
    """
    if importlib.util.find_spec("paddle") is None:
        raise ImportError(f"paddle_impl needs paddle, which is not installed: {_INSTALL}", name="paddle")


def unlock_mkl(cpuinfo: Path = Path("/proc/cpuinfo")) -> None:
    """Use the AVX2 kernels of the MKL in Paddle's wheels on AMD processors.

    That MKL is of 2019 and uses SSE on processors that are not Intel's: matrix products run at 40 instead of
    200 GFLOP/s, and a training step of pit_ti takes twice as long. MKL reads `MKL_DEBUG_CPU_TYPE` at its first product,
    so that setting it works after `import paddle` too; newer releases of MKL, such as torch's, ignore it. A value that
    the user has set stays.

    Args:
        cpuinfo: Linux's description of the processor; elsewhere nothing is done.
    """
    if not cpuinfo.is_file():
        return
    words = cpuinfo.read_text(encoding="utf-8", errors="replace").split()
    if "AuthenticAMD" in words and "avx2" in words:
        os.environ.setdefault("MKL_DEBUG_CPU_TYPE", "5")
