"""Pictures of every kind become RGB as timm reads them, and what is none is refused by its path."""

from __future__ import annotations

import pickle
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
from PIL import Image

import recipe.images
from recipe.images import ImageError, read_image

PHOTOGRAPH = Image.fromarray(skimage.data.chelsea()).resize((60, 40))


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "CMYK", "1", "LA"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("x.jpg" if mode == "CMYK" else "x.png")
    PHOTOGRAPH.convert(mode).save(path)
    image = read_image(path)
    assert (image.mode, image.size) == ("RGB", (60, 40))
    with Image.open(path) as opened:
        np.testing.assert_array_equal(np.asarray(image), np.asarray(opened.convert("RGB")))


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_the_upper_8_of_16_bits_are_taken(tmp_path: Path, suffix: str) -> None:
    grey = np.asarray(PHOTOGRAPH.convert("L"))
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / f"x.{suffix}")
    image = read_image(tmp_path / f"x.{suffix}")
    np.testing.assert_array_equal(np.asarray(image), np.repeat(grey[..., None], 3, -1))


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_32_bits_are_read_where_their_white_is_known(tmp_path: Path, dtype: type) -> None:
    grey: Any = np.asarray(PHOTOGRAPH.convert("L")).astype(dtype)
    Image.fromarray(grey).save(tmp_path / "x.tif")
    assert np.asarray(read_image(tmp_path / "x.tif"))[..., 0].tolist() == grey.tolist()
    Image.fromarray(grey * 9).save(tmp_path / "y.tif")
    with pytest.raises(ImageError, match=r"y\.tif: has 32 bits a pixel, from \d+ to \d+, whose white is not known"):
        read_image(tmp_path / "y.tif")


def test_orientation_tags_are_ignored_as_timm_ignores_them(tmp_path: Path) -> None:
    tags = Image.Exif()
    tags[0x0112] = 6
    PHOTOGRAPH.save(tmp_path / "x.jpg", exif=tags)
    assert read_image(tmp_path / "x.jpg").size == (60, 40)


def _png() -> bytes:
    stream = BytesIO()
    PHOTOGRAPH.save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "cannot be read as an image: it is empty"),
        (b"<html>404</html>", "cannot be read as an image: it has no format of images that Pillow knows"),
        (_png()[:-600], "cannot be read as an image"),
        (_png()[:60] + b"\0" * 400 + _png()[460:], "cannot be read as an image"),
    ],
    ids=["empty", "no image", "truncated", "damaged"],
)
def test_damaged_images_are_refused_by_path(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "x y.png"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=problem) as caught:
        read_image(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert caught.value.path == str(path)


def test_missing_images_and_folders(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"x\.jpg: no such file"):
        read_image(tmp_path / "x.jpg")
    with pytest.raises(ImageError, match="IsADirectoryError"):
        read_image(tmp_path)


@pytest.mark.parametrize("factor", [1, 1.5, 3])
def test_decompression_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, factor: float) -> None:
    limit = int(60 * 40 / factor)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    monkeypatch.setattr(recipe.images, "MAX_PIXELS", limit)
    PHOTOGRAPH.save(tmp_path / "x.png")
    if factor == 1:
        read_image(tmp_path / "x.png")
    else:
        with pytest.raises(ImageError, match=r"60 x 40 pixels, more than 1600|DecompressionBombError"):
            read_image(tmp_path / "x.png")


def test_the_error_of_a_worker_arrives_whole() -> None:
    again = pickle.loads(pickle.dumps(ImageError("a.jpg", "no such file")))
    assert (str(again), again.path, again.problem) == ("a.jpg: no such file", "a.jpg", "no such file")
