from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from recipe.runs.log import read_log

_PROGRAM = Path(__file__).with_name("kill_run.py")


def test_run_killed_twenty_times_writes_the_bytes_of_an_undisturbed_one(tmp_path: Path) -> None:
    command = [sys.executable, str(_PROGRAM), "20", "1"]
    done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    assert int(done.stdout.split()[0]) >= 10  # the rest had come to the end before
    for name in ("latest.pdparams", "best.pdparams", "epoch_0002.pdparams"):
        undisturbed, resumed = (tmp_path / kind / "run" / name for kind in ("undisturbed", "killed"))
        same = undisturbed.read_bytes() == resumed.read_bytes()
        assert same, name  # not the bytes themselves: 50 kB in the message help nobody
    log = read_log(tmp_path / "killed" / "run" / "log.jsonl")
    assert len({(entry["epoch"], entry["update"]) for entry in log if entry["event"] == "start"}) > 3
    assert not list((tmp_path / "killed" / "run").glob(".*.part"))
