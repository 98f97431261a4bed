"""Each side's weight file."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from alignment import pairs
from alignment.pair import load_pair
from alignment.weights import prepare
from porting.checkpoint import open_checkpoint
from porting.conversion import convert
from porting.errors import CheckpointError

PAIR = pairs.build("pit_ti_distilled", image_size=64, num_classes=10)


def read(path: Path) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    with open_checkpoint(path) as checkpoint:
        return {name: np.array(tensor.load()) for name, tensor in checkpoint.tensors.items()}


def test_each_side_gets_its_format_and_layout_and_one_digest(tmp_path: Path) -> None:
    torch = prepare(PAIR, "reference", tmp_path, source=None, seed=3)
    paddle = prepare(PAIR, "candidate", tmp_path, source=torch.path, seed=3)
    assert (torch.path.name, paddle.path.name) == ("torch.pth", "paddle.pdparams")
    assert torch.digest == paddle.digest
    left, right = read(torch.path), read(paddle.path)
    np.testing.assert_array_equal(
        left["transformers.0.blocks.0.attn.proj.weight"].T, right["transformers.0.blocks.0.attn.proj.weight"]
    )


def test_a_candidate_recorded_alone_draws_the_same_weights(tmp_path: Path) -> None:
    torch = prepare(PAIR, "reference", tmp_path, source=None, seed=3)
    paddle = prepare(PAIR, "candidate", tmp_path, source=None, seed=3)
    other = prepare(PAIR, "candidate", tmp_path, source=None, seed=4)
    assert torch.digest == paddle.digest != other.digest


def test_counters_that_a_layout_does_not_keep_leave_the_digest_alone(tmp_path: Path) -> None:
    regnet = load_pair(f"{Path(__file__).with_name('regnet_pairs.py')}:RIGHT")
    reference = prepare(regnet, "reference", tmp_path, source=None, seed=0)
    candidate = prepare(regnet, "candidate", tmp_path, source=reference.path, seed=0)
    again = prepare(regnet, "reference", tmp_path, source=candidate.path, seed=0)
    assert reference.digest == candidate.digest == again.digest
    assert int(read(again.path)["stem.bn.num_batches_tracked"]) == 0


@pytest.mark.parametrize("layout", ["timm", "timm-legacy", "paddlevit"])
@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_any_layout_and_format_will_do(
    tmp_path: Path, write_random: Callable[..., Path], layout: str, suffix: str
) -> None:
    official = write_random(PAIR.name, tmp_path / "official.pth", image_size=64, num_classes=10)
    given = tmp_path / f"given{suffix}"
    convert(official, given, target_layout=layout)
    expected, found = (prepare(PAIR, "reference", tmp_path, source=path, seed=0) for path in (official, given))
    assert expected.digest == found.digest


@pytest.mark.parametrize("form", [{"image_size": 96, "num_classes": 10}, {"image_size": 64, "num_classes": 5}])
def test_another_form_of_the_model_is_refused_with_its_mismatches(
    tmp_path: Path, write_random: Callable[..., Path], form: dict[str, int]
) -> None:
    other = write_random(PAIR.name, tmp_path / "other.pth", **form)
    with pytest.raises(CheckpointError, match="expected pit_ti_distilled at 64x64 pixels with 10 classes") as caught:
        prepare(PAIR, "reference", tmp_path, source=other, seed=0)
    assert caught.value.details
