"""The image operations of RandAugment and AutoAugment, and what a level from 0 to 10 means in each, as in timm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from recipe.draws import Draws

TOP = 10.0
"""The level at which the constants below hold; higher levels are possible."""
_ROTATION = 30.0  # degrees
_SHEAR = 0.3
_TRANSLATION = 0.45  # of the image's side
_BRIGHTEST_ADDED = 110
_SOLARIZE_BELOW = 128


@dataclass(frozen=True, slots=True)
class Canvas:
    """Fill and interpolation of the operations that move pixels.

    Attributes:
        fill: Colour of pixels from outside the image.
        resample: Interpolation.
    """

    fill: tuple[int, ...]
    resample: Image.Resampling


Operation: TypeAlias = Callable[[Image.Image, float, Draws, Canvas], Image.Image]
"""Takes an RGB image and a level; draws what timm draws after the level: a sign, a radius or nothing."""


def _signed(value: float, draws: Draws) -> float:
    return -value if draws.random() > 0.5 else value


def _moved(image: Image.Image, matrix: tuple[float, ...], canvas: Canvas) -> Image.Image:
    return image.transform(image.size, Image.Transform.AFFINE, matrix, resample=canvas.resample, fillcolor=canvas.fill)


def _fixed(change: Callable[[Image.Image], Image.Image]) -> Operation:
    """An operation without a level."""
    return lambda image, level, draws, canvas: change(image)


def _rotate(image: Image.Image, level: float, draws: Draws, canvas: Canvas) -> Image.Image:
    degrees = _signed(level / TOP * _ROTATION, draws)
    return image.rotate(degrees, resample=canvas.resample, fillcolor=canvas.fill)


def _sheared(matrix: Callable[[float], tuple[float, ...]]) -> Operation:
    return lambda image, level, draws, canvas: _moved(image, matrix(_signed(level / TOP * _SHEAR, draws)), canvas)


def _translated(matrix: Callable[[float, Image.Image], tuple[float, ...]]) -> Operation:
    return lambda image, level, draws, canvas: _moved(
        image, matrix(_signed(level / TOP * _TRANSLATION, draws), image), canvas
    )


def _posterized(bits: Callable[[float], int]) -> Operation:
    def posterize(image: Image.Image, level: float, draws: Draws, canvas: Canvas) -> Image.Image:
        kept = bits(level)
        if kept < 1:  # level 10 keeps no bit: older Pillow returned black, recent Pillow raises
            return image.point([0] * (256 * len(image.getbands())))
        return image if kept >= 8 else ImageOps.posterize(image, kept)

    return posterize


def _solarized(threshold: Callable[[float], int]) -> Operation:
    return lambda image, level, draws, canvas: ImageOps.solarize(image, threshold(level))


def _solarize_add(image: Image.Image, level: float, draws: Draws, canvas: Canvas) -> Image.Image:
    added = min(128, int(level / TOP * _BRIGHTEST_ADDED))
    table = [min(255, value + added) if value < _SOLARIZE_BELOW else value for value in range(256)]
    return image.point(table * len(image.getbands()))


def _enhanced(enhancer: Callable[[Image.Image], ImageEnhance._Enhance], *, both_ways: bool) -> Operation:
    """Enhancement by a factor of .1 to 1.9; or, both ways, by a factor further from 1 at a higher level."""

    def enhance(image: Image.Image, level: float, draws: Draws, canvas: Canvas) -> Image.Image:
        factor = max(0.1, 1.0 + _signed(level / TOP * 0.9, draws)) if both_ways else level / TOP * 1.8 + 0.1
        return enhancer(image).enhance(factor)

    return enhance


def _between(low: float, high: float, level: float) -> float:
    return max(low, min(high, low + (high - low) * (level / TOP)))


def _desaturate(image: Image.Image, level: float, draws: Draws, canvas: Canvas) -> Image.Image:
    return ImageEnhance.Color(image).enhance(min(1.0, max(0.0, 1.0 - _between(0.5, 1.0, level))))


def _gaussian_blur_up_to(image: Image.Image, level: float, draws: Draws, canvas: Canvas) -> Image.Image:
    radius = draws.uniform(0.1, 2.0 * _between(0.0, 1.0, level))
    return image.filter(ImageFilter.GaussianBlur(radius=float(radius)))


def _gaussian_blur(image: Image.Image, level: float, draws: Draws, canvas: Canvas) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(radius=_between(0.1, 2.0, level)))


OPERATIONS: dict[str, Operation] = {
    "AutoContrast": _fixed(ImageOps.autocontrast),
    "Equalize": _fixed(ImageOps.equalize),
    "Invert": _fixed(ImageOps.invert),
    "Rotate": _rotate,
    "Posterize": _posterized(lambda level: int(level / TOP * 4)),
    "PosterizeIncreasing": _posterized(lambda level: 4 - int(level / TOP * 4)),
    "PosterizeOriginal": _posterized(lambda level: int(level / TOP * 4) + 4),
    "Solarize": _solarized(lambda level: min(256, int(level / TOP * 256))),
    "SolarizeIncreasing": _solarized(lambda level: 256 - min(256, int(level / TOP * 256))),
    "SolarizeAdd": _solarize_add,
    "Color": _enhanced(ImageEnhance.Color, both_ways=False),
    "ColorIncreasing": _enhanced(ImageEnhance.Color, both_ways=True),
    "Contrast": _enhanced(ImageEnhance.Contrast, both_ways=False),
    "ContrastIncreasing": _enhanced(ImageEnhance.Contrast, both_ways=True),
    "Brightness": _enhanced(ImageEnhance.Brightness, both_ways=False),
    "BrightnessIncreasing": _enhanced(ImageEnhance.Brightness, both_ways=True),
    "Sharpness": _enhanced(ImageEnhance.Sharpness, both_ways=False),
    "SharpnessIncreasing": _enhanced(ImageEnhance.Sharpness, both_ways=True),
    "ShearX": _sheared(lambda shear: (1, shear, 0, 0, 1, 0)),
    "ShearY": _sheared(lambda shear: (1, 0, 0, shear, 1, 0)),
    "TranslateXRel": _translated(lambda share, image: (1, 0, share * image.width, 0, 1, 0)),
    "TranslateYRel": _translated(lambda share, image: (1, 0, 0, 0, 1, share * image.height)),
    "Desaturate": _desaturate,
    "GaussianBlur": _gaussian_blur,
    "GaussianBlurRand": _gaussian_blur_up_to,
}
"""Operations by timm's names."""
