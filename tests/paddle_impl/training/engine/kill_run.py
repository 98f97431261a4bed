"""Carries out the tiny run twice: undisturbed, and killed by SIGKILL at random moments and resumed each time.

Run as `python kill_run.py KILLS SEED`; makes the folders `undisturbed` and `killed`, and prints how many attempts were
killed, and how many of these while a checkpoint was being written. Paddle is imported once, and nothing is computed
with it before a fork.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

SETTINGS = '{"data": {"train": "250", "validation": "30"}, "run": {"save_updates": 1}}'


def _tiny_run() -> ModuleType:
    spec = spec_from_file_location("tiny_run", Path(__file__).with_name("tiny_run.py"))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _attempt(tiny_run: ModuleType, draw: random.Random | None) -> int:
    """The exit code of a child that carries on with the run; -9 when it was killed, at random after some saves."""
    seen, child = _latest(), os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        os._exit(tiny_run.main(SETTINGS))
    if draw is None:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    for _ in range(draw.randrange(6)):
        while _latest() == seen:
            if os.waitpid(child, os.WNOHANG)[0]:
                return 0
            time.sleep(0.0005)
        seen = _latest()
    time.sleep(draw.uniform(0, 0.03))
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _latest() -> int:
    """Tells one checkpoint from the next."""
    latest = Path("run/latest.pdparams")
    return latest.stat().st_mtime_ns if latest.exists() else 0


def _drafts() -> int:
    return len(list(Path("run").glob(".*.part")))


def _carried_out(tiny_run: ModuleType, folder: Path, kills: int, draw: random.Random) -> tuple[int, int]:
    """Kills that often, then lets the run end."""
    folder.mkdir()
    os.chdir(folder)
    killed, torn = 0, 0
    for _ in range(kills):
        killed += _attempt(tiny_run, draw) == -signal.SIGKILL
        torn += _drafts() > 0
    assert _attempt(tiny_run, None) == 0
    return killed, torn


def main(kills: int, seed: int) -> None:
    """Both runs, with the same command as far as they can tell."""
    tiny_run, here, draw = _tiny_run(), Path.cwd(), random.Random(seed)
    sys.argv = ["tiny_run.py"]
    _carried_out(tiny_run, here / "undisturbed", 0, draw)
    print(*_carried_out(tiny_run, here / "killed", kills, draw))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
