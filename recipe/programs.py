"""Training, evaluation and prediction in another framework, as a process of the interpreter that has it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from recipe.errors import TrainingError

PROGRAMS = {"torch": "reference_torch.training.program", "mindspore": "mindspore_impl.training.program"}
"""Frameworks beside Paddle to the module that carries out a request."""
_ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Request:
    """What a program is asked for.

    Attributes:
        action: `train`, `eval` or `predict`.
        config: The whole configuration as YAML.
        as_json: Print JSON.
        quiet: Print no text and no notes.
        resume: The checkpoint to go on from.
        images: Image files to classify.
        classes: File of class names.
        top: Classes to print for each image.
    """

    action: str
    config: str
    as_json: bool = False
    quiet: bool = False
    resume: str | None = None
    images: tuple[str, ...] = ()
    classes: str | None = None
    top: int = 5


def read_request(text: str) -> Request:
    """Return the request that `run_program` wrote."""
    values = json.loads(text)
    return Request(**{**values, "images": tuple(values["images"])})


def run_program(framework: str, request: Request, python: str | None = None) -> int:
    """Carry out a request in a framework; its output is the process's own.

    Args:
        framework: One of `PROGRAMS`.
        request: What to do.
        python: The interpreter that has the framework; this one by default.

    Returns:
        The exit code.

    Raises:
        TrainingError: The interpreter cannot be started.
    """
    command = _command(framework, python or sys.executable)
    search = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
    try:
        with subprocess.Popen(  # noqa: S603 (our own module, in the interpreter that the user names)
            command, stdin=subprocess.PIPE, env={**os.environ, "PYTHONPATH": search}, text=True
        ) as process:
            process.communicate(json.dumps(asdict(request)))
            return process.returncode if process.returncode >= 0 else 128 - process.returncode
    except OSError as error:
        raise TrainingError(f"{command[0]}: the interpreter cannot be started: {error.strerror}") from None


def _command(framework: str, python: str) -> Sequence[str]:
    return [python, "-W", "ignore", "-m", PROGRAMS[framework]]
