from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alignment.training import sample_images
from recipe.config import Data
from recipe.samples import find


def test_both_forms_list_the_same_pictures_of_every_kind(tmp_path: Path) -> None:
    sample_images.write(tmp_path, size=32, num_classes=10, train=14, validation=9, seed=0)
    for split, count in (("train", 14), ("validation", 9)):
        listed, folders = (find(Data(path=str(tmp_path), format=form), split) for form in ("list", "folder"))
        assert sorted(listed.names) == sorted(folders.names)
        assert len(listed) == count
        assert folders.labels.max() == sample_images.CLASSES - 1
        assert 3 < listed.labels.max() < 10
    modes, sizes = set(), set()
    for path in tmp_path.rglob("*.*g"):
        with Image.open(path) as image:
            modes.add((image.format, image.mode))
            sizes.add(image.size)
            assert np.asarray(image.convert("RGB")).std() > 5
            assert image.mode != "RGBA" or np.asarray(image.getchannel("A")).std() > 5
    assert {("JPEG", "RGB"), ("JPEG", "L"), ("PNG", "P"), ("PNG", "RGBA"), ("PNG", "L")} <= modes
    assert any(min(size) < 32 for size in sizes)


def test_pictures_are_drawn_where_no_photographs_are_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample_images, "_photographs", lambda: iter(()))
    assert "drawn" in sample_images.write(tmp_path / "one", size=32, num_classes=10, train=7, validation=7, seed=0)
    sample_images.write(tmp_path / "two", size=32, num_classes=10, train=7, validation=7, seed=0)
    assert sample_images.digest(tmp_path / "one") == sample_images.digest(tmp_path / "two")
    sample_images.write(tmp_path / "three", size=32, num_classes=10, train=7, validation=7, seed=1)
    assert sample_images.digest(tmp_path / "one") != sample_images.digest(tmp_path / "three")


def test_the_digest_sees_a_changed_byte(tmp_path: Path) -> None:
    sample_images.write(tmp_path, size=32, num_classes=10, train=4, validation=4, seed=0)
    before = sample_images.digest(tmp_path)
    path = tmp_path / "val_list.txt"
    path.write_bytes(path.read_bytes().replace(b" 0", b" 1", 1).replace(b" 7", b" 8", 1))
    assert sample_images.digest(tmp_path) != before
