from __future__ import annotations

import io

import pytest
from rich.console import Console

from porting.terminal.progress import showing_sides


def test_progress_in_a_log_is_plain_lines() -> None:
    written = io.StringIO()
    with showing_sides(Console(file=written, width=80)) as progress:
        progress("torch", "forward in float32", 1, 8)
    assert written.getvalue() == "torch: forward in float32 (1/8)\n"


def test_progress_in_a_log_has_the_first_event_of_a_side_the_last_and_few_between(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = iter((0.0, 1.0, 2.0, 9.0, 12.0, 13.0))
    monkeypatch.setattr("porting.terminal.progress.time.monotonic", lambda: next(clock))
    written = io.StringIO()
    with showing_sides(Console(file=written, width=80)) as progress:
        for side, done in (("torch", 1), ("paddle", 1), ("torch", 2), ("torch", 3), ("torch", 4), ("torch", 5)):
            progress(side, f"part {done}", done, 5)
    assert written.getvalue().splitlines() == [
        *("torch: part 1 (1/5)", "paddle: part 1 (1/5)", "torch: part 4 (4/5)", "torch: part 5 (5/5)")
    ]


def test_progress_on_a_terminal_is_a_bar_for_each_side() -> None:
    written = io.StringIO()
    with showing_sides(Console(file=written, width=100, force_terminal=True)) as progress:
        progress("torch", "loading", 0, 8)
        progress("paddle", "loading", 0, 8)
        progress("torch", "forward in float32", 8, 8)
    for text in ("torch", "paddle", "8/8", "forward in float32"):
        assert text in written.getvalue()
