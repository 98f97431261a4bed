"""A page that cannot be had ends a command in order, and a program that has not asked for it as the system does."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
SCRIPT = """
import contextlib, os, sys, threading
from pathlib import Path
from porting.checkpoint.file.source import Source
from porting.checkpoint.file.target import drafted
from porting.checkpoint.file.bus_errors import ending_in_order

file, how = Path(sys.argv[1]), sys.argv[2]
draft = file.with_name("draft")
draft.touch()
with Source.open(file) as source, Source.open(file.with_name("other")) as other, drafted(draft):
    with ending_in_order("tool", 9) if how != "without" else contextlib.nullcontext():
        array = source.array(0, source.size)
        if how != "before":
            os.truncate(file, 5000)
        if how == "thread":
            thread = threading.Thread(target=array.sum)
            thread.start()
            thread.join()
        else:
            array.sum()
    os.truncate(file, 5000)
    array.sum()
"""


@pytest.mark.parametrize("how", ["thread", "main thread", "without", "before"])
def test_file_truncated_in_use_ends_the_process_with_one_line(how: str, tmp_path: Path) -> None:
    for name in ("model.bin", "other"):
        (tmp_path / name).write_bytes(b"x" * 1_000_000)
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "model.bin"), how]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    if how in ("without", "before"):
        assert (done.returncode, done.stderr) == (-signal.SIGBUS, "")
    else:
        expected = f"tool: {tmp_path}/model.bin: has become shorter while it was read: it ends at byte 5000\n"
        assert (done.returncode, done.stderr) == (9, expected)
        assert not (tmp_path / "draft").exists()
