"""The pages are true: tutorial, code of the guides, command lines, names of modules, the table of other tools."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import alignment
import cli
import porting
from alignment.backends.base import Backend
from alignment.gating.config import Regression, Requirement, Threshold, Waiver
from alignment.processes.settings import Settings
from alignment.results.report import Report, Row
from alignment.steps import STEPS
from alignment.steps.training import TRAINING_STEPS
from benchmarks.comparison import main as comparison
from benchmarks.wrong_arrays import RIGHT_PAIRS, WRONG_PAIRS
from recipe.dialects.commands import translate_command
from tests import prose
from tests.prose import ROOT
from tests.test_architecture import FLOORS, _by_name, _targets

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
TEXTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", ROOT / "logs" / "README.md", *PAGES]
GUIDES = [DOCS / "howto" / "add-a-layout.md", DOCS / "howto" / "add-a-step.md"]
GROUPS = {"pit-port": cli.pit_port, "pit-align": cli.pit_align, "pit-train": cli.pit_train}
INSTALLED = (
    "reprod_log",
    "np.allclose",
    "np.testing",
    "torch.testing",
    "pit-align compare",
)
FOLDERS = "alignment|porting|recipe|paddle_impl|reference_torch|mindspore_impl|benchmarks|tests|examples"


def _id(page: Path) -> str:
    return str(page.relative_to(ROOT))


def test_tutorial_runs_as_written(tmp_path: Path) -> None:
    commands = [line for line in prose.commands((DOCS / "tutorial.md").read_text()) if not line.startswith("pip ")]
    assert len(commands) >= 12
    printed = {command: prose.run(command, tmp_path) for command in commands}
    output = {command.split(" --")[0]: text for command, text in printed.items()}
    assert "SAME FUNCTION" in output["pit-align all"]
    assert "exit code 1" in output["pit-align forward"]
    assert "51 Linear weights" in output["pit-port convert pit_ti_730.pth pit_ti.pdparams"]
    assert {"pit-align.toml", "pit_ti.html", "gate.xml", "gate.md"} <= {path.name for path in tmp_path.iterdir()}


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_code_of_a_guide_runs_from_top_to_bottom(page: Path, tmp_path: Path) -> None:
    code = prose.blocks(page.read_text(), "python")
    assert sum(block.count("assert ") for block in code) >= 2
    (tmp_path / "guide.py").write_text("\n".join(code))
    prose.run(f"PYTHONPATH={ROOT} python -W ignore guide.py", tmp_path)


def test_guide_to_backends_names_every_method_once() -> None:
    table = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", (DOCS / "howto" / "add-a-backend.md").read_text(), re.MULTILINE)
    named = re.findall(r"`(\w+)`", " ".join(table))
    assert sorted(named) == sorted(name for name in vars(Backend) if not name.startswith("_"))


def _lines(page: Path) -> list[str]:
    text = page.read_text()
    charts = re.findall(r"<code>(.*?)</code>", text) if 'class="flow"' in text else []
    shown = [*prose.commands(text), *(chart.replace("&amp;", "&") for chart in charts)]
    return [part.strip() for line in shown for part in re.split(r"&&|\|\|", line) if part.strip().startswith("pit-")]


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=_id)
def test_every_command_line_is_accepted_by_its_tool(page: Path) -> None:
    for line in _lines(page):
        tool, *words = shlex.split(line)
        foreign = translate_command(words) if tool == "pit-train" else None
        words = words if foreign is None else foreign.arguments
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


def _exists(dotted: str) -> bool:
    """Return whether a dotted name is a module, a name that a module defines, or a public name of a package."""
    module, *names = dotted.split(".")
    while names:
        place = ROOT.joinpath(*module.split("."), names[0])
        if not (place.is_dir() or place.with_suffix(".py").is_file()):
            break
        module = f"{module}.{names.pop(0)}"
    if not names:
        return True
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    source = Path(spec.origin).read_text()
    first = re.escape(names[0])
    public = {"alignment": alignment.__all__, "porting": porting.__all__}.get(module, [])
    return names[0] in public or bool(
        re.search(rf"^(?:class|def) {first}\b|^{first}\b|^from .*\b{first}\b", source, re.MULTILINE)
    )


@pytest.mark.parametrize("page", TEXTS, ids=_id)
def test_every_module_and_path_that_a_page_names_exists(page: Path) -> None:
    text, _, older = page.read_text().partition("| older path | path |\n")
    text += "".join(line.split("|")[2] for line in older.splitlines() if line.startswith("| `"))
    for dotted in re.findall(r"(?<![\w./-])(?:alignment|porting)(?:\.\w+)+", text):
        name = dotted.removesuffix(".py").removesuffix(".md")
        if dotted == name and not re.fullmatch(r"\w+\.(?:html|json|toml)", dotted):
            assert _exists(dotted), f"{page.name} names {dotted}"
    for path in re.findall(rf"(?<![\w./-])(?:{FOLDERS})/[\w./-]*\w/?", text):
        assert (ROOT / path).exists() or (ROOT / f"{path}.py").exists(), f"{page.name} names {path}"


@pytest.mark.parametrize("page", [DOCS / "api.md", ROOT / "CHANGELOG.md"], ids=_id)
def test_table_of_older_import_paths_is_complete(page: Path) -> None:
    written = dict(re.findall(r"^\| `([\w.]+)` \| `([\w.]+)` \|$", page.read_text(), re.MULTILINE))
    sources = [
        (ROOT / package / "__init__.py").read_text().partition("renamed(")[2] for package in ("alignment", "porting")
    ]
    assert written == dict(re.findall(r'"([\w.]+)": "([\w.]+)"', "".join(sources)))


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("steps", [*STEPS, *TRAINING_STEPS]),
        ("verdicts", [field.name for kind in (Report, Row) for field in fields(kind)]),
        (
            "settings",
            [field.name for kind in (Settings, Requirement, Threshold, Waiver, Regression) for field in fields(kind)],
        ),
    ],
    ids=["steps", "verdicts", "settings"],
)
def test_reference_page_names_every_step_or_field(page: str, names: Iterable[str]) -> None:
    text = (DOCS / "reference" / f"{page}.md").read_text()
    assert set(names) - set(re.findall(r"`(\w+)`", text)) == set()


def _floors(package: str) -> list[list[str]]:
    """Return the lines of each floor in the picture of a package."""
    section = (DOCS / "architecture.md").read_text().partition(f"\n## {package}/\n")[2]
    return [floor.splitlines() for floor in re.split(r"─+\n", prose.blocks(section, "text")[0])]


def test_picture_of_alignment_has_the_floors_of_the_architecture_test() -> None:
    rooms = [{line.split()[0] for line in floor} for floor in _floors("alignment")]
    assert rooms == [{room or "loose" for room in floor} for floor in FLOORS]


@pytest.mark.parametrize("package", ["alignment", "porting"])
def test_picture_of_a_package_names_its_folders_and_loose_modules(package: str) -> None:
    places = {
        path.stem for path in (ROOT / package).iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    floors = _floors(package)
    assert places - {"__init__"} <= set(re.findall(r"\w+", "\n".join(map("\n".join, floors))))
    (loose,) = (line.split()[1:] for line in floors[-1] if line.split()[0] == "loose")
    assert {*loose, *(line.split()[0] for floor in floors for line in floor if line[1] != " ")} - {"loose"} <= places


def test_modules_of_porting_import_from_lower_floors_of_the_picture_only() -> None:
    floors = [{line.split()[0] for line in floor} for floor in _floors("porting")]
    modules = _by_name()

    def floor(path: Path) -> int:
        return next(
            (number for number, rooms in enumerate(floors) if Path(path.parts[1]).stem in rooms), len(floors) - 1
        )

    upwards = [
        f"{path} imports {target}"
        for path in modules.values()
        if path.parts[0] == "porting" and path != Path("porting/__init__.py")
        for target in _targets(path, modules)
        if path.parts[1] != target.parts[1] and len(floors) - 1 != floor(path) >= floor(target)
    ]
    assert not upwards


def test_flow_chart_has_a_command_in_every_box() -> None:
    chart = (DOCS / "howto" / "debug.md").read_text().partition('<ol class="flow"')[2].partition("</ol>")[0]
    boxes = chart.split("<li")[1:]
    assert len(boxes) >= 7
    for box in boxes:
        assert re.search(r"<code>pit-(align|port) ", box), box


def _columns(table: str) -> dict[str, dict[str, str]]:
    """Tool to pair to cell."""
    header, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    return {tool: {row[0]: row[at] for row in rows} for at, tool in enumerate(header) if at}


def test_table_of_other_tools_equals_what_the_command_prints() -> None:
    page = (DOCS / "comparison.md").read_text()
    written = _columns("\n".join(re.findall(r"(?:^\| pair |^\|-)[\s\S]*?\n\n", page, re.MULTILINE)[0].splitlines()))
    words = [word for tool in INSTALLED for word in ("--tool", tool)]
    done = CliRunner().invoke(comparison, words, catch_exceptions=False)
    printed = _columns(done.stdout.strip())
    assert len(printed) == len(INSTALLED)
    for tool, cells in printed.items():
        name = next(name for name in written if name.split(" ")[0] == tool.split(" ")[0])
        assert written[name] == cells
    assert [len(cells) for cells in written.values()] == [len(WRONG_PAIRS) + len(RIGHT_PAIRS) + 2] * len(written)
