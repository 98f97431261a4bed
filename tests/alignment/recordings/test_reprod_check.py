"""reprod_log's numbers, held against reprod_log itself."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from alignment.judging.compare_paths import compare_paths
from alignment.recordings.reprod_check import check_arrays, check_key
from alignment.report.terminal import disagree, print_report
from alignment.results.report import DIVERGENCE, WITHIN_TOLERANCE, dumps, read_report, write_report

RNG = np.random.default_rng(0)
X = RNG.normal(size=(31, 40)).astype(np.float32)
CASES = {
    "rounding": (X, X + np.float32(1e-7)),
    "off": (X, X + np.float32(1e-4)),
    "large": (X * 1e4, X * 1e4 * np.float32(1 + 2e-7)),
    "scalar against a batch": (np.array(2.302, np.float32), np.full(31, 2.302, np.float32)),
    "scalar against one": (np.array(1.5), np.array([1.5])),
    "transposed": (X.T.copy(), X),
    "square transposed": (X[:, :31].copy(), X[:, :31].T.copy()),
    "precisions": (X.astype(np.float64), X),
    "half": (X.astype(np.float64), X.astype(np.float16)),
    "wraps": (np.array([-64, 3], np.int8), np.array([64, 3], np.int8)),
    "far apart": (np.array([2**63 - 1]), np.array([-1])),
    "unsigned": (np.array([3], np.uint8), np.array([4], np.uint8)),
    "nan": (X, np.full_like(X, np.nan)),
    "infinite": (np.full(3, np.inf), np.full(3, np.inf)),
    "many": (RNG.normal(size=100_003).astype(np.float32), np.zeros(100_003, np.float32)),
}
SCRIPT = """
import json, sys
import numpy as np
from reprod_log.compare import compute_diff
from reprod_log.utils import check_print_diff
one, other = (np.load(path, allow_pickle=True).tolist() for path in sys.argv[1:])
found = {}
with np.errstate(all="ignore"):
    for key in one:
        diff = compute_diff({key: one[key]}, {key: other[key]})
        numbers = [float(diff[key][name]) for name in ("mean", "max", "min")]
        found[key] = [check_print_diff(diff, print_func=lambda text: None), *numbers]
print("FOUND" + json.dumps(found))
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("logs")
    for side, name in enumerate(("loss_torch.npy", "loss_paddle.npy")):
        np.save(folder / name, np.array({key: pair[side] for key, pair in CASES.items()}, object), allow_pickle=True)
    return folder / "loss_torch.npy", folder / "loss_paddle.npy"


def test_numbers_and_verdicts_equal_those_of_reprod_log(files: tuple[Path, Path]) -> None:
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, *map(str, files)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    theirs = json.loads(printed.partition("FOUND")[2])
    assert set(theirs) == set(CASES)
    for key, (one, other) in CASES.items():
        ours = check_arrays(one, other)
        passed, *numbers = theirs[key]
        assert ours.passed == passed, key
        np.testing.assert_array_equal([ours.mean, ours.max, ours.min], numbers, key)


@pytest.mark.parametrize(
    ("key", "remark"),
    [
        ("scalar against a batch", r"broadcasts \(\) and \(31,\)"),
        ("transposed", r"transposes \(40, 31\) to \(31, 40\)"),
        ("precisions", "subtracts float32 from float64"),
        ("wraps", "wrap around in int8"),
        ("far apart", "wrap around in int64"),
        ("unsigned", "wrap around in uint8"),
        ("nan", "NaN"),
        ("infinite", "NaN"),
    ],
)
def test_remark_names_what_reprod_log_lets_pass(key: str, remark: str) -> None:
    found = check_arrays(*CASES[key])
    assert found.remark
    assert re.search(remark, found.remark)


@pytest.mark.parametrize("key", ["rounding", "off", "many"])
def test_plain_numbers_have_no_remark(key: str) -> None:
    assert check_arrays(*CASES[key]).remark == ""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (np.ones((2, 3)), np.ones((5, 7))),
        (np.ones(2, bool), np.ones(2, bool)),
        (np.ones(0), np.ones(0)),
    ],
)
def test_arrays_that_reprod_log_cannot_compare_do_not_pass(one: np.ndarray, other: np.ndarray) -> None:
    found = check_arrays(one, other)
    assert not found.passed
    assert found.mean is None
    assert found.remark.startswith("raises an error: ")


def test_key_that_one_side_lacks_does_not_pass() -> None:
    found = check_key("loss", {"loss": X}, {"losses": X})
    assert not found.passed
    assert "names no key: the second file lacks this one" in found.remark
    assert "the first file lacks" in check_key("losses", {"loss": X}, {"losses": X}).remark


def test_report_shows_both_verdicts_and_why_they_differ(files: tuple[Path, Path], tmp_path: Path) -> None:
    report = compare_paths(*files)
    rows = {row.key: row for row in report.rows}
    assert report.verdict == DIVERGENCE
    checks = {key: row.reprod_log for key, row in rows.items() if row.reprod_log is not None}
    assert list(checks) == list(rows)
    passed_here = [key for key, row in rows.items() if row.verdict == WITHIN_TOLERANCE]
    assert passed_here == ["rounding", "large"]
    assert [key for key in passed_here if checks[key].passed] == ["rounding"]
    write_report(report, tmp_path / "report.json")
    assert dumps(read_report(tmp_path / "report.json")) == dumps(report)
    printed = io.StringIO()
    print_report(report, Console(file=printed, width=200, color_system=None))
    text = printed.getvalue()
    assert "reprod_log's own check (mean <= 1e-06) fails these files" in text
    assert "large: reprod_log fails (a mean of " in text
    assert (
        "scalar against a batch: reprod_log passes (broadcasts () and (31,)); divergence here: shape () in the "
        "reference, (31,) in the candidate" in text
    )
    agreed = [key for key, row in rows.items() if not disagree(row)]
    assert agreed == ["rounding", "off", "square transposed", "half", "unsigned", "many"]
    assert "of 6 more quantities both say the same" in text
    assert text.count("shape () in the reference, (31,) in the candidate") == 1


def test_broadcast_that_is_too_large_is_not_computed() -> None:
    labels = np.zeros(60_000)
    found = check_arrays(labels[:, None], labels)
    assert (found.passed, found.mean) == (False, None)
    assert found.remark == "broadcasts (60000, 1) and (60000,) to (60000, 60000): too large to be computed here"
    assert check_arrays(np.zeros((300, 1)), np.zeros(300)).mean == 0.0
