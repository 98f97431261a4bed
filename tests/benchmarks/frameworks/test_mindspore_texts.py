"""MindSpore's side of the survey: its texts, the page and the data, and a process that ends in the middle."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from alignment.framework_facts import BEHAVIOUR, SAME, framework_facts
from benchmarks.frameworks.__main__ import main
from benchmarks.frameworks.mindspore import measuring
from benchmarks.frameworks.mindspore.notes import in_words, note_of
from benchmarks.frameworks.mindspore.texts import texts
from benchmarks.frameworks.page import PAGE, replaced
from benchmarks.frameworks.tables import TABLES

FACTS = framework_facts("mindspore")
PYTHON = os.environ.get("PIT_MINDSPORE_PYTHON", "")


@pytest.mark.parametrize(
    ("torch", "mindspore"),
    [
        ("nn.Linear(5, 3, bias=False)", "nn.Dense(5, 3, has_bias=False)"),
        ("nn.Conv2d(4, 6, 1, bias=False)", "nn.Conv2d(4, 6, 1, 1, pad_mode='pad', has_bias=False)"),
        (
            "nn.Conv2d(4, 6, (3, 2), (2, 1), (1, 0))",
            "nn.Conv2d(4, 6, (3, 2), (2, 1), pad_mode='pad', padding=(1, 1, 0, 0), has_bias=True)",
        ),
        ("nn.MaxPool2d(3, 2)", "nn.MaxPool2d(3, 2, 'pad', 0)"),
        ("nn.AvgPool2d(3)", "nn.AvgPool2d(3, 3, 'pad', 0)"),
        ("nn.BatchNorm2d(4, momentum=0.25)", "nn.BatchNorm2d(4, 1e-05, 0.75, True)"),
        ("nn.GELU('tanh')", "nn.GELU(True)"),
        ("nn.Embedding(7, 4, padding_idx=-1)", "nn.Embedding(7, 4, padding_idx=6)"),
        ("F.interpolate(x, size=(8, 9), mode='bilinear')", "ops.interpolate(x, size=(8, 9), mode='bilinear')"),
        ("torch.erf(x)", "ops.erf(x)"),
    ],
)
def test_text_says_every_argument_whose_default_is_another_one(torch: str, mindspore: str) -> None:
    assert texts(torch) == (mindspore,)


def test_defaults_that_people_rely_on_stand_beside_what_is_the_same() -> None:
    assert texts("nn.MaxPool2d(2)") == ("nn.MaxPool2d(2, 2, 'pad', 0)", "nn.MaxPool2d(2)")


@pytest.mark.parametrize(
    "torch",
    [
        "nn.Conv2d(4, 6, 3, padding_mode='circular')",
        "nn.EmbeddingBag(7, 4)",
        "nn.TransformerEncoderLayer(8, 2, F.gelu)",
    ],
)
def test_what_has_no_counterpart_has_no_text(torch: str) -> None:
    assert texts(torch) == ()


def test_page_has_the_tables_of_the_data() -> None:
    page = PAGE.read_text()
    assert replaced(page, FACTS) == page


def test_data_has_every_text_of_the_tables() -> None:
    known = {(fact.group, fact.torch, fact.counterpart) for fact in FACTS.cases}
    assert known == {
        (group, case.torch, text) for group, own in TABLES.items() for case in own for text in texts(case.torch)
    }
    assert len(FACTS.cases) >= 300


def test_data_says_what_porters_to_mindspore_meet() -> None:
    facts = {(fact.torch, fact.counterpart): fact for fact in FACTS.cases}
    assert facts["nn.Linear(5, 3)", "nn.Dense(5, 3)"].kind == SAME
    assert facts["nn.Conv2d(4, 6, 1)", "nn.Conv2d(4, 6, 1, 1, pad_mode='pad', has_bias=True)"].only == "float32"
    assert "wrong" in facts["nn.SELU()", "nn.SeLU()"].note
    assert all(fact.note or fact.differences for fact in FACTS.of(BEHAVIOUR))


def test_notes_and_errors_are_in_words() -> None:
    assert note_of("nn.GELU()", "nn.GELU()").startswith("it is the approximation")
    assert note_of("nn.GELU()", "nn.GELU(False)") == ""
    assert in_words("RuntimeError: The kernel Roll unregistered.") == "has no kernel on the CPU"
    assert in_words("ValueError: x") == "ValueError: x"


def test_case_that_ends_its_process_is_left_out_by_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "python"
    program.write_text(
        f"#!{sys.executable}\nimport pathlib, sys\nfolder = pathlib.Path(sys.argv[-1])\n"
        "number = len(list(folder.glob('begun-*')))\n(folder / f'begun-{number}').touch()\n"
        "(folder / 'done.txt').touch() if number == 2 else sys.exit(-11)\n"
    )
    program.chmod(0o755)
    monkeypatch.setattr(measuring, "TABLES", {"Activation": TABLES["Activation"][:1]})
    (fact,) = measuring.measured(str(program))
    assert (fact.kind, fact.note) == (BEHAVIOUR, "the process ends (a fault in memory)")


def test_interpreter_without_mindspore_is_named(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="/bin/false ended with exit code 1"):
        measuring.measured("/bin/false", ["Recurrent"])
    result = CliRunner().invoke(main, ["--framework", "mindspore", "--mindspore-python", "/bin/false"])
    assert (result.exit_code, result.output.strip()) == (1, "Error: /bin/false has no mindspore")


@pytest.mark.skipif(not PYTHON, reason="PIT_MINDSPORE_PYTHON names no interpreter that has MindSpore")
def test_cases_measured_now_are_what_the_data_says() -> None:
    measured = measuring.measured(PYTHON, ["Recurrent"])
    kept = [fact for fact in FACTS.cases if fact.group == "Recurrent"]
    assert [(fact.counterpart, fact.kind, fact.note) for fact in measured] == [
        (fact.counterpart, fact.kind, fact.note) for fact in kept
    ]
