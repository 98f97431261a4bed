"""Files that users have from version 0.1.0 still work: `compatibility/` holds some that its code wrote or ran."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import alignment.running
from alignment.cli.steps import pit_align
from alignment.pair import load_pair
from alignment.pair.contract import Contract
from alignment.processes.settings import Settings
from alignment.results.report import DIVERGENCE, read_report
from alignment.running.run import align, record

FILES = Path(__file__).with_name("compatibility")
EARLIER = {
    "alignment.backends.trainer": "Listing Trainer Updated create",
    "alignment.comparison": "compare_paths open_side",
    "alignment.faults": "FAULTS HELD_OUT KNOWN Fault",
    "alignment.faults.base": "Fault",
    "alignment.gate_check": "Failure GateResult Waived gate",
    "alignment.inputs": "Inputs draw perturb read_images",
    "alignment.judge": "judge judge_arrays",
    "alignment.pairs": "NAMES PUBLISHED build",
    "alignment.recording": "Entry Manifest Recorder Recording open_recording read_manifest",
    "alignment.report.model": "Report Row overall read_report write_report",
    "alignment.settings": "Settings",
    "alignment.targets": "absolute is_file resolve split",
    "alignment.tolerance": "Override Tolerance Tolerances",
    "porting.axes": "Squeeze Unsqueeze between",
    "porting.faults": "ending_in_order",
    "porting.ops": "Concat Drop Fill Op ShapeMismatchError Split Transpose ValueMismatchError",
    "porting.ties": "Tie Untie",
}
"""Name that a module had in 0.1.0 to what users import from it."""
WITH_A_FRAMEWORK = {
    "alignment.backends.paddle_training": "create",
    "alignment.backends.paddle_training_faults": "fault_no_warm_up",
    "alignment.backends.torch_training": "create",
}
"""The same for modules that import a framework, with what `Side.training` names."""
WITH_MINDSPORE = {"alignment.backends.mindcv": "create"}
"""The same for modules that import MindSpore, which is not installed beside the others."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the files. The pair file is kept as text, for type-checkers do not know the paths that it imports."""
    copied = shutil.copytree(FILES, tmp_path / "compatibility")
    (copied / "my_pair.txt").rename(copied / "my_pair.py")
    return copied


def _invoke(*arguments: object) -> Result:
    return CliRunner().invoke(pit_align, [*map(str, arguments)], catch_exceptions=False)


def _declared() -> dict[str, str]:
    """The earlier names of modules that the packages declare, to the names that these have now."""
    declared: dict[str, str] = {}
    for package in ("alignment", "porting"):
        text = (Path(__file__).parents[2] / package / "__init__.py").read_text()
        declared |= ast.literal_eval(text.rpartition("renamed(")[2].rpartition(")")[0].strip())
    return declared


@pytest.mark.parametrize(("earlier", "names"), EARLIER.items())
def test_module_under_its_earlier_name_is_the_module_itself(earlier: str, names: str) -> None:
    module = import_module(earlier)
    assert module is import_module(_declared()[earlier])
    assert not [name for name in names.split() if not hasattr(module, name)]


def test_every_earlier_name_that_a_package_declares_is_tested() -> None:
    assert _declared().keys() == EARLIER.keys() | WITH_A_FRAMEWORK.keys() | WITH_MINDSPORE.keys()


@pytest.mark.parametrize(("earlier", "name"), WITH_A_FRAMEWORK.items())
def test_trainer_under_its_earlier_name_is_the_one_of_today(earlier: str, name: str) -> None:
    code = f"import sys; from {earlier} import {name}; print(sys.modules[{earlier!r}].__name__)"
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2], text=True
    )
    assert done.stdout.strip() == _declared()[earlier]


@pytest.mark.parametrize(("earlier", "name"), WITH_MINDSPORE.items())
def test_module_for_mindspore_has_what_its_earlier_name_had(earlier: str, name: str) -> None:
    file = Path(__file__).parents[2] / f"{_declared()[earlier].replace('.', '/')}.py"
    assert name in {getattr(node, "name", "") for node in ast.parse(file.read_text()).body}


