from __future__ import annotations

import io

from rich.console import Console

from porting.terminal.progress import showing_sides


def test_progress_in_a_log_is_plain_lines() -> None:
    written = io.StringIO()
    with showing_sides(Console(file=written, width=80)) as progress:
        progress("torch", "forward in float32", 1, 8)
    assert written.getvalue() == "torch: forward in float32 (1/8)\n"


def test_progress_on_a_terminal_is_a_bar_for_each_side() -> None:
    written = io.StringIO()
    with showing_sides(Console(file=written, width=100, force_terminal=True)) as progress:
        progress("torch", "loading", 0, 8)
        progress("paddle", "loading", 0, 8)
        progress("torch", "forward in float32", 8, 8)
    for text in ("torch", "paddle", "8/8", "forward in float32"):
        assert text in written.getvalue()
