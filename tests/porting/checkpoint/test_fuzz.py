"""A short run of the fuzzer; `make fuzz` runs it for longer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
READERS = {"torch-zip", "torch-legacy", "pdparams", "safetensors", "npz", "mindspore", "reprod_log", "index"}


def test_damaged_and_hostile_files(tmp_path: Path) -> None:
    options = ["--inputs", "400", "--keep", str(tmp_path), "--json"]
    command = [sys.executable, "-W", "error", "-m", "benchmarks.fuzz", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert set(outcome["inputs"]) == READERS
    assert min(outcome["inputs"].values()) == 50
    assert outcome["problems"] == []
    assert list(tmp_path.iterdir()) == []
