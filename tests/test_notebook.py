"""The notebook runs from beginning to end as a user of a clone would run it, and is stored without outputs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "examples" / "pit_alignment.ipynb"
_EXECUTE = """
import sys, nbclient, nbformat
notebook = nbformat.read(sys.argv[1], 4)
nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
nbformat.write(notebook, "executed.ipynb")
"""


def outputs(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    return [output for cell in notebook["cells"] for output in cell.get("outputs", ())]


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    folder = tmp_path_factory.mktemp("clone") / "examples"
    folder.mkdir()
    shutil.copy(NOTEBOOK, folder)
    places = {name: str(folder.parent / name) for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR")}
    done = subprocess.run(
        [sys.executable, "-c", _EXECUTE, NOTEBOOK.name],
        cwd=folder,
        env=os.environ | places | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    shown: dict[str, Any] = json.loads((folder / "executed.ipynb").read_text())
    return shown, folder.parent


def test_notebook_shows_the_announced_results(executed: tuple[dict[str, Any], Path]) -> None:
    shown = outputs(executed[0])
    printed = "".join("".join(output.get("text", ())) for output in shown)
    for line in (
        "canonical (torch-zip) -> paddlevit (pdparams)\n",
        "same: all 160 tensors are bit-equal\n",
        "pit_ti: same function\n",
        "different: 1 of 160 tensors\n",
        "pit_ti: divergence\n",
        "alignment: passed\n",
        "wrong: failed, ",
    ):
        assert line in printed
    data = [output["data"] for output in shown if "data" in output]
    tables = ["".join(content["text/markdown"]) for content in data if "text/markdown" in content]
    assert len(tables) == 1
    assert "| bp | gradient | float64 | `bp/gradient/" in tables[0]
    assert "divergence" not in tables[0]
    assert sum("image/png" in content for content in data) == 1
    assert not any(output["output_type"] == "error" or output.get("name") == "stderr" for output in shown)


def test_notebook_writes_the_announced_files(executed: tuple[dict[str, Any], Path]) -> None:
    folder = executed[1] / "logs" / "notebook"
    assert {"pit_ti.pth", "pit_ti.pdparams", "report.html", "pit-align.toml"} <= {
        path.name for path in folder.iterdir()
    }
    assert not [path for path in executed[1].joinpath("examples").iterdir() if path.suffix != ".ipynb"]


def test_notebook_is_stored_without_outputs() -> None:
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert len(code) > 5
    assert not any(cell["outputs"] or cell["execution_count"] for cell in code)
