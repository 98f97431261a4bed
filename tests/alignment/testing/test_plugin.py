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
    assert not Path(aligned[0][1]).exists()


def test_error_ends_with_the_command_that_searches_for_the_cause(aligned: list[Any], tmp_path: Path) -> None:
    with pytest.raises(DivergenceError) as caught:
        assert_aligned("regnety_160", weights=tmp_path / "a b.pth")
    assert caught.value.details[-1] == (
        f"next: pit-align diagnose --model regnety_160 --weights '{tmp_path / 'a b.pth'}'"
    )
    assert caught.value.details[-2] == "weights were not compared: check that both sides have the same"


def test_fixture_keeps_its_runs_in_the_named_folder(
    aligned: list[Any], pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile("def test_it(assert_aligned):\n    assert_aligned('pit_micro')\n    assert_aligned('pit_ti')\n")
    plugins = ("no:pit_align", "alignment.testing.plugin", "no:cacheprovider")  # not a second time by its entry point
    done = pytester.inline_run(*(word for plugin in plugins for word in ("-p", plugin)), "--pit-align-report", "kept")
    done.assertoutcome(passed=1)
    folders = [Path(out) for _, out, _ in aligned]
    assert [folder.parent.name for folder in folders] == ["kept", "kept"]
    assert len(set(folders)) == 2
