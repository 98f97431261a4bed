"""What the pages say runs: the tutorial, the code of the guides, every command line, and the table of other tools."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import cli
from alignment.backends.base import Backend
from benchmarks.comparison import main as comparison
from benchmarks.wrong_arrays import RIGHT_PAIRS, WRONG_PAIRS
from tests import prose
from tests.prose import ROOT

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
GUIDES = [DOCS / "howto" / "add-a-layout.md", DOCS / "howto" / "add-a-step.md"]
GROUPS = {"pit-port": cli.pit_port, "pit-align": cli.pit_align, "pit-train": cli.pit_train}
INSTALLED = (
    "reprod_log",
    "np.allclose",
    "np.testing",
    "torch.testing",
    "pit-align compare",
)


def test_the_tutorial_runs_as_written(tmp_path: Path) -> None:
    commands = [line for line in prose.commands((DOCS / "tutorial.md").read_text()) if not line.startswith("pip ")]
    assert len(commands) >= 12
    printed = {command: prose.run(command, tmp_path) for command in commands}
    said = {command.split(" --")[0]: text for command, text in printed.items()}
    assert "SAME FUNCTION" in said["pit-align all"]
    assert "exit code 1" in said["pit-align forward"]
    assert "51 Linear weights" in said["pit-port convert pit_ti_730.pth pit_ti.pdparams"]
    assert {"pit-align.toml", "pit_ti.html", "gate.xml", "gate.md"} <= {path.name for path in tmp_path.iterdir()}


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_the_code_of_a_guide_runs_from_top_to_bottom(page: Path, tmp_path: Path) -> None:
    code = prose.blocks(page.read_text(), "python")
    assert sum(block.count("assert ") for block in code) >= 2
    (tmp_path / "guide.py").write_text("\n".join(code))
    prose.run(f"PYTHONPATH={ROOT} python -W ignore guide.py", tmp_path)


def test_the_guide_to_backends_names_every_method_once() -> None:
    table = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", (DOCS / "howto" / "add-a-backend.md").read_text(), re.MULTILINE)
    named = re.findall(r"`(\w+)`", " ".join(table))
    assert sorted(named) == sorted(name for name in vars(Backend) if not name.startswith("_"))


def _lines(page: Path) -> list[str]:
    text = page.read_text()
    charts = re.findall(r"<code>(.*?)</code>", text) if 'class="flow"' in text else []
    shown = [*prose.commands(text), *(chart.replace("&amp;", "&") for chart in charts)]
    return [part.strip() for line in shown for part in re.split(r"&&|\|\|", line) if part.strip().startswith("pit-")]


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_line_is_one_that_the_tools_take(page: Path) -> None:
    for line in _lines(page):
        tool, *words = shlex.split(line)
        name, *arguments = [word for word in words if word != "…"]
        if name.startswith("-"):
            assert name in {option for parameter in GROUPS[tool].params for option in parameter.opts}, line
            continue
        command = GROUPS[tool].commands.get(name)
        assert command is not None, f"{line}: {tool} has no command {name}"
        try:
            command.make_context(name, list(arguments))
        except click.UsageError as error:
            raise AssertionError(f"{line}: {error.format_message()}") from error


def test_the_flow_chart_has_a_command_in_every_box() -> None:
    chart = (DOCS / "howto" / "debug.md").read_text().partition('<ol class="flow"')[2].partition("</ol>")[0]
    boxes = chart.split("<li")[1:]
    assert len(boxes) >= 7
    for box in boxes:
        assert re.search(r"<code>pit-(align|port) ", box), box


def _columns(table: str) -> dict[str, dict[str, str]]:
    """Tool to pair to cell."""
    header, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    return {tool: {row[0]: row[at] for row in rows} for at, tool in enumerate(header) if at}


def test_the_table_of_other_tools_is_what_the_command_prints() -> None:
    page = (DOCS / "comparison.md").read_text()
    written = _columns("\n".join(re.findall(r"(?:^\| pair |^\|-)[\s\S]*?\n\n", page, re.MULTILINE)[0].splitlines()))
    words = [word for tool in INSTALLED for word in ("--tool", tool)]
    done = CliRunner().invoke(comparison, words, catch_exceptions=False)
    found = _columns(done.stdout.strip())
    assert len(found) == len(INSTALLED)
    for tool, cells in found.items():
        name = next(name for name in written if name.split(" ")[0] == tool.split(" ")[0])
        assert written[name] == cells
    assert [len(cells) for cells in written.values()] == [len(WRONG_PAIRS) + len(RIGHT_PAIRS) + 2] * len(written)
