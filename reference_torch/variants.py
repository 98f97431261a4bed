"""What the `create` functions of all families do with their arguments."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import TypeVar

Config = TypeVar("Config")


def config_of(name: str, configs: Mapping[str, Config]) -> Config:
    """The hyper-parameters of a published variant.

    Raises:
        ValueError: No variant has this name; the nearest one is named.
    """
    if name not in configs:
        close = get_close_matches(name, configs, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(configs)}"
        raise ValueError(f"unknown model {name!r}; {hint}")
    return configs[name]


def size_of(image_size: int | tuple[int, int]) -> tuple[int, int]:
    """Height and width of an image size that may be square."""
    return (image_size, image_size) if isinstance(image_size, int) else (image_size[0], image_size[1])


def check_classes(num_classes: int) -> int:
    """The class count.

    Raises:
        ValueError: It is negative.
    """
    if num_classes < 0:
        raise ValueError(f"the class count is {num_classes}, expected 0 (no head) or more")
    return num_classes


def check_patches(image_size: tuple[int, int], patch_size: int) -> tuple[int, int]:
    """Rows and columns of patches that do not overlap.

    Raises:
        ValueError: They do not fill the image.
    """
    if any(pixels < patch_size or pixels % patch_size for pixels in image_size):
        raise ValueError(f"image size {image_size} is no multiple of the patch size {patch_size}")
    return image_size[0] // patch_size, image_size[1] // patch_size
