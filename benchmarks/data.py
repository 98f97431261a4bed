"""Times the training batches by the number of worker processes, beside timm's transforms in torch's `DataLoader`.

The images are photographs of scikit-image, as JPEGs of ImageNet's usual size (500 x 375, quality 90). Every
loader carries out the DeiT recipe: random crop to 224, flip, RandAugment, erasing, mixup and cutmix, batches of 64.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import click
import skimage.data
from PIL import Image
from rich.console import Console
from rich.table import Table

from recipe.augmentation.loader import TrainLoader
from recipe.config import Config, Data
from recipe.draws import Seeded
from recipe.samples import Samples, read_folder

_PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")
_COPIES = 800
_SIZE = (500, 375)
_BATCH = 64
Loader: TypeAlias = Callable[[Samples, int], tuple[Iterator[Any], Callable[[], None]]]


@click.command()
@click.option("--workers", default="0,1,2,3,4", show_default=True, help="Numbers of worker processes.")
@click.option("--batches", default=30, show_default=True, help="Batches that are timed, after ten that are not.")
@click.option("--runs", default=3, show_default=True, help="Runs of each loader, interleaved; the median counts.")
@click.option("--json", "target", type=click.Path(path_type=Path), help="Write the figures here.")
def main(workers: str, batches: int, runs: int, target: Path | None) -> None:
    """Print images per second, and the processor time per image in the training process."""
    counts = [int(count) for count in workers.split(",")]
    loaders = {"this project": _ours, "timm and torch's DataLoader": _theirs}
    figures: dict[tuple[str, int], list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        samples = _photographs(Path(folder))
        for _ in range(runs):
            for name, loader in loaders.items():
                for count in counts:
                    figures.setdefault((name, count), []).append(_measure(loader, samples, count, batches))
    table = Table("workers", *loaders, title=f"images/s (ms of the training process), {os.cpu_count()} processors")
    for count in counts:
        table.add_row(str(count), *(_median(figures[name, count]) for name in loaders))
    Console().print(table)
    if target:
        rows = [{"loader": name, "workers": count, "runs": runs} for (name, count), runs in figures.items()]
        target.write_text(json.dumps(rows, indent=2))


def _median(runs: list[tuple[float, float]]) -> str:
    rate, taken = (statistics.median(values) for values in zip(*runs, strict=True))
    return f"{rate:.0f} ({taken:.2f})"


def _photographs(folder: Path) -> Samples:
    for name in _PHOTOGRAPHS:
        (folder / name).mkdir()
        image = Image.fromarray(getattr(skimage.data, name)()).convert("RGB").resize(_SIZE)
        for copy in range(_COPIES):
            image.save(folder / name / f"{copy}.jpg", quality=90)
    return read_folder(folder)


def _configured(workers: int) -> Config:
    config = Config(data=Data(batch_size=_BATCH, workers=workers))
    return replace(config, model=replace(config.model, num_classes=len(_PHOTOGRAPHS)))


def _measure(make: Loader, samples: Samples, workers: int, batches: int) -> tuple[float, float]:
    """Images a second, and milliseconds of this process's processor time per image."""
    iterator, close = make(samples, workers)
    for _ in range(10):
        next(iterator)
    start, busy = time.perf_counter(), time.process_time()
    for _ in range(batches):
        next(iterator)
    taken, busy = time.perf_counter() - start, time.process_time() - busy
    close()
    return batches * _BATCH / taken, 1000 * busy / (batches * _BATCH)


def _ours(samples: Samples, workers: int) -> tuple[Iterator[Any], Callable[[], None]]:
    loader = TrainLoader(_configured(workers), samples, Seeded(0))
    return (update for epoch in range(1000) for update in loader.epoch(epoch)), loader.close


def _theirs(samples: Samples, workers: int) -> tuple[Iterator[Any], Callable[[], None]]:
    from reference_torch import compat

    compat.prepare_timm()
    import torch
    from timm.data import ImageDataset, Mixup, auto_augment

    from reference_torch.training.data import train_transform
    from reference_torch.training.random import IMAGE_OPERATIONS

    auto_augment.ImageOps = IMAGE_OPERATIONS
    torch.set_num_threads(1)
    dataset = ImageDataset(str(samples.root), transform=train_transform(_configured(workers)))
    loader = torch.utils.data.DataLoader(
        dataset, _BATCH, shuffle=True, num_workers=workers, drop_last=True, persistent_workers=workers > 0
    )
    mixup = Mixup(0.8, 1.0, num_classes=len(_PHOTOGRAPHS))
    return (mixup(*batch) for _ in range(1000) for batch in loader), lambda: None


if __name__ == "__main__":
    main()
