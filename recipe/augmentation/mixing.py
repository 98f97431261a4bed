"""Mixup (arXiv 1710.09412) and CutMix (arXiv 1905.04899) of a batch with itself backwards, with timm's draws."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np

from recipe.batches import Labels
from recipe.config import Config
from recipe.draws import Draws
from recipe.errors import DataError
from recipe.workers import Images


@dataclass(frozen=True, slots=True)
class Mixing:
    """timm's `Mixup` in batch mode; of an odd batch, the middle image meets itself.

    Attributes:
        mixup: Alpha of mixup's beta distribution; 0 turns it off.
        cutmix: Alpha of cutmix's beta distribution; 0 turns it off.
        probability: Probability of mixing at all.
        switch: Probability of cutmix where both are on.
        smoothing: Label smoothing of the targets.
        num_classes: Columns of the targets.
    """

    mixup: float
    cutmix: float
    probability: float
    switch: float
    smoothing: float
    num_classes: int

    @classmethod
    def of(cls, config: Config) -> Mixing | None:
        """The mixing that a configuration describes; None if no batch is ever mixed: then the loss smooths labels."""
        mixing, smoothing = config.mixing, config.loss.smoothing
        if not mixing.active:
            return None
        classes = config.model.num_classes
        return cls(mixing.mixup, mixing.cutmix, mixing.probability, mixing.switch, smoothing, classes)

    def __call__(self, images: Images, labels: Labels, draws: Draws) -> tuple[Images, Images]:
        """Mix a batch; the arrays given are not changed.

        Args:
            images: `(batch, channels, height, width)`, float32.
            labels: `(batch,)`, integers below `num_classes`.
            draws: Stream of the batch.

        Returns:
            Mixed images of the same shape, and targets `(batch, num_classes)`, float32, each row adding up to 1.

        Raises:
            DataError: A label is not below `num_classes`.
        """
        share, cuts = self._share(draws)
        if share == 1:
            return images.copy(), self.targets(labels, 1.0)
        if not cuts:
            return _blended(images, share), self.targets(labels, share)
        rows, columns = _box(images.shape[2], images.shape[3], share, draws)
        mixed = images.copy()
        mixed[:, :, rows, columns] = images[::-1, :, rows, columns]
        area = (rows.stop - rows.start) * (columns.stop - columns.start)
        return mixed, self.targets(labels, 1 - area / float(images.shape[2] * images.shape[3]))

    def _share(self, draws: Draws) -> tuple[float, bool]:
        """Share of an image in its mixture, and True if the rest is cut in, False if it is blended."""
        if not draws.random() < self.probability:
            return 1.0, False
        cuts = self.cutmix > 0 and (self.mixup == 0 or bool(draws.random() < self.switch))
        alpha = self.cutmix if cuts else self.mixup
        return float(draws.beta(alpha, alpha)), cuts

    def targets(self, labels: Labels, share: float) -> Images:
        """Smoothed labels times the share, plus those of the reversed batch times the rest; `(batch, classes)`."""
        if labels.size and not 0 <= labels.min() <= labels.max() < self.num_classes:
            raise DataError(f"a label is {labels.max()}, but the model has {self.num_classes} classes")
        off = self.smoothing / self.num_classes
        smooth = np.full((labels.size, self.num_classes), off, np.float32)
        smooth[np.arange(labels.size), labels.reshape(-1)] = 1 - self.smoothing + off
        targets: Images = smooth * np.float32(share) + smooth[::-1] * np.float32(1 - share)
        return targets


def _blended(images: Images, share: float) -> Images:
    """Mixup, computed image by image, so that what is read twice is still in the cache."""
    mixed, rest = np.empty_like(images), np.empty_like(images[0])
    for image, other, result in zip(images, images[::-1], mixed, strict=True):
        np.multiply(other, np.float32(1 - share), out=rest)
        np.multiply(image, np.float32(share), out=result)
        result += rest
    return mixed


def _box(height: int, width: int, share: float, draws: Draws) -> tuple[slice, slice]:
    """Rows and columns of a box of the image's aspect ratio around a random centre, cut off at the edges."""
    ratio = sqrt(1 - share)
    rows, columns = int(height * ratio), int(width * ratio)
    row, column = int(draws.integers(0, height)), int(draws.integers(0, width))
    return _around(row, rows, height), _around(column, columns, width)


def _around(centre: int, length: int, end: int) -> slice:
    return slice(max(0, centre - length // 2), min(end, centre + (length + 1) // 2))
