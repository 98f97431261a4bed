"""The last lines of `pit-train train`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click
from click.testing import CliRunner

from recipe.config import Config
from recipe.endings import end_of_training


def test_next_command_evaluates_what_was_trained_and_not_what_it_started_from(tmp_path: Path) -> None:
    (tmp_path / "latest.pth").touch()
    config = replace(Config(), run=replace(Config().run, output=str(tmp_path)))

    @click.group()
    def tool() -> None: ...

    @tool.command("train")
    def train() -> None:
        given = ("model.num_classes=9", "model.weights=start.pth", "model.num_classes=3")  # the last one counts
        end_of_training(config, given, whole=True)

    result = CliRunner().invoke(tool, ["train"], prog_name="tool")
    command = result.output.splitlines()[-1]
    assert command == f"next: tool eval model.num_classes=3 model.weights={tmp_path}/latest.pth"
