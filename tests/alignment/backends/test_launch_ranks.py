"""What is told of processes that could not train together: the error, and not their whole output."""

from __future__ import annotations

import pytest

from alignment.backends.trainers.launch_ranks import last_error


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
