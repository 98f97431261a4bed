"""`pit-align diagnose` on a pair of small nets, and what it found in evaluation mode."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

import cli
from alignment.results.findings import Bisection, Finding


def diagnosed(pair: str, out: Path, batch_size: int = 2) -> list[Finding]:
    """Return the findings; the exit code has to be 1 where there are any."""
    words = ("diagnose", "--pair", pair, "--batch-size", str(batch_size), "--threads", "1", "--out", str(out))
    done = CliRunner().invoke(cli.pit_align, words, prog_name="pit-align")
    findings = Bisection.read(out / "bisection.json").findings
    assert done.exit_code == bool(findings), done.output
    return [one for one in findings if one.mode == "eval"]
