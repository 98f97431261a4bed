"""Training, evaluation and prediction in another framework, as a process of the interpreter that has it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType

from recipe.errors import TrainingError

PROGRAMS = {"torch": "reference_torch.training.program", "mindspore": "mindspore_impl.training.program"}
"""Frameworks beside Paddle to the module that carries out a request."""
_SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
_QUIET = {"mindspore": {"GLOG_v": "3"}}
"""Framework to variables, unless they are set: MindSpore warns at every start of devices that are not there."""
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


def tell_error(message: str, code: int, *, as_json: bool) -> int:
    """Tell an error on standard error; as a line of JSON on standard output, too. Return the exit code."""
    print(f"pit-train: {message}", file=sys.stderr)
    if as_json:
        summary, *details = message.splitlines() or [""]
        value = {"summary": summary, "details": [line.strip() for line in details], "exit_code": code}
        print(json.dumps({"error": value}))
    return code


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
        The exit code; 128 and the number of the signal that ended the process.

    Raises:
        TrainingError: The interpreter cannot be started.
        KeyboardInterrupt: Ctrl-C was pressed; the process has ended.
    """
    command = [*_command(framework, python or sys.executable), *(["--json"] if request.as_json else [])]
    search = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
    environment = {**_QUIET.get(framework, {}), **os.environ, "PYTHONPATH": search}
    try:
        with (
            _Forwarding() as signals,
            subprocess.Popen(  # noqa: S603 (our own module, in the interpreter that the user names)
                command, stdin=subprocess.PIPE, env=environment, text=True
            ) as process,
        ):
            signals.to(process)
            process.communicate(json.dumps(asdict(request)))
            return process.returncode if process.returncode >= 0 else 128 - process.returncode
    except OSError as error:
        raise TrainingError(f"{command[0]}: the interpreter cannot be started: {error.strerror}") from None


class _Forwarding:
    """Passes SIGTERM and SIGHUP on to a process, and ends it at Ctrl-C, so that it does not go on by itself.

    Signals that are ignored, as SIGHUP is under nohup, or that have a handler, stay as they are. One that comes before
    the process is there is passed on as soon as it is.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._received: list[int] = []
        self._taken: list[signal.Signals] = []

    def __enter__(self) -> _Forwarding:
        if threading.current_thread() is threading.main_thread():
            self._taken = [number for number in _SIGNALS if signal.getsignal(number) is signal.SIG_DFL]
        for number in self._taken:
            signal.signal(number, self._pass_on)
        return self

    def to(self, process: subprocess.Popen[str]) -> None:
        """Set the process."""
        self._process = process
        for number in self._received:
            process.send_signal(number)

    def _pass_on(self, number: int, _: FrameType | None) -> None:
        self._received.append(number)
        if self._process is not None:
            self._process.send_signal(number)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for number in self._taken:
            signal.signal(number, signal.SIG_DFL)
        if kind is KeyboardInterrupt and self._process is not None:
            self._process.terminate()  # at a terminal it has got Ctrl-C, too
            self._process.wait()


def _command(framework: str, python: str) -> Sequence[str]:
    return [python, "-W", "ignore", "-m", "recipe.starting_program", framework]
