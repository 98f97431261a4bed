"""The loaders give what timm's give, whatever the workers and ranks, and report what they cannot read."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from recipe.augmentation.loader import EvalLoader, TrainLoader
from recipe.config import Config, Mixing
from recipe.draws import Seeded
from recipe.errors import DataError, TrainingError
from recipe.samples import Samples
from reference_torch.training import data as torch_data

ROOT = Path(__file__).parents[3]
SEED = Seeded(3)


def _split(config: Config, batch: int, accumulation: int = 1, **data: Any) -> Config:
    return replace(
        config,
        data=replace(config.data, batch_size=batch, **data),
        run=replace(config.run, accumulation=accumulation),
    )


def _assert_equal(actual: Any, expected: Any) -> None:
    actual, expected = list(actual), list(expected)
    assert len(actual) == len(expected) > 0
    for ours, theirs in zip(actual, expected, strict=True):
        assert len(ours) == len(theirs)
        for (images, targets), (same_images, same_targets) in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(images, same_images)
            np.testing.assert_array_equal(targets, same_targets)


@pytest.mark.parametrize("repeats", [1, 3])
@pytest.mark.parametrize("mixing", [Mixing(), Mixing(0.0, 0.0)], ids=["mixed", "unmixed"])
def test_training_batches_are_timms(config: Config, samples: Samples, repeats: int, mixing: Mixing) -> None:
    config = replace(_split(config, 4, 2), mixing=mixing)
    config = replace(config, augmentation=replace(config.augmentation, repeats=repeats))
    ours, theirs = TrainLoader(config, samples, SEED), torch_data.TrainLoader(config, samples, SEED)
    assert ours.updates == theirs.updates == 3
    for epoch in range(2):
        _assert_equal(ours.epoch(epoch), theirs.epoch(epoch))


def test_worker_processes_do_not_import_paddle() -> None:
    code = "import sys, recipe.augmentation.loader; print(sorted({'paddle', 'torch'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_types_of_a_batch(config: Config, samples: Samples) -> None:
    ((images, targets),) = next(TrainLoader(config, samples, SEED).epoch(0))
    assert (images.shape, images.dtype) == ((4, 3, 32, 32), np.float32)
    assert (targets.shape, targets.dtype) == ((4, 3), np.float32)
    unmixed = replace(config, mixing=Mixing(0.0, 0.0))
    ((_, labels),) = next(TrainLoader(unmixed, samples, SEED).epoch(0))
    assert (labels.shape, labels.dtype) == ((4,), np.int64)
    ((images, targets),) = next(torch_data.TrainLoader(config, samples, SEED).epoch(0))
    assert (images.dtype, targets.dtype) == (torch.float32, torch.float32)


def test_epochs_differ(config: Config, samples: Samples) -> None:
    loader = TrainLoader(config, samples, SEED)
    ((first, _),), ((second, _),) = next(loader.epoch(0)), next(loader.epoch(1))
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("workers", [1, 3])
def test_batches_do_not_depend_on_workers(config: Config, samples: Samples, workers: int) -> None:
    alone = TrainLoader(_split(config, 4, 2), samples, SEED)
    with closing(TrainLoader(_split(config, 4, 2, workers=workers), samples, SEED)) as helped:
        for epoch in range(2):
            _assert_equal(helped.epoch(epoch), alone.epoch(epoch))


def test_epoch_resumes_at_any_update(config: Config, samples: Samples) -> None:
    loader = TrainLoader(_split(config, 4), samples, SEED)
    _assert_equal(loader.epoch(5, start_update=4), list(loader.epoch(5))[4:])
    assert list(loader.epoch(5, start_update=loader.updates)) == []


def test_epoch_left_early_does_not_change_the_next(config: Config, samples: Samples) -> None:
    alone = TrainLoader(_split(config, 2), samples, SEED)
    with closing(TrainLoader(_split(config, 2, workers=2), samples, SEED)) as helped:
        left = helped.epoch(0)
        next(left)
        _assert_equal(helped.epoch(1), alone.epoch(1))
        with pytest.raises(TrainingError, match="asked for other batches"):
            next(left)


@pytest.mark.parametrize(("world", "accumulation"), [(2, 1), (1, 2), (2, 3)])
@pytest.mark.parametrize("repeats", [1, 3])
def test_ranks_and_accumulation_together_see_the_images_of_one_rank(
    config: Config, samples: Samples, world: int, accumulation: int, repeats: int
) -> None:
    config = replace(config, mixing=Mixing(0.0, 0.0), augmentation=replace(config.augmentation, repeats=repeats))
    whole = TrainLoader(_split(config, 2 * world * accumulation), samples, SEED)
    ranks = [TrainLoader(_split(config, 2, accumulation), samples, SEED, world, rank) for rank in range(world)]
    epochs = zip(whole.epoch(2), *(rank.epoch(2) for rank in ranks), strict=True)
    for ((images, labels),), *shares in epochs:
        micro = [micro_batch for share in shares for micro_batch in share]
        np.testing.assert_array_equal(np.concatenate([actual for actual, _ in micro]), images)
        np.testing.assert_array_equal(np.concatenate([actual for _, actual in micro]), labels)


def test_two_ranks_mix_like_one_that_accumulates(config: Config, samples: Samples) -> None:
    alone = TrainLoader(_split(config, 4, 2), samples, SEED)
    ranks = [TrainLoader(_split(config, 4), samples, SEED, 2, rank) for rank in range(2)]
    together = ((*first, *second) for first, second in zip(*(rank.epoch(0) for rank in ranks), strict=True))
    _assert_equal(together, alone.epoch(0))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(("world", "batch"), [(1, 5), (2, 5), (3, 7), (30, 2)])
def test_every_image_is_evaluated_exactly_once(
    config: Config, samples: Samples, world: int, batch: int, workers: int
) -> None:
    config = _split(config, batch, workers=workers if world == 2 else 0)
    seen: list[int] = []
    for rank in range(world):
        with closing(EvalLoader(config, samples, world, rank)) as loader:
            batches = list(loader)
        assert len(batches) == len(loader)
        assert sum(len(labels) for _, labels, _ in batches) == loader.count
        for images, labels, indices in batches:
            np.testing.assert_array_equal(labels, samples.labels[indices])
            assert images.shape == (len(labels), 3, 32, 32)
            seen += indices.tolist()
    assert sorted(seen) == list(range(len(samples)))


def test_evaluation_batches_are_timms(config: Config, samples: Samples) -> None:
    for ours, theirs in zip(EvalLoader(config, samples), torch_data.EvalLoader(config, samples), strict=True):
        for actual, expected in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(actual, expected.numpy())


@pytest.fixture
def damaged(samples: Samples, tmp_path: Path) -> Samples:
    """The set with a truncated, a missing and an empty file at 3, 4 and 9."""
    names = list(samples.names)
    whole = Path(names[3]).read_bytes()
    for at, content in ((3, whole[: len(whole) // 2]), (4, None), (9, b"")):
        names[at] = str(tmp_path / f"damaged {at}.jpg")
        if content is not None:
            Path(names[at]).write_bytes(content)
    return replace(samples, names=tuple(names))


@pytest.mark.parametrize("workers", [0, 2])
def test_corrupt_images_are_counted_and_named(config: Config, damaged: Samples, workers: int) -> None:
    config = replace(_split(config, 6, workers=workers), mixing=Mixing(0.0, 0.0))
    with closing(TrainLoader(config, damaged, SEED)) as loader:
        labels = [labels for ((_, labels),) in loader.epoch(0)]
        assert np.concatenate(labels).shape == (24,)
        assert loader.corrupt.count == 4, "3 and 4 are replaced by 5, and 4 once more on the way from 3"
        assert {Path(path).name for path in loader.corrupt.paths} == {f"damaged {at}.jpg" for at in (3, 4, 9)}
        problems = {Path(path).name: problem for path, problem in loader.corrupt.problems.items()}
        assert "truncated" in problems["damaged 3.jpg"]
        assert problems["damaged 4.jpg"] == "no such file"
        assert problems["damaged 9.jpg"] == "cannot be read as an image: it is empty"
    with closing(EvalLoader(config, damaged)) as evaluation:
        seen = [at for _, _, indices in evaluation for at in indices]
        assert seen == [at for at in range(24) if at not in (3, 4, 9)]
        assert evaluation.corrupt.count == 3


def test_corrupt_image_is_replaced_by_the_next_with_its_label(config: Config, damaged: Samples) -> None:
    config = replace(_split(config, 24), mixing=Mixing(0.0, 0.0))
    intact = replace(
        damaged, names=tuple(damaged.names[5] if at in (3, 4) else name for at, name in enumerate(damaged.names))
    )
    intact = replace(intact, names=tuple(intact.names[10] if at == 9 else name for at, name in enumerate(intact.names)))
    labels = damaged.labels.copy()
    labels[[3, 4]], labels[9] = labels[5], labels[10]
    expected = TrainLoader(config, replace(intact, labels=labels), SEED).epoch(0)
    _assert_equal(TrainLoader(config, damaged, SEED).epoch(0), expected)


@pytest.mark.parametrize("workers", [0, 1])
def test_corrupt_image_raises_if_the_configuration_says_so(config: Config, damaged: Samples, workers: int) -> None:
    config = _split(config, 6, corrupt="raise", workers=workers)
    for loader in (TrainLoader(config, damaged, SEED), EvalLoader(config, damaged)):
        with closing(loader), pytest.raises(DataError, match=r"damaged \d\.jpg: "):
            list(loader.epoch(0) if isinstance(loader, TrainLoader) else loader)


def test_set_of_corrupt_images_only_is_refused(config: Config, samples: Samples) -> None:
    gone = replace(samples, names=tuple(f"gone/{at}.jpg" for at in range(len(samples))))
    loader = TrainLoader(config, gone, SEED)
    with pytest.raises(DataError, match=r"gone/\d+\.jpg: no such file; and the 10 images after it"):
        next(loader.epoch(0))
    assert loader.corrupt.count == 10


def test_set_smaller_than_an_update_is_refused(config: Config, samples: Samples) -> None:
    with pytest.raises(DataError, match=r"has 24 images, but an update takes 40 \(2 devices x 4 micro-batches x 5\)"):
        TrainLoader(_split(config, 5, 4), samples, SEED, 2, 0)
