"""A Fourier transform over other axes, the other way round, or of which another part is taken is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.alignment.hypotheses.diagnosing import diagnosed

pytest.importorskip("torch")
pytest.importorskip("paddle")
PAIRS = Path(__file__).parents[1] / "fourier_pairs.py"


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
    causes = [cause.says for one in diagnosed(f"{PAIRS}:{pair}", tmp_path) for cause in one.causes]
    assert causes[0].startswith(says)


def test_nothing_is_said_of_the_same_transform_by_another_function(tmp_path: Path) -> None:
    assert not diagnosed(f"{PAIRS}:RIGHT", tmp_path)
