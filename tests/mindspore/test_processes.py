"""Processes of MindSpore that msrun starts: they share their losses, and all end in order."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mindspore")
MSRUN = Path(sys.executable).with_name("msrun")


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        port: int = opened.getsockname()[1]
        return port


def test_two_processes_average_and_msrun_ends_without_an_error(tmp_path: Path) -> None:
    house = Path(__file__).parents[2]
    environment = {
        **os.environ,
        "PATH": f"{MSRUN.parent}{os.pathsep}{os.environ['PATH']}",  # msrun takes the `python` that it finds
        "PYTHONPATH": str(house),
        "GLOG_v": "3",
    }
    options = ("--worker_num", "2", "--local_worker_num", "2", "--join", "True", "--master_port", str(free_port()))
    command = [str(MSRUN), *options, "--log_dir", str(tmp_path), str(Path(__file__).with_name("two_ranks.py"))]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    logs = {path.name: path.read_text() for path in tmp_path.glob("*.log")}
    assert done.returncode == 0, (done.stdout, done.stderr, logs)
    assert [f"rank {rank} of 2: 0.5" in logs[f"worker_{rank}.log"] for rank in range(2)] == [True, True]
    assert "Traceback" not in "".join(logs.values())
