"""Random erasing (arXiv 1708.04896), with the draws of timm's."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log, sqrt

import numpy as np

from recipe.config import Augmentation
from recipe.draws import Draws
from recipe.workers import Images

_ATTEMPTS = 10
_AREA = (0.02, 1 / 3)
_LOG_ASPECT = (log(0.3), log(1 / 0.3))


@dataclass(frozen=True, slots=True)
class Erasing:
    """Overwrites rectangles of a normalised image.

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
            area = float(draws.uniform(*_AREA)) * (height * width) / count
            aspect = exp(float(draws.uniform(*_LOG_ASPECT)))
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
