"""The batch that both sides are fed with."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from alignment.errors import FileError
from alignment.pair.inputs import PLANTED_TOP1, PLANTED_TOP5, Inputs, draw, perturb, read_images

SHAPE = (3, 8, 6)


def batch(seed: int = 0) -> Inputs:
    return draw(SHAPE, 7, batch_size=4, seed=seed)


def test_a_seed_gives_the_same_batch_and_another_seed_another_one() -> None:
    assert batch().digest == batch().digest
    assert batch().digest != batch(1).digest


def test_images_are_of_order_one_and_not_symmetric() -> None:
    images = batch().images
    assert images.dtype == np.float32
    assert images.shape == (4, *SHAPE)
    assert 0.5 < images.std() < 2
    for axis in (0, 1, 2, 3):
        assert not np.array_equal(images, np.flip(images, axis))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("classes", [2, 7, 1000])
def test_soft_targets_sum_to_exactly_one_in_every_precision(dtype: str, classes: int) -> None:
    targets = draw(SHAPE, classes, batch_size=3, seed=2).cast(dtype).soft_targets
    assert targets.dtype == dtype
    assert (targets >= 0).all()
    assert (targets.sum(axis=1) == 1).all()
    assert (targets.max(axis=1) < 1).all()


def test_planted_accuracies_are_what_they_claim_without_ties() -> None:
    planted = batch(5).planted
    ranks = (planted.scores > np.take_along_axis(planted.scores, planted.labels[:, None], axis=1)).sum(axis=1)
    assert (ranks < 1).mean() == PLANTED_TOP1
    assert (ranks < 5).mean() == PLANTED_TOP5
    assert all(len(set(row)) == len(row) for row in planted.scores.tolist())


def test_planted_rows_show_a_missing_end_and_a_magnitude() -> None:
    planted = batch(5).planted
    best = planted.scores.argmax(axis=1) == planted.labels
    assert best[0]
    assert best[-1]
    assert (np.abs(planted.scores).argmax(axis=1) != planted.scores.argmax(axis=1)).all()


def test_writing_and_reading_keep_the_digest(tmp_path: Path) -> None:
    batch().write(tmp_path / "inputs.safetensors")
    assert Inputs.read(tmp_path / "inputs.safetensors").digest == batch().digest


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_perturbing_moves_every_number_to_a_neighbour_but_zero(dtype: type[np.floating[Any]]) -> None:
    array = np.array([[1.0, -1.0, 0.0, 1e-30], [3e38, 0.1, -0.0, 2.0]], dtype)
    moved = perturb(array, np.random.default_rng(0))
    assert moved.dtype == dtype
    neighbours = np.nextafter(array, dtype(np.inf)), np.nextafter(array, dtype(-np.inf))
    assert np.where(array == 0, moved == 0, (moved == neighbours[0]) | (moved == neighbours[1])).all()
    np.testing.assert_array_equal(array[0], np.array([1.0, -1.0, 0.0, 1e-30], dtype))


def test_perturbing_goes_both_ways() -> None:
    moved = perturb(np.ones(1000, np.float32), np.random.default_rng(0))
    assert 400 < (moved > 1).sum() < 600


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_images_and_labels_from_a_file(tmp_path: Path, suffix: str) -> None:
    images, labels = batch().images.astype(np.float64), np.array([0, 6, 3, 2], np.int32)
    path = tmp_path / f"images{suffix}"
    if suffix == ".npz":
        np.savez(path, image=images, label=labels)
    else:
        save_file({"image": images, "label": labels}, path)
    read = read_images(path, SHAPE, 7, seed=0)
    np.testing.assert_array_equal(read.images, batch().images)
    assert read.images.dtype == np.float32
    assert read.labels.tolist() == labels.tolist()
    assert read.labels.dtype == np.int64


def test_images_alone_get_labels_from_the_seed(tmp_path: Path) -> None:
    path = tmp_path / "images.npy"
    np.save(path, batch().images)
    assert read_images(path, SHAPE, 7, seed=1).digest == read_images(path, SHAPE, 7, seed=1).digest


BAD = {
    "no image": ({"picture": np.zeros((1, *SHAPE), np.float32)}, "no array 'image' in it; found: picture"),
    "another size": ({"image": np.zeros((1, 3, 8, 8), np.float32)}, r"'image' is \(1, 3, 8, 8\), expected \(batch, 3,"),
    "no images": ({"image": np.zeros((0, *SHAPE), np.float32)}, "'image' is"),
    "bytes": ({"image": np.zeros((1, *SHAPE), np.uint8)}, "'image' is uint8, expected normalised floating-point"),
    "NaN": ({"image": np.full((1, *SHAPE), np.nan, np.float32)}, "not finite"),
    "labels of another batch": (
        {"image": np.zeros((1, *SHAPE), np.float32), "label": np.zeros(2, np.int64)},
        r"'label' is int64 \(2,\), expected integers \(1,\)",
    ),
    "a label too many": (
        {"image": np.zeros((1, *SHAPE), np.float32), "label": np.full(1, 7)},
        "'label' goes from 7 to 7, the model has 7 classes",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_file_that_does_not_fit_is_refused(tmp_path: Path, case: str) -> None:
    arrays, message = BAD[case]
    path = tmp_path / "images.npz"
    np.savez(path, **arrays)  # type: ignore[arg-type] # arrays by name, which NumPy types as its options
    with pytest.raises(FileError, match=message):
        read_images(path, SHAPE, 7, seed=0)


@pytest.mark.parametrize("name", ["missing.npz", "text.npz", "text.safetensors", "empty.npy"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if not name.startswith("missing"):
        path.write_text("" if name.startswith("empty") else "<html>not found</html>")
    with pytest.raises(FileError, match=f"{name}: cannot be read as"):
        read_images(path, SHAPE, 7, seed=0)


def test_an_object_array_is_not_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "images.npy"
    np.save(path, np.array([print], object), allow_pickle=True)
    with pytest.raises(FileError, match="cannot be read"):
        read_images(path, SHAPE, 7, seed=0)
