"""Image files as RGB pictures."""

from __future__ import annotations

import warnings
from os import PathLike, fspath

from PIL import Image

from recipe.errors import DataError

MAX_PIXELS = 89_478_485
"""Largest number of pixels of an image, Pillow's own limit: 256 MiB in RGB. ImageNet's largest has 60 million."""


class ImageError(DataError):
    """An image that cannot be read.

    Args:
        path: Path of the image file.
        problem: What is wrong with it.
    """

    def __init__(self, path: str | PathLike[str], problem: str) -> None:
        super().__init__(f"{fspath(path)}: {problem}")
        self.path = fspath(path)
        self.problem = problem

    def __reduce__(self) -> tuple[type[ImageError], tuple[str, str]]:
        return type(self), (self.path, self.problem)


def read_image(path: str | PathLike[str]) -> Image.Image:
    """Decode an image file as 8-bit RGB.

    As timm does it: orientation tags are ignored, transparency is dropped, grey and palettes become RGB.

    Args:
        path: A file of any format that Pillow reads.

    Raises:
        ImageError: The file is missing, no image, damaged, truncated, or has more than `MAX_PIXELS`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # notes on odd but readable files, and on sizes that are refused here
            with Image.open(path) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise ImageError(path, f"has {image.width} x {image.height} pixels, more than {MAX_PIXELS}")
                image.load()
                picture: Image.Image = image if image.mode == "RGB" else image.convert("RGB")
                return picture
    except (ImageError, MemoryError):
        raise
    except FileNotFoundError as error:
        raise ImageError(path, "no such file") from error
    except Exception as error:  # a decoder fed with damaged bytes may raise anything
        raise ImageError(path, f"cannot be read as an image: {_short(error)}") from error


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0][:200]}" if str(error) else type(error).__name__
