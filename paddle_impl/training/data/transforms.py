"""From an RGB picture to the model's input: the pipelines of timm's `create_transform`, in NumPy, bit by bit."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, floor, log, sqrt
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from paddle_impl.training.data.erasing import Erasing
from paddle_impl.training.data.operations import Canvas
from paddle_impl.training.data.randaugment import Policy, parse
from recipe.config import Config, Data
from recipe.draws import Draws
from recipe.errors import ConfigError
from recipe.workers import Images

Box: TypeAlias = tuple[int, int, int, int]
"""Left, top, right, bottom."""
RESAMPLING = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
_CROPS = 10
_THREE_AUGMENT = "3a"
"""Policies of this name are followed by colour jitter, other ones replace it."""


@dataclass(frozen=True, slots=True)
class Normalise:
    """Brings 8-bit pixels to float32 of mean 0 and deviation 1.

    Attributes:
        mean: Of each channel, in [0, 1].
        std: Of each channel.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, image: Image.Image) -> Images:
        """Takes an RGB image, returns `(3, height, width)`, float32."""
        mean, std = (np.array(values, np.float32)[:, None, None] for values in (self.mean, self.std))
        normal = np.empty((len(self.mean), image.height, image.width), np.float32)
        np.divide(np.asarray(image).transpose(2, 0, 1), np.float32(255), out=normal, dtype=np.float32)
        normal -= mean
        normal /= std
        return normal


@dataclass(frozen=True, slots=True)
class RandomCrop:
    """A random part of the image, brought to the model's size.

    Attributes:
        size: Side of the result, pixels.
        scale: Share of the area that the part covers.
        ratio: Its width over its height.
        resample: How pixels are interpolated.
    """

    size: int
    scale: tuple[float, float]
    ratio: tuple[float, float]
    resample: Image.Resampling

    def __call__(self, image: Image.Image, draws: Draws) -> Image.Image:
        """Takes an RGB image of any size, returns one of `size`."""
        return _resized(image.crop(self.box(image.width, image.height, draws)), (self.size, self.size), self.resample)

    def box(self, width: int, height: int, draws: Draws) -> Box:
        """The part to take of an image of this size; its centre, if ten draws do not fit into it."""
        low, high = log(self.ratio[0]), log(self.ratio[1])
        for _ in range(_CROPS):
            area = float(draws.uniform(*self.scale)) * (width * height)
            aspect = exp(float(draws.uniform(low, high)))
            columns, rows = round(sqrt(area * aspect)), round(sqrt(area / aspect))
            if columns <= width and rows <= height:
                top = int(draws.integers(0, height - rows + 1))
                left = int(draws.integers(0, width - columns + 1))
                return left, top, left + columns, top + rows
        columns = min(width, round(height * max(self.ratio)))
        rows = min(height, round(width / min(self.ratio)))
        left, top = (width - columns) // 2, (height - rows) // 2
        return left, top, left + columns, top + rows


@dataclass(frozen=True, slots=True)
class ColorJitter:
    """Brightness, contrast and saturation, each by a random factor, in random order; torchvision's.

    Attributes:
        strength: Most that a factor differs from 1.
    """

    strength: float

    def __call__(self, image: Image.Image, draws: Draws) -> Image.Image:
        """Takes and returns an RGB image."""
        order = draws.permutation(4)  # torchvision can also shift the hue, which is its fourth
        if self.strength == 0:
            return image
        low, high = max(0.0, 1 - self.strength), 1 + self.strength
        factors = [float(draws.uniform(low, high)) for _ in range(3)]
        for at in order:
            if at < 3:
                enhancer = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)[at]
                image = enhancer(image).enhance(factors[at])
        return image


@dataclass(frozen=True, slots=True)
class TrainTransform:
    """Augments an image: crop, flip, policy or colour jitter, normalisation, erasing.

    Attributes:
        crop: The random crop.
        flip: Probability of a horizontal flip.
        policy: RandAugment or AutoAugment.
        jitter: Colour jitter.
        normalise: To float32.
        erasing: Random erasing.
        canvas: For operations of the policy that move pixels.
    """

    crop: RandomCrop
    flip: float
    policy: Policy | None
    jitter: ColorJitter | None
    normalise: Normalise
    erasing: Erasing | None
    canvas: Canvas

    @classmethod
    def of(cls, config: Config) -> TrainTransform:
        """As configured.

        Raises:
            ConfigError: The policy or the interpolation is unknown.
        """
        given, resample = config.augmentation, _resampling(config.data)
        policy = parse(given.auto) if given.auto else None
        jitters = policy is None or _THREE_AUGMENT in (given.auto or "")
        return cls(
            crop=RandomCrop(config.model.image_size, given.scale, given.ratio, resample),
            flip=given.flip,
            policy=policy,
            jitter=ColorJitter(given.color_jitter) if jitters else None,
            normalise=Normalise(config.data.mean, config.data.std),
            erasing=Erasing.of(given) if given.erasing > 0 else None,
            canvas=Canvas(tuple(min(255, round(255 * value)) for value in config.data.mean), resample),
        )

    def __call__(self, image: Image.Image, draws: Draws) -> Images:
        """Takes an RGB image of any size, returns `(3, size, size)`, float32."""
        image = self.crop(image, draws)
        if self.flip > 0 and draws.random() < self.flip:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if self.policy is not None:
            image = self.policy(image, draws, self.canvas)
        if self.jitter is not None:
            image = self.jitter(image, draws)
        pixels = self.normalise(image)
        if self.erasing is not None:
            self.erasing(pixels, draws)
        return pixels


@dataclass(frozen=True, slots=True)
class EvalTransform:
    """Takes the centre of an image.

    Attributes:
        size: Side of the result, pixels.
        crop: Share of the shorter side that it covers.
        resample: How pixels are interpolated.
        normalise: To float32.
    """

    size: int
    crop: float
    resample: Image.Resampling
    normalise: Normalise

    @classmethod
    def of(cls, config: Config) -> EvalTransform:
        """As configured.

        Raises:
            ConfigError: The interpolation is unknown.
        """
        data = config.data
        return cls(config.model.image_size, data.crop, _resampling(data), Normalise(data.mean, data.std))

    def __call__(self, image: Image.Image) -> Images:
        """Takes an RGB image of any size, returns `(3, size, size)`, float32."""
        short = floor(self.size / self.crop)
        longer = int(short * max(image.size) / min(image.size))
        image = _resized(image, (short, longer) if image.width <= image.height else (longer, short), self.resample)
        return self.normalise(_centre(image, self.size))


def _resampling(data: Data) -> Image.Resampling:
    if data.interpolation not in RESAMPLING:
        raise ConfigError(f"data.interpolation is {data.interpolation!r}; known: {', '.join(RESAMPLING)}")
    return RESAMPLING[data.interpolation]


def _resized(image: Image.Image, size: tuple[int, int], resample: Image.Resampling) -> Image.Image:
    return image if image.size == size else image.resize(size, resample)


def _centre(image: Image.Image, size: int) -> Image.Image:
    """The middle square, with black around an image that is smaller (`crop` above 1)."""
    margins = [max(0, size - side) for side in image.size]
    if any(margins):
        (left, top), (right, bottom) = ([part // 2 for part in margins], [(part + 1) // 2 for part in margins])
        image = ImageOps.expand(image, (left, top, right, bottom), fill=0)
    left, top = (round((side - size) / 2) for side in image.size)
    return image.crop((left, top, left + size, top + size))
