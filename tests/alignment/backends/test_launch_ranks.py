"""What is told of processes that could not train together: the error, and not their whole output."""

from __future__ import annotations

import pytest

from alignment.backends.trainers.launch_ranks import _CODE, causes, last_error


@pytest.mark.parametrize(
    ("log", "line"),
    [
        ('Traceback:\n  File "a"\nValueError: no such port\n======\nI1130 tcp_store.cc\n', "ValueError: no such port"),
        ("alignment.errors.AlignmentError: too large\nbye\n", "alignment.errors.AlignmentError: too large"),
        ("warning\nkilled\n\n", "killed"),
        ("", ""),
        ("x" * 1000, "x" * 300),
    ],
)
def test_last_error_of_a_log_is_its_error_else_its_last_line(log: str, line: str) -> None:
    assert last_error(log) == line


def test_process_that_was_killed_is_the_cause_and_not_those_that_lost_it() -> None:
    logs = ["FatalError: `Termination signal` is detected\n", "bye\n"]
    (cause,) = causes([-15, *_told_by_the_launcher(-9)], logs, for_memory=True)
    assert cause.startswith(
        "one of the processes: the system ended it by SIGKILL for lack of memory: a smaller --image"
    )
    assert causes([1, *_told_by_the_launcher(1)], logs, for_memory=False) == [line.strip() for line in logs]


def _told_by_the_launcher(code: int) -> list[int]:
    line = f"Container rank 1 status failed cmd ['python', '-u', 'x.py'] code {code} log /tmp/logs/workerlog.1\n"
    return [int(text) for text in _CODE.findall(f"LAUNCH ERROR 2026-11-30 Container failed !!!\n{line}env {{}}\n")]
