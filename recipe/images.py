"""Image files as RGB pictures."""

from __future__ import annotations

import warnings
from os import PathLike, fspath
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from recipe.errors import DataError

MAX_PIXELS = 89_478_485
"""Largest number of pixels of an image, Pillow's own limit: 256 MiB in RGB. ImageNet's largest has 60 million."""

_LARGEST_VALUE = 255


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

    As timm does it: orientation tags are ignored, transparency is dropped, grey and palettes become RGB. Not as timm:
    of 16 bits a pixel the upper 8 are taken, where timm's images are white.

    Args:
        path: A file of any format that Pillow reads.

    Raises:
        ImageError: The file is missing, no image, damaged, truncated, has more than `MAX_PIXELS`, or 32 bits a pixel
            that are not within 0 to 255.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # notes on odd but readable files, and on sizes that are refused here
            with Image.open(path) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise ImageError(path, f"has {image.width} x {image.height} pixels, more than {MAX_PIXELS}")
                image.load()
                return _to_rgb(path, image)
    except (ImageError, MemoryError):
        raise
    except FileNotFoundError as error:
        raise ImageError(path, "no such file") from error
    except UnidentifiedImageError as error:
        raise ImageError(path, f"cannot be read as an image: {_unidentified(path)}") from error
    except Exception as error:  # a decoder fed with damaged bytes may raise anything
        raise ImageError(path, f"cannot be read as an image: {_short(error)}") from error


def _to_rgb(path: str | PathLike[str], image: Image.Image) -> Image.Image:
    """The picture in 8-bit RGB; Pillow itself would clip what has more bits to 255."""
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
    elif image.mode in ("I", "F"):
        low, high = image.getextrema()
        if not (0 <= low <= high <= _LARGEST_VALUE):
            raise ImageError(
                path, f"has 32 bits a pixel, from {low:g} to {high:g}, whose white is not known; save it with 8 or 16"
            )
    return image if image.mode == "RGB" else image.convert("RGB")


def _unidentified(path: str | PathLike[str]) -> str:
    return "it is empty" if Path(path).stat().st_size == 0 else "it has no format of images that Pillow knows"


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0][:200]}" if str(error) else type(error).__name__
