"""Data: the validation pipeline from files to batches: listing, decoding, resize, crop, normalisation.

The images of an unlabelled order or size are compared before anything is averaged over them, so that a bilinear filter
for a bicubic one, another crop, or channels swapped show in single pixels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from alignment.arrays import Array
from alignment.errors import NothingComparedError
from alignment.recordings.recording import Entry
from alignment.steps.base import Quantity, TrainingTrial

BATCHES = 5
COUNTED = 1024
"""Images up to which a set is read to its end, to count what the loader shows; of larger ones five batches are read."""
_COUNT, _PICTURE = Entry("count", "data"), Entry("picture", "data")
_DIGEST = 8


def run(trial: TrainingTrial) -> Iterator[Quantity]:
    """Record what the listings hold, `data/dataset_<i>`, and `data/dataloader_<i>` with `data/labels_<i>`.

    For each form in which the images are listed that is `data/<form>/length`, `/labels` and `/names` (a digest of each
    path). `data/dataset_<i>` are the first images one by one, `data/dataloader_<i>` up to five batches. Of small sets,
    `data/images` counts what all batches hold: a last one that is dropped, or filled up, shows there.
    """
    forms = _forms(Path(trial.config.data.path))
    if not forms:
        raise NothingComparedError(f"{trial.config.data.path}: holds neither a folder val/ nor val_list.txt")
    for form in forms:
        listing = trial.trainer.listing(form)
        yield Quantity(f"data/{form}/length", np.asarray(len(listing.names), np.int64), _COUNT)
        yield Quantity(f"data/{form}/labels", listing.labels, _COUNT)
        yield Quantity(f"data/{form}/names", _digests(listing.names), _COUNT)
    counted = len(listing.names) <= COUNTED
    shown = 0
    for number, (images, labels) in enumerate(islice(trial.trainer.validation(), None if counted else BATCHES)):
        shown += len(images)
        if number == 0:
            for row, image in enumerate(images[:BATCHES]):
                yield Quantity(f"data/dataset_{row}", image, _PICTURE)
        if number < BATCHES:
            yield Quantity(f"data/dataloader_{number}", np.asarray(images), _PICTURE)
            yield Quantity(f"data/labels_{number}", np.asarray(labels), _COUNT)
    if counted:
        yield Quantity("data/images", np.asarray(shown, np.int64), _COUNT)


def _forms(root: Path) -> list[str]:
    folder = (root / "val").is_dir() or (root / "validation").is_dir()
    listed = (root / "val_list.txt").is_file()
    return [form for form, there in (("folder", folder), ("list", listed)) if there]


def _digests(names: Sequence[str]) -> Array:
    """Eight bytes for each name, `(names, 8)`."""
    rows = [hashlib.blake2b(name.encode(errors="surrogateescape"), digest_size=_DIGEST).digest() for name in names]
    return np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), _DIGEST)
