"""Which operations the policies of RandAugment and AutoAugment choose from, as timm has them."""

from __future__ import annotations

_FIXED = ("AutoContrast", "Equalize", "Invert", "Rotate")
_MOVING = ("ShearX", "ShearY", "TranslateXRel", "TranslateYRel")

PLAIN = (
    *_FIXED,
    *("Posterize", "Solarize", "SolarizeAdd", "Color", "Contrast", "Brightness", "Sharpness"),
    *_MOVING,
)
"""Operations of RandAugment (arXiv 1909.13719)."""

INCREASING = (
    *_FIXED,
    *("PosterizeIncreasing", "SolarizeIncreasing", "SolarizeAdd"),
    *("ColorIncreasing", "ContrastIncreasing", "BrightnessIncreasing", "SharpnessIncreasing"),
    *_MOVING,
)
"""The same, each stronger at a higher level (`inc1`)."""

SETS: dict[str, dict[str, float]] = {
    "weights": {
        "Rotate": 3,
        "ShearX": 2,
        "ShearY": 2,
        "TranslateXRel": 1,
        "TranslateYRel": 1,
        "ColorIncreasing": 0.25,
        "SharpnessIncreasing": 0.25,
        "AutoContrast": 0.25,
        "SolarizeIncreasing": 0.05,
        "SolarizeAdd": 0.05,
        "ContrastIncreasing": 0.05,
        "BrightnessIncreasing": 0.05,
        "Equalize": 0.05,
        "PosterizeIncreasing": 0.05,
        "Invert": 0.05,
    },
    "3a": {"SolarizeIncreasing": 0, "Desaturate": 0, "GaussianBlur": 0},
    "3aw": {
        "SolarizeIncreasing": 6,
        "Desaturate": 6,
        "GaussianBlur": 6,
        "Rotate": 3,
        "ShearX": 2,
        "ShearY": 2,
        "PosterizeIncreasing": 1,
        "AutoContrast": 1,
        "ColorIncreasing": 1,
        "SharpnessIncreasing": 1,
        "ContrastIncreasing": 1,
        "BrightnessIncreasing": 1,
        "Equalize": 1,
        "Invert": 1,
    },
}
"""Named sets of operations (`tweights`) with their weights; if all weights are 0, all operations are equally likely."""

_ORIGINAL = """
PosterizeOriginal .4 8, Rotate .6 9            Solarize .6 5, AutoContrast .6 5
Equalize .8 8, Equalize .6 3                   PosterizeOriginal .6 7, PosterizeOriginal .6 6
Equalize .4 7, Solarize .2 4                   Equalize .4 4, Rotate .8 8
Solarize .6 3, Equalize .6 7                   PosterizeOriginal .8 5, Equalize 1 2
Rotate .2 3, Solarize .6 8                     Equalize .6 8, PosterizeOriginal .4 6
Rotate .8 8, Color .4 0                        Rotate .4 9, Equalize .6 2
Equalize 0 7, Equalize .8 8                    Invert .6 4, Equalize 1 8
Color .6 4, Contrast 1 8                       Rotate .8 8, Color 1 2
Color .8 8, Solarize .8 7                      Sharpness .4 7, Invert .6 8
ShearX .6 5, Equalize 1 9                      Color .4 0, Equalize .6 3
Equalize .4 7, Solarize .2 4                   Solarize .6 5, AutoContrast .6 5
Invert .6 4, Equalize 1 8                      Color .6 4, Contrast 1 8
Equalize .8 8, Equalize .6 3
"""

_V0 = """
Equalize .8 1, ShearY .8 4                     Color .4 9, Equalize .6 3
Color .4 1, Rotate .6 8                        Solarize .8 3, Equalize .4 7
Solarize .4 2, Solarize .6 2                   Color .2 0, Equalize .8 8
Equalize .4 8, SolarizeAdd .8 3                ShearX .2 9, Rotate .6 8
Color .6 1, Equalize 1 2                       Invert .4 9, Rotate .6 0
Equalize 1 9, ShearY .6 3                      Color .4 7, Equalize .6 0
Posterize .4 6, AutoContrast .4 7              Solarize .6 8, Color .6 9
Solarize .2 4, Rotate .8 9                     Rotate 1 7, TranslateYRel .8 9
ShearX 0 0, Solarize .8 4                      ShearY .8 0, Color .6 4
Color 1 0, Rotate .6 2                         Equalize .8 4, Equalize 0 8
Equalize 1 4, AutoContrast .6 2                ShearY .4 7, SolarizeAdd .6 7
Posterize .8 2, Solarize .6 10                 Solarize .6 8, Equalize .6 1
Color .8 6, Rotate .4 5
"""


def _pairs(text: str) -> list[list[tuple[str, float, float]]]:
    pairs = [pair for line in text.strip().splitlines() for pair in line.split("  ") if pair.strip()]
    split = [[operation.split() for operation in pair.split(",")] for pair in pairs]
    return [[(name, float(probability), float(level)) for name, probability, level in pair] for pair in split]


def _posterizing(text: str) -> str:
    return text.replace("PosterizeOriginal", "Posterize").replace("Posterize", "PosterizeIncreasing")


AUTO = {
    "original": _pairs(_ORIGINAL),
    "originalr": _pairs(_posterizing(_ORIGINAL)),
    "v0": _pairs(_V0),
    "v0r": _pairs(_posterizing(_V0)),
    "3a": [[("Solarize", 1.0, 5.0)], [("Desaturate", 1.0, 10.0)], [("GaussianBlurRand", 1.0, 10.0)]],
}
"""AutoAugment for ImageNet (arXiv 1805.09501): sequences of operations with probabilities and levels.

`3a` is the three augmentations of DeiT III (arXiv 2204.07118).
"""
