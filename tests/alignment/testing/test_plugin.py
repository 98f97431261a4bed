"""`assert_aligned` and the plugin of pytest, with a run that stands for the real one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import alignment.running.run as runs
from alignment import DivergenceError, assert_aligned
from alignment.pair import Pair
from alignment.results.report import DIVERGENCE, SAME_FUNCTION, Report, Row
from porting.errors import UnknownNameError

pytest_plugins = ["pytester"]
ROW = Row("forward/logits", "forward", "output", "float64", 0.0, 0.0, 0.0, SAME_FUNCTION, "because")


@pytest.fixture
def aligned(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Let runs of models whose name ends with a 0 diverge, and return what they were given."""
    given: list[Any] = []

    def align(pair: Pair, out: Path, settings: Any) -> Report:
        given.append((pair.name, out, settings.steps))
        verdict = DIVERGENCE if pair.name.endswith("0") else SAME_FUNCTION
        return Report(verdict, pair.name, ("forward",), (replace(ROW, verdict=verdict),))

    monkeypatch.setattr(runs, "align", align)
    return given


def test_aligned_pair_passes_and_its_report_is_returned(aligned: list[Any], tmp_path: Path) -> None:
    assert assert_aligned("pit_micro", tmp_path, steps=("forward",)).passed
    assert aligned == [("pit_micro", tmp_path, ("forward",))]


def test_diverging_pair_fails_as_an_assertion(aligned: list[Any]) -> None:
    with pytest.raises(AssertionError, match="regnety_160 diverges: 1 of 1 rows diverge") as caught:
        assert_aligned("regnety_160")
    assert isinstance(caught.value, DivergenceError)
    assert len(caught.traceback) == 2  # this test and `assert_aligned`, which pytest hides
    assert not Path(aligned[0][1]).exists()


def test_error_ends_with_the_command_that_searches_for_the_cause(aligned: list[Any], tmp_path: Path) -> None:
    with pytest.raises(DivergenceError) as caught:
        assert_aligned("regnety_160", weights=tmp_path / "a b.pth")
    assert caught.value.details[-1] == (
        f"next: pit-align diagnose --model regnety_160 --weights '{tmp_path / 'a b.pth'}'"
    )
    assert caught.value.details[-2] == "weights were not compared: check that both sides have the same"


PLUGINS = ("no:pit_align", "alignment.testing.plugin", "no:cacheprovider")  # not a second time by its entry point


def run_tests(pytester: pytest.Pytester, code: str, *words: str) -> Any:
    """Run a file of tests in `tests/`, from the folder above it."""
    (pytester.path / "tests").mkdir(exist_ok=True)
    (pytester.path / "tests" / "test_it.py").write_text(code)
    return pytester.inline_run(*(word for plugin in PLUGINS for word in ("-p", plugin)), "tests", *words)


def test_runs_are_kept_in_the_named_folder_with_the_fixture_and_without(
    aligned: list[Any], pytester: pytest.Pytester
) -> None:
    code = """
import pytest
import alignment
@pytest.fixture
def proven(): alignment.assert_aligned("pit_micro")
def test_two(assert_aligned):
    assert_aligned("pit_micro")
    assert_aligned("pit_ti")
def test_function(proven): alignment.assert_aligned("pit_micro")
@pytest.mark.parametrize("of", ["a/b", "a b", "a-b", "x" * 300])
def test_parameters(assert_aligned, of): assert_aligned("pit_micro")
def test_out(assert_aligned, tmp_path):
    assert_aligned("pit_micro", tmp_path)
    assert_aligned("pit_micro", out=tmp_path)
"""
    run_tests(pytester, code, "--pit-align-report", "kept").assertoutcome(passed=7)
    folders = [Path(out) for _, out, _ in aligned]
    assert len({*folders[:8]}) == 8
    assert {folder.parent for folder in folders[:8]} == {pytester.path / "kept"}
    assert all(len(folder.name) < 200 for folder in folders)
    assert folders[8] == folders[9] != folders[7]


def test_declaration_is_found_beside_the_test(aligned: list[Any], pytester: pytest.Pytester) -> None:
    declaration = """
from alignment.pair import Pair, Side
SIDE = Side("torch", "a_pair.py:make")
PAIR = Pair(name="mine0", reference=SIDE, candidate=SIDE, input_shape=(3,), rules="auto")
"""
    code = """
import pytest
from alignment import DivergenceError, assert_aligned
def test_it():
    with pytest.raises(DivergenceError, match="diagnose --pair tests/a_pair.py"):
        assert_aligned("a_pair.py")
"""
    (pytester.path / "tests").mkdir()
    (pytester.path / "tests" / "a_pair.py").write_text(declaration)
    run_tests(pytester, code).assertoutcome(passed=1)
    assert [name for name, *_ in aligned] == ["mine0"]


def test_one_step_may_be_given_without_a_tuple(aligned: list[Any], tmp_path: Path) -> None:
    assert_aligned("pit_micro", tmp_path, steps="forward")
    assert aligned[0][2] == ("forward",)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stepz": ("forward",)}, "unknown setting 'stepz'; did you mean steps"),
        ({"steps": "froward"}, "unknown step 'froward'; did you mean forward"),
    ],
)
def test_unknown_setting_is_refused_at_the_line_of_the_test(
    settings: Any, message: str, aligned: list[Any], tmp_path: Path
) -> None:
    with pytest.raises(UnknownNameError, match=message) as caught:
        assert_aligned("pit_micro", tmp_path, **settings)
    assert not aligned
    assert len(caught.traceback) == 2  # this test and `assert_aligned`, which pytest hides