def test_room_of_a_run_offers_what_the_module_of_that_name_did() -> None:
    assert alignment.running.align is align
    assert alignment.running.record is record


@pytest.mark.parametrize(
    ("name", "own"),
    [("DERIVED", True), ("GIVEN", True), ("PAIR", True), ("PINNED", True), ("ACTIVATION", True), ("PUBLISHED", False)],
)
def test_pair_file_with_earlier_imports_declares_its_pairs(name: str, own: bool, folder: Path) -> None:
    pair = load_pair(f"{folder / 'my_pair.py'}:{name}")
    assert pair.own == own
    assert pair.intermediates == (None if own else "forward_intermediates")


@pytest.mark.parametrize("name", ["rules.json", "given-rules.json"])
def test_saved_rules_are_read_and_written_in_the_format_of_today(name: str) -> None:
    earlier = json.loads((FILES / name).read_text())
    assert earlier["format"] == "pit-align rules 1"
    written = Contract.read(FILES / name).to_json()
    outputs = {row.pop("output", None) for row in written["rules"]}
    assert outputs == ({None, 0, 1} if name == "given-rules.json" else {None})
    assert written.pop("proven") is None
    no_pieces: dict[str, object] = {"before": {}, "last": [], "pieces": {}}
    for side in ("reference", "candidate"):
        added = {name: written[side].pop(name) for name in written[side].keys() - earlier[side].keys()}
        assert added == {"outputs": {}, "others": {}, "before": {}, "last": [], "cut": no_pieces}
        for module, before in zip(written[side]["modules"], earlier[side]["modules"], strict=True):
            assert {name: module.pop(name) for name in module.keys() - before.keys()} == {"padding": -1}
    assert written == {**earlier, "format": "pit-align rules 2"}


@pytest.mark.parametrize("name", ["PAIR", "PINNED"])
def test_pair_with_saved_rules_is_aligned(name: str, folder: Path, tmp_path: Path) -> None:
    settings = Settings(steps=("forward",), dtypes=("float32",), batch_size=2, threads=1)
    report = align(load_pair(f"{folder / 'my_pair.py'}:{name}"), tmp_path / "run", settings)
    assert report.verdict != DIVERGENCE, [row for row in report.rows if row.verdict == DIVERGENCE]
    assert len(report.rows) > 1


def test_recordings_are_compared_as_they_were() -> None:
    result = _invoke("compare", FILES / "recordings", FILES / "recordings", "--json")
    assert result.exit_code == 0, result.output
    compared: dict[str, Any] = json.loads(result.stdout)
    assert (compared.pop("kernels"), compared.pop("apart")) == ([], None)
    assert (compared.pop("cause"), compared.pop("power")) == ("", None)
    reported = json.loads((FILES / "report.json").read_text())
    assert {**compared, "created": "", "command": ""} == {**reported, "created": "", "command": ""}


def test_report_passes_the_gate_that_was_written_for_it(folder: Path) -> None:
    passed = _invoke("gate", folder / "report.json", "--config", folder / "pit-align.toml")
    assert (passed.exit_code, passed.stdout) == (0, "PASSED  40 rows held against thresholds\n")
    config = folder / "pit-align.toml"
    config.write_text(config.read_text().replace("max_rel_l2 = 3e-06", "max_rel_l2 = 3e-12"))
    assert _invoke("gate", folder / "report.json", "--config", config).exit_code == 1


def test_report_is_shown_with_its_recordings(folder: Path) -> None:
    shown = _invoke("report", folder / "report.json", "--html", folder / "page.html", "--quantity", "bp/gradient/*")
    assert shown.exit_code == 0, shown.output
    assert "small: SAME FUNCTION" in shown.stdout
    assert "bp/gradient/head.weight" in (folder / "page.html").read_text()
    assert read_report(folder / "report.json").model == "small"
