"""What a page shows of the recordings behind a report, in numbers and in drawings."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import cli
from alignment.errors import AlignmentError, FileError, NothingComparedError
from alignment.judging.compare_paths import compare_paths
from alignment.recordings.recording import Entry, Manifest, Recorder
from alignment.report.charts import FOOT, TOP, WIDTH
from alignment.report.details import Course, Distribution, Histogram, _root_mean_square, collect, diagnosis_of
from alignment.report.drawings import draw_course, draw_histogram
from alignment.report.html import render
from alignment.results.findings import DIAGNOSIS_FILE, Bisection, Cause, Evidence, Finding, write_findings
from alignment.results.report import Report, Row, write_report

RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, 100))
LOSSES = np.linspace(7, 6, 6)
Side = Callable[[str, np.ndarray], np.ndarray]


def same(dtype: str, array: np.ndarray) -> np.ndarray:
    return array.astype(dtype)


def rounded(dtype: str, array: np.ndarray) -> np.ndarray:
    scale = 1e-7 if dtype == "float32" else 1e-15
    return (array * (1 + scale * RNG.uniform(-1, 1, array.shape))).astype(dtype)


def folder_of(path: Path, candidate: Side, *, shape: tuple[int, ...] = X.shape) -> tuple[Report, Path]:
    """A run's folder: recordings of both sides, and their report."""
    for role, side in (("reference", rounded), ("candidate", candidate)):
        for dtype in ("float64", "float32"):
            recorder = Recorder()
            at = X.reshape(shape) if role == "candidate" else X
            recorder.add("train/weights/head.weight", side(dtype, at), Entry("weights", "train"))
            for number, loss in enumerate(LOSSES):
                recorder.add(f"train/loss_{number}", side(dtype, np.asarray(loss)), Entry("loss", "train"))
            recorder.add("train/lr", LOSSES * 1e-4, Entry("setting", "train"))
            # A dtype from the parameters of the test.
            manifest = Manifest("torch", dtype, role=role, model="mlp", steps=("train",))  # type: ignore[arg-type]
            recorder.write(path / "recordings" / f"{role}-{dtype}", manifest).close()
    report = compare_paths(path, path)
    write_report(report, path / "report.json")
    return report, path


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, Path]:
    return folder_of(tmp_path_factory.mktemp("healthy"), rounded)


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, Path]:
    def wrong(dtype: str, array: np.ndarray) -> np.ndarray:
        changed = array.astype(dtype)
        if changed.ndim:
            changed[1, 7] += 0.5
            changed[3, 9] = np.nan
        return changed

    return folder_of(tmp_path_factory.mktemp("broken"), wrong)


def test_errors_of_rounding_are_distributed_like_the_references(healthy: tuple[Report, Path]) -> None:
    details = collect(*healthy)
    by_dtype = {each.row.dtype: each for each in details.distributions if each.row.kind == "weights"}
    single = by_dtype["float32"]
    assert single.error.total == X.size
    assert single.noise is not None
    errors = np.array(single.error.counts), np.array(single.noise.counts)
    assert abs(np.average(np.arange(320), weights=errors[0]) - np.average(np.arange(320), weights=errors[1])) < 1
    assert by_dtype["float64"].noise is None


def test_the_histogram_counts_every_element_where_it_belongs(tmp_path: Path) -> None:
    factors = np.zeros(X.size)
    factors[:3], factors[3:5], factors[5] = 3e-3, 3e-5, 3e-60

    def off(dtype: str, array: np.ndarray) -> np.ndarray:
        if array.size != X.size:
            return array.astype(dtype)
        return (array + (factors * np.sqrt(np.mean(X**2))).reshape(array.shape)).astype(dtype)

    report, folder = folder_of(tmp_path, off)
    (found,) = (each for each in collect(report, folder).distributions if each.row.dtype == "float64")
    decades = np.add.reduceat(found.error.counts, np.arange(0, 320, 4))
    large = {power: int(count) for power, count in zip(range(-40, 40), decades, strict=True) if count and power > -12}
    assert large == {-3: 3, -5: 2}
    assert found.error.total == X.size


def test_worst_elements_are_listed_with_non_finite_ones_first(broken: tuple[Report, Path]) -> None:
    (found,) = (each for each in collect(*broken).distributions if each.row.dtype == "float64")
    assert [element.index for element in found.worst[:2]] == [(3, 9), (1, 7)]
    assert math.isnan(found.worst[0].difference)
    assert found.worst[1].difference == pytest.approx(0.5)
    assert found.error.left_out == 1


