"""`python -m benchmarks.rules.vision`: the table in docs has what was measured, and a row for every model."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.rules.vision_page import PAGE, markers, rows, write_page
from benchmarks.rules.vision_pairs import PAIRS, WITHOUT
from porting import tables

RESULTS = json.loads((Path(__file__).parents[2] / "benchmarks" / "rules" / "vision.json").read_text())


def test_row_says_what_was_measured_and_where_models_differ() -> None:
    measured = {
        "resnet18": ("102 tensors", "same function", 1e-12),
        "squeezenet1_0": ("52 tensors", "differs", 0.3),
        "googlenet": ("refused, 9 lines", "", None),
    }
    lines = {line.split("`")[1]: line for line in rows("paddle", measured) if "`" in line}
    assert "| found | same function, 1e-12 | yes | - |" in lines["resnet18"]
    assert "| found | differs, 3e-01 | no | Paddle's dropout" in lines["squeezenet1_0"]
    assert "| refused | - | no | no batch norms" in lines["googlenet"]
    assert WITHOUT["lenet"] in lines["lenet"]


def test_tables_are_put_between_their_markers(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("\n".join(("a", *markers("paddle"), "b", *markers("mindspore"), "c")))
    write_page({"resnet18": ("102 tensors", "same function", 0.0)}, page)
    text = page.read_text()
    assert text.startswith("a\n<!-- paddle: begin -->\n|")
    assert "`resnet18`" in text
    assert text.endswith("<!-- mindspore: end -->\nc")


def test_page_shows_the_last_measurement_of_every_model() -> None:
    measured = {name: (one["rules"], one["verdict"], one["error"]) for name, one in RESULTS.items()}
    for framework in ("paddle", "mindspore"):
        begin, end = markers(framework)
        shown = PAGE.read_text().partition(begin)[2].partition(end)[0].strip()
        assert shown == "\n".join(rows(framework, measured))


def test_models_of_the_library_are_the_same_function() -> None:
    families = tables.models()
    assert families.keys() <= PAIRS.keys()
    assert {name for name, one in RESULTS.items() if name in families and one["verdict"] != "same function"} == set()
