"""Labels of folders are those of the reader of DeiT's recipe, and timm's mixup leaves its input as it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torchvision.datasets import ImageFolder

from recipe.config import Config
from recipe.draws import Seeded
from recipe.samples import read_folder
from reference_torch.training.data import Mixing


def test_folders_are_read_as_torchvision_reads_them(tmp_path: Path) -> None:
    for name in ("b/2.JPEG", "b/1.png", "a/deep/er/x.jpg", "a/z.webp", "a/deep/y.jpg", "c10/x.jpg", "c9/x.TIF"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    expected = ImageFolder(str(tmp_path))
    samples = read_folder(tmp_path)
    assert list(samples.classes) == expected.classes
    assert {(name, label) for name, label in zip(samples.names, samples.labels, strict=True)} == set(expected.samples)


def test_mixing_leaves_its_input() -> None:
    config = Config()
    mixing = Mixing.of(replace(config, model=replace(config.model, num_classes=3)))
    assert mixing is not None
    images, labels = np.random.default_rng(0).random((4, 3, 8, 8), np.float32), np.array([0, 1, 2, 0])
    kept = images.copy()
    mixed, targets = mixing(images, labels, Seeded(0).stream("mixing"))
    assert (mixed.dtype, targets.shape) == (torch.float32, (4, 3))
    np.testing.assert_array_equal(images, kept)
    assert not np.array_equal(mixed.numpy(), kept)