def test_courses_of_scalars_and_of_one_array(healthy: tuple[Report, Path]) -> None:
    courses = {(each.name, each.dtype): each for each in collect(*healthy).courses}
    assert set(courses) == {(name, dtype) for name in ("train/loss", "train/lr") for dtype in ("float64", "float32")}
    np.testing.assert_allclose(courses["train/loss", "float64"].candidate, LOSSES, rtol=1e-12)
    np.testing.assert_allclose(courses["train/lr", "float32"].reference, LOSSES * 1e-4)


def test_requested_quantities_have_a_distribution(healthy: tuple[Report, Path]) -> None:
    found = collect(*healthy, ["train/weights/*"]).distributions
    assert [(each.row.key, each.row.dtype) for each in found] == [
        ("train/weights/head.weight", dtype) for dtype in ("float64", "float32")
    ]
    with pytest.raises(NothingComparedError, match=r"called train/weights/head\.wait; the nearest is .*head\.weight"):
        collect(*healthy, ["train/weights/head.wait"])


def test_without_recordings_a_requested_quantity_is_refused(healthy: tuple[Report, Path], tmp_path: Path) -> None:
    assert collect(healthy[0], tmp_path).distributions == ()
    with pytest.raises(AlignmentError, match=r"recordings of this report are not there.*run it again"):
        collect(healthy[0], tmp_path, ["train/*"])


def test_shapes_that_differ_have_no_distribution(tmp_path: Path) -> None:
    report, folder = folder_of(tmp_path, same, shape=(100, 4))
    assert report.failures
    assert collect(report, folder).distributions == ()


def test_diagnoses_go_to_the_report_of_their_model(healthy: tuple[Report, Path], tmp_path: Path) -> None:
    Bisection("mlp", ("torch", "paddle"), "float64", False, (), ()).write(tmp_path / "a.json")
    assert diagnosis_of([tmp_path / "a.json"], [healthy[0]])["mlp"].model == "mlp"
    Bisection("pit_b", ("torch", "paddle"), "float64", False, (), ()).write(tmp_path / "b.json")
    with pytest.raises(FileError, match="is about pit_b, and the reports are about mlp"):
        diagnosis_of([tmp_path / "b.json"], [healthy[0]])
    (tmp_path / "c.json").write_text('{"model": "mlp"}')
    with pytest.raises(FileError, match="holds no findings of"):
        diagnosis_of([tmp_path / "c.json"], [healthy[0]])
    with pytest.raises(FileError, match="cannot be read"):
        diagnosis_of([tmp_path / "d.json"], [healthy[0]])


def test_the_diagnosis_of_a_training_run_lies_beside_its_report(broken: tuple[Report, Path]) -> None:
    assert collect(*broken).diagnosis is None
    finding = Finding("module", "train/loss_0", "train/loss_0", "train", "forward", (), (), 3)
    path = broken[1] / DIAGNOSIS_FILE
    write_findings([finding], path)
    found = collect(*broken).diagnosis
    assert found is not None
    assert found.findings == (finding,)
    assert "None of 3 known mistakes explains it" in render([broken[0]], details=[collect(*broken)])
    path.write_text('{"a": 1}')
    without = collect(*broken)
    assert "holds dict, expected a list of findings" in without.unread[0]
    assert without.distributions
    path.unlink()


def numbers(path: str) -> list[float]:
    return [float(text) for text in re.findall(r"-?[\d.]+", path)]


ROW = Row("forward/logits", "forward", "output", "float32", 0.0, 0.0, 0.0, "rounding", "a reason")


@given(st.dictionaries(st.integers(0, 319), st.integers(1, 10**6), max_size=5), st.integers(0, 5), st.integers(0, 5))
def test_histograms_stay_inside_their_frame(bins: dict[int, int], equal: int, left_out: int) -> None:
    histogram = Histogram(tuple(bins.get(index, 0) for index in range(320)), equal, left_out)
    if not histogram.total:
        return
    drawing = draw_histogram(Distribution(replace(ROW), histogram, histogram, ()))
    for path in drawing.paths.values():
        assert all(0 <= number <= max(WIDTH, FOOT) for number in numbers(path))
    assert drawing.paths["bars"].count("M") == len(bins)
    assert bool(drawing.paths["equal"]) == bool(equal)
    assert f"{histogram.total:,} elements" in drawing.summary
    assert (f"{left_out:,} are not finite" in drawing.summary) == bool(left_out)


VALUES = st.floats(allow_nan=False, allow_infinity=False) | st.just(math.nan) | st.just(math.inf)


