"""A Fourier transform over other axes, the other way round, or of which another part is taken is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

import cli
from alignment.results.findings import Bisection

pytest.importorskip("torch")
pytest.importorskip("paddle")
PAIRS = Path(__file__).parents[1] / "fourier_pairs.py"


def _diagnosed(pair: str, out: Path) -> tuple[int, list[str]]:
    words = ("diagnose", "--pair", f"{PAIRS}:{pair}", "--batch-size", "2", "--threads", "1", "--out", str(out))
    done = CliRunner().invoke(cli.pit_align, words, prog_name="pit-align")
    findings = Bisection.read(out / "bisection.json").findings
    return done.exit_code, [cause.says for one in findings if one.mode == "eval" for cause in one.causes]


@pytest.mark.parametrize(
    ("pair", "says"),
    [
        ("LAST", "its fft goes over axis 2 of (2, 6, 8), where axes 1, 2 are meant: pass axes=(-2, -1) to fftn"),
        ("ALL_AXES", "its fftn goes over axes 0, 1, 2 of (2, 6, 8), where axes 1, 2 are meant"),
        ("BACK", "it computes ifftn, where fftn is meant, over axes 1, 2"),
        ("IMAGINARY", "it takes the imaginary part, where the real part is meant"),
        ("IMAGINARY_IN_TORCH", "it takes the imaginary part, where the real part is meant"),
    ],
)
def test_other_transform_is_named(pair: str, says: str, tmp_path: Path) -> None:
    code, causes = _diagnosed(pair, tmp_path)
    assert code == 1
    assert causes[0].startswith(says)


def test_nothing_is_said_of_the_same_transform_by_another_function(tmp_path: Path) -> None:
    assert _diagnosed("RIGHT", tmp_path) == (0, [])
