"""From an RGB image to the model's input: the pipelines of timm's `create_transform`, in NumPy, bit by bit."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, floor, log, sqrt
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from recipe.augmentation.operations import Canvas
from recipe.augmentation.randaugment import Policy, parse
from recipe.config import Augmentation, Config, Data
from recipe.draws import Draws
from recipe.errors import ConfigError
from recipe.workers import Images

Box: TypeAlias = tuple[int, int, int, int]
"""Left, top, right, bottom."""
RESAMPLING = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
_ATTEMPTS = 10
"""Attempts to draw a crop or a rectangle that fits into the image."""
_ERASED_AREA = (0.02, 1 / 3)
_ERASED_LOG_ASPECT = (log(0.3), log(1 / 0.3))
_THREE_AUGMENT = "3a"
"""Colour jitter follows policies of this name; other policies replace it."""


@dataclass(frozen=True, slots=True)
class Normalise:
    """Turns 8-bit pixels into float32 of mean 0 and standard deviation 1.

    Attributes:
        mean: Mean of each channel, in [0, 1].
        std: Standard deviation of each channel.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, image: Image.Image) -> Images:
        """Take an RGB image, return `(3, height, width)`, float32."""
        mean, std = (np.array(values, np.float32)[:, None, None] for values in (self.mean, self.std))
        normal = np.empty((len(self.mean), image.height, image.width), np.float32)
        np.divide(np.asarray(image).transpose(2, 0, 1), np.float32(255), out=normal, dtype=np.float32)
        normal -= mean
        normal /= std
        return normal


@dataclass(frozen=True, slots=True)
class RandomCrop:
    """A random part of the image, resized to the model's size.

    Attributes:
        size: Side of the result, pixels.
        scale: Range of the part's share of the area.
        ratio: Range of the part's width over its height.
        resample: Interpolation.
    """

    size: int
    scale: tuple[float, float]
    ratio: tuple[float, float]
    resample: Image.Resampling

    def __call__(self, image: Image.Image, draws: Draws) -> Image.Image:
        """Take an RGB image of any size, return one of `size`."""
        return _resized(image.crop(self.box(image.width, image.height, draws)), (self.size, self.size), self.resample)

    def box(self, width: int, height: int, draws: Draws) -> Box:
        """The part to take of an image of this size; its centre, if ten drawn parts do not fit into it."""
        low, high = log(self.ratio[0]), log(self.ratio[1])
        for _ in range(_ATTEMPTS):
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
        strength: Largest difference of a factor from 1.
    """

    strength: float

    def __call__(self, image: Image.Image, draws: Draws) -> Image.Image:
        """Take and return an RGB image."""
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
class Erasing:
    """Random erasing (arXiv 1708.04896), with timm's draws: overwrites rectangles of a normalised image.

    Attributes:
        probability: Probability of erasing anything.
        mode: `pixel` (normal noise in each pixel), `rand` (one normal colour) or `const` (zero, the mean colour).
        most: Largest number of rectangles; if above 1, the number is drawn, and the area divided by it.
    """

    probability: float
    mode: str = "pixel"
    most: int = 1

    @classmethod
    def of(cls, augmentation: Augmentation) -> Erasing:
        """The erasing that a configuration describes."""
        return cls(augmentation.erasing, augmentation.erasing_mode, augmentation.erasing_count)

    def __call__(self, image: Images, draws: Draws) -> None:
        """Erase in an image `(channels, height, width)`, in place."""
        if draws.random() > self.probability:
            return
        count = 1 if self.most == 1 else int(draws.integers(1, self.most + 1))
        for _ in range(count):
            self._erase_one(image, count, draws)

    def _erase_one(self, image: Images, count: int, draws: Draws) -> None:
        channels, height, width = image.shape
        for _ in range(_ATTEMPTS):
            area = float(draws.uniform(*_ERASED_AREA)) * (height * width) / count
            aspect = exp(float(draws.uniform(*_ERASED_LOG_ASPECT)))
            rows, columns = round(sqrt(area * aspect)), round(sqrt(area / aspect))
            if columns < width and rows < height:
                top = int(draws.integers(0, height - rows + 1))
                left = int(draws.integers(0, width - columns + 1))
                image[:, top : top + rows, left : left + columns] = self._colours(channels, rows, columns, draws)
                return

    def _colours(self, channels: int, rows: int, columns: int, draws: Draws) -> Images:
        if self.mode == "const":
            return np.zeros((channels, 1, 1), np.float32)
        shape = (channels, rows, columns) if self.mode == "pixel" else (channels, 1, 1)
        return np.asarray(draws.normal(size=shape), np.float32)


@dataclass(frozen=True, slots=True)
class TrainTransform:
    """Augments an image: crop, flip, policy or colour jitter, normalisation, erasing.

    Attributes:
        crop: The random crop.
        flip: Probability of a horizontal flip.
        policy: RandAugment or AutoAugment; None for neither.
        jitter: Colour jitter; None for none.
        normalise: Conversion to float32.
        erasing: Random erasing; None for none.
        canvas: Fill and interpolation of the policy's operations.
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
        """The transform that a configuration describes.

        Raises:
            ConfigError: The policy or the interpolation is unknown.
        """
        augmentation, resample = config.augmentation, _resampling(config.data)
        policy = parse(augmentation.auto) if augmentation.auto else None
        jitters = policy is None or _THREE_AUGMENT in (augmentation.auto or "")
        return cls(
            crop=RandomCrop(config.model.image_size, augmentation.scale, augmentation.ratio, resample),
            flip=augmentation.flip,
            policy=policy,
            jitter=ColorJitter(augmentation.color_jitter) if jitters else None,
            normalise=Normalise(config.data.mean, config.data.std),
            erasing=Erasing.of(augmentation) if augmentation.erasing > 0 else None,
            canvas=Canvas(tuple(min(255, round(255 * value)) for value in config.data.mean), resample),
        )

    def __call__(self, image: Image.Image, draws: Draws) -> Images:
        """Take an RGB image of any size, return `(3, size, size)`, float32."""
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
    """Resizes an image and takes its centre.

    Attributes:
        size: Side of the result, pixels.
        crop: Share of the shorter side that the centre covers.
        resample: Interpolation.
        normalise: Conversion to float32.
    """

    size: int
    crop: float
    resample: Image.Resampling
    normalise: Normalise

    @classmethod
    def of(cls, config: Config) -> EvalTransform:
        """The transform that a configuration describes.

        Raises:
            ConfigError: The interpolation is unknown.
        """
        data = config.data
        return cls(config.model.image_size, data.crop, _resampling(data), Normalise(data.mean, data.std))

    def __call__(self, image: Image.Image) -> Images:
        """Take an RGB image of any size, return `(3, size, size)`, float32."""
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
    """The middle square, with black around an image that is smaller, as with `crop` above 1."""
    margins = [max(0, size - side) for side in image.size]
    if any(margins):
        image = ImageOps.expand(image, (*(side // 2 for side in margins), *((side + 1) // 2 for side in margins)), 0)
    left, top = (round((side - size) / 2) for side in image.size)
    return image.crop((left, top, left + size, top + size))