@given(st.lists(st.tuples(VALUES, VALUES), min_size=4, max_size=30))
def test_courses_stay_inside_their_frame(pairs: list[tuple[float, float]]) -> None:
    drawing = draw_course(Course("train/loss", "float32", *zip(*pairs, strict=True)))
    for path in drawing.paths.values():
        points = np.array(numbers(path)).reshape(-1, 2)
        assert ((points[:, 0] >= 0) & (points[:, 0] <= WIDTH)).all()
        assert ((points[:, 1] >= TOP) & (points[:, 1] <= FOOT)).all()
    assert 2 <= len(drawing.y_ticks) <= 8
    assert len({tick.text for tick in drawing.y_ticks}) > 1


@pytest.mark.parametrize("scale", [1.0, 1e200, 1e-200, 5e-324, 1e308])
def test_the_root_mean_square_has_no_square_that_overflows(scale: float) -> None:
    array = np.array([scale, -scale, scale, math.nan, math.inf])
    assert math.isclose(_root_mean_square(array), scale, rel_tol=1e-12)
    assert _root_mean_square(np.zeros(3)) == 1.0


def test_summary_of_a_course_names_the_largest_distance() -> None:
    apart = draw_course(Course("train/loss", "float32", (4.0, 3.0, 2.0, 1.0), (4.0, 3.0, 2.5, 1.0)))
    assert apart.summary == "4 values, from 4 to 1; the sides are furthest apart at 2: 5.0e-01 apart"
    equal = draw_course(Course("train/lr", "float32", (1.0,) * 4, (1.0,) * 4))
    assert equal.summary == "4 values, from 1 to 1; both sides are equal throughout"
    lost = draw_course(Course("train/loss", "float32", (4.0, 3.0, 2.0, 1.0), (4.0, 3.0, math.nan, 1.0)))
    assert lost.summary.endswith("furthest apart at 2: one side is not finite")
    assert lost.paths["over"].count("M") == 2


def test_page_shows_diagnosis_distributions_and_courses(broken: tuple[Report, Path]) -> None:
    cause = Cause("gelu tanh", "GELU is approximated by <tanh>", "mlp.act", 2e-4, 6e-17)
    evidence = Evidence("output 0", 2e-4, "differs by itself")
    finding = Finding("module", "blocks.2.mlp.act", "layers.2.act", "train", "forward", (evidence,), (cause,), 9)
    lost = replace(finding, path="head", causes=())
    diagnosis = Bisection("mlp", ("torch", "paddle"), "float64", True, (finding, lost), (), hypotheses=True)
    page = render([broken[0]], details=[collect(*broken, diagnosis=diagnosis)])
    for text in (
        "GELU is approximated by &lt;tanh&gt;",
        "<code>layers.2.act</code> in the candidate, in training mode, forward",
        "the difference goes from 2.0e-04 to 6.0e-17",
        "None of 9 known mistakes explains it",
        "Errors of single elements",
        "train/weights/head.weight, float64",
        "<code>[3, 9]</code>",
        "Training, both sides",
        "train/loss, float32",
    ):
        assert text in page, text


def test_the_command_finds_the_recordings_beside_the_report(healthy: tuple[Report, Path], tmp_path: Path) -> None:
    report, page = str(healthy[1] / "report.json"), tmp_path / "page.html"
    runner = CliRunner()
    assert runner.invoke(cli.pit_align, ["report", report, "--html", str(page)]).exit_code == 0
    assert "Errors of single elements" in page.read_text()
    words = ["report", report, "--html", str(page), "--quantity", "train/weights/*"]
    assert runner.invoke(cli.pit_align, words).exit_code == 0
    assert "train/weights/head.weight, float32" in page.read_text()
    refused = runner.invoke(cli.pit_align, ["report", report, "--quantity", "train/*"])
    assert refused.exit_code == 2
    assert "give --html FILE" in refused.output


@pytest.mark.parametrize("name", ["manifest.json", "arrays.safetensors"])
@pytest.mark.parametrize("content", [b"", b"\0" * 64, None])
def test_damaged_recording_beside_a_report_leaves_the_report_and_a_note(
    tmp_path: Path, name: str, content: bytes | None
) -> None:
    report, folder = folder_of(tmp_path, rounded)
    damaged = folder / "recordings" / "candidate-float32" / name
    damaged.write_bytes(damaged.read_bytes()[:-5] if content is None else content)
    words = ["report", str(folder / "report.json"), "--html", str(tmp_path / "page.html")]
    done = CliRunner().invoke(cli.pit_align, words)
    assert done.exit_code == 0, done.output
    assert "not shown, because it cannot be read:" in done.stderr
    assert "candidate-float32" in done.stderr
    page = (tmp_path / "page.html").read_text()
    assert "not shown, because it cannot be read:" in page
    assert "train/weights/head.weight" in page
    with pytest.raises(FileError, match="candidate-float32"):
        collect(report, folder, ["train/weights/*"])
