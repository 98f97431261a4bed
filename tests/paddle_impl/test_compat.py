"""What `paddle_impl` says without Paddle, and when it steers Paddle's MKL."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

from paddle_impl import compat


def test_missing_paddle_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ImportError, match=r"needs paddle, .*pip install paddlepaddle") as raised:
        compat.require_paddle()
    assert raised.value.name == "paddle"


@pytest.mark.parametrize(
    ("cpuinfo", "already", "expected"),
    [
        ("vendor_id : AuthenticAMD\nflags : fpu sse2 avx avx2 fma", None, "5"),
        ("vendor_id : AuthenticAMD\nflags : fpu sse2 avx", None, None),
        ("vendor_id : GenuineIntel\nflags : fpu sse2 avx avx2 fma", None, None),
        ("vendor_id : AuthenticAMD\nflags : avx2", "4", "4"),
        (None, None, None),
    ],
    ids=["AMD", "AMD without AVX2", "Intel", "set by the user", "not Linux"],
)
def test_mkl_is_unlocked_on_amd(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cpuinfo: str | None, already: str | None, expected: str | None
) -> None:
    monkeypatch.setenv("MKL_DEBUG_CPU_TYPE", already or "")
    if already is None:
        monkeypatch.delenv("MKL_DEBUG_CPU_TYPE")
    if cpuinfo is not None:
        (tmp_path / "cpuinfo").write_text(cpuinfo)
    compat.unlock_mkl(tmp_path / "cpuinfo")
    assert os.environ.get("MKL_DEBUG_CPU_TYPE") == expected
