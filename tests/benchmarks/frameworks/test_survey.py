"""The survey of layers: quick cases are measured, and page and data say the same as the tables of cases."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner

from alignment.framework_facts import BEHAVIOUR, PRECISION, SAME, Facts, framework_facts
from benchmarks.frameworks.__main__ import main
from benchmarks.frameworks.case import function, layer, real, spelled
from benchmarks.frameworks.measure import distance, measure
from benchmarks.frameworks.page import PAGE, markers, replaced, summary, tables
from benchmarks.frameworks.tables import TABLES
from benchmarks.frameworks.versions import versions

CASES = [(group, case) for group, cases in TABLES.items() for case in cases]
FACTS = framework_facts("paddle")
QUICK = [
    "nn.Linear(5, 3)",
    "nn.Conv2d(4, 6, 3, padding='same', dilation=2)",
    "nn.AvgPool2d(3)",
    "nn.BatchNorm2d(4)",
    "nn.LayerNorm(6)",
    "nn.SELU()",
    "nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True)",
    "nn.GRUCell(3, 4)",
    "F.rms_norm(x, (6,), y)",
    "torch.max(x, 1)[0]",
    "optim.AdamW(p, lr=0.1)",
]


def test_page_has_the_tables_of_the_data() -> None:
    page = PAGE.read_text()
    assert replaced(page, FACTS) == page


def test_data_has_every_case_of_the_tables_in_order() -> None:
    assert len(CASES) >= 120
    assert [(fact.group, fact.torch, fact.counterpart) for fact in FACTS.cases] == [
        (group, case.torch, case.paddle) for group, case in CASES
    ]


@pytest.mark.parametrize("torch", QUICK)
def test_case_measured_now_is_what_the_data_says(torch: str) -> None:
    if versions() != FACTS.versions:
        pytest.skip(f"the data was measured with {FACTS.versions}, here are {versions()}")
    group, case = next((group, case) for group, case in CASES if case.torch == torch)
    fact, kept = measure(group, case), FACTS.cases[CASES.index((group, case))]
    assert (fact.kind, fact.note) == (kept.kind, kept.note)
    assert [one.quantity for one in fact.differences] == [one.quantity for one in kept.differences]
    if kept.kind == PRECISION:
        assert fact.error == pytest.approx(kept.error, rel=0.3)


def test_unexplained_difference_is_behaviour_and_says_where() -> None:
    fact = measure("", function("F.softmax(x, 1)", "F.softmax(x, 0)", real(2, 3)))
    assert fact.kind == BEHAVIOUR
    assert [one.quantity for one in fact.differences] == ["output", "gradient of x"]


def test_other_shape_and_error_message_are_behaviour() -> None:
    assert measure("", function("x.sum(1)", "x.sum(0)", real(2, 3))).error is None
    fact = measure("", layer("ReLU()", "NoSuchLayer()", real(2)))
    assert fact.kind == BEHAVIOUR
    assert "in training: AttributeError" in fact.note
    assert measure("", function("x * 1", "", real(3))).kind == SAME


def test_case_that_torch_cannot_run_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"x\.no_such\(\) on 2: torch raises AttributeError"):
        measure("", function("x.no_such()", "", real(2)))


def test_distance_is_relative_and_unknown_where_shapes_or_infinities_differ() -> None:
    one = np.array([3.0, 4.0])
    assert distance(one * 1.1, one) == pytest.approx(0.1)
    assert distance(one, np.array([3.0])) is None
    assert distance(np.array([np.inf, 1]), np.array([1, np.inf])) is None
    assert distance(np.array([np.nan, 1]), one) is None
    assert distance(np.array([-np.inf, 1]), np.array([-np.inf, 1])) == 0.0
    assert distance(np.array([1e-14]), np.array([0.0])) == 1e-14
    assert distance(one, None) is None


@pytest.mark.parametrize(
    ("torch", "paddle"),
    [
        ("ConvTranspose2d(4, 6, 3)", "Conv2DTranspose(4, 6, 3)"),
        ("AdaptiveAvgPool1d(1)", "AdaptiveAvgPool1D(1)"),
        ("LayerNorm(6, eps=1e-06)", "LayerNorm(6, epsilon=1e-06)"),
        ("Conv2d(4, 6, 3, padding='same')", "Conv2D(4, 6, 3, padding='SAME')"),
        ("F.max_pool2d(x, 2)", "F.max_pool2d(x, 2)"),
    ],
)
def test_text_in_paddles_spelling(torch: str, paddle: str) -> None:
    assert spelled(torch) == paddle


def test_page_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="has no lines <!-- paddle: begin -->"):
        replaced("# a page", FACTS)
    assert replaced("\n".join(markers("paddle")), Facts("paddle", {}, ())).count("Of 0 cases") == 1


def test_bars_in_a_text_do_not_end_a_cell() -> None:
    fact = FACTS.of(BEHAVIOUR)[0]
    noted = type(fact)(**{**vars(fact), "note": "a | b"})
    assert "a \\| b" in tables(Facts("paddle", {}, (noted,)))
    assert fact.torch in summary([fact])


def test_writing_a_part_of_the_tables_is_refused() -> None:
    result = CliRunner().invoke(main, ["--write", "--group", "Pooling"])
    assert result.exit_code == 2
    assert "--write takes no --group" in result.output
