"""Contestants of a benchmark, each in a process of its own, which runs only when it is asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

ROOT = Path(__file__).resolve().parent.parent
REST = 0.3
"""Seconds between turns: the threads of the contestant before may spin for 0.2 s before they sleep."""


class Worker:
    """A contestant's process.

    Args:
        title: Name of the contestant in messages.
        module: Module to run; its `main` answers with `serve`.
        words: Arguments of the module.
        threads: Number of CPU threads.
        mkl: `MKL_DEBUG_CPU_TYPE`, by which the MKL in Paddle's wheels picks its kernels: 5 is AVX2, "" its own choice.

    Raises:
        click.ClickException: The process ended; its messages are on stderr.
    """

    def __init__(self, title: str, module: str, words: Sequence[str | int], threads: int, mkl: str = "") -> None:
        self.title = title
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, *map(str, words)],
            cwd=ROOT,
            env=environment(threads, mkl),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._read()

    def ask(self, request: str) -> Any:
        """The answer to a request."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{request}\n")
        self.process.stdin.flush()
        return self._read()

    def close(self) -> None:
        """Ends the process."""
        self.process.terminate()
        self.process.wait()

    def _read(self) -> Any:
        """The next line that is an answer; frameworks print other lines to stdout."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("answer "):
                return json.loads(line.removeprefix("answer "))
        raise click.ClickException(f"{self.title}: its process ended with exit code {self.process.wait()}")


def environment(threads: int, mkl: str = "") -> dict[str, str]:
    """Environment of a contestant's process, which its framework reads when it is imported."""
    variables = os.environ | {
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "FLAGS_paddle_num_threads": str(threads),
        "OMP_WAIT_POLICY": "passive",
    }
    variables.pop("MKL_DEBUG_CPU_TYPE", None)
    return variables | ({"MKL_DEBUG_CPU_TYPE": mkl} if mkl else {})


def serve(answer: Callable[[str], Any]) -> None:
    """Answer each line of standard input, in the contestant's process."""
    respond("ready")
    for line in sys.stdin:
        respond(answer(line.strip()))


def respond(value: Any) -> None:
    """Print a value as a line with a mark, since frameworks print to stdout too."""
    print(f"answer {json.dumps(value)}", flush=True)
