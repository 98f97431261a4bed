"""Each side's weight file."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from alignment.pair import Pair, Side, load_pair, published
from alignment.rules.derive import derive
from alignment.running.weights import write_weights
from porting.checkpoint import open_checkpoint
from porting.conversion import convert
from porting.errors import CheckpointError
from tests.alignment.models_in_words import linear, model

PAIR = published.build("pit_ti_distilled", image_size=64, num_classes=10)


def read(path: Path) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    with open_checkpoint(path) as checkpoint:
        return {name: np.array(tensor.load()) for name, tensor in checkpoint.tensors.items()}


def test_each_side_gets_its_format_and_layout_and_one_digest(tmp_path: Path) -> None:
    torch = write_weights(PAIR, "reference", tmp_path, source=None, seed=3)
    paddle = write_weights(PAIR, "candidate", tmp_path, source=torch.path, seed=3)
    assert (torch.path.name, paddle.path.name) == ("torch.pth", "paddle.pdparams")
    assert torch.digest == paddle.digest
    left, right = read(torch.path), read(paddle.path)
    np.testing.assert_array_equal(
        left["transformers.0.blocks.0.attn.proj.weight"].T, right["transformers.0.blocks.0.attn.proj.weight"]
    )


def test_a_candidate_recorded_alone_draws_the_same_weights(tmp_path: Path) -> None:
    torch = write_weights(PAIR, "reference", tmp_path, source=None, seed=3)
    paddle = write_weights(PAIR, "candidate", tmp_path, source=None, seed=3)
    other = write_weights(PAIR, "candidate", tmp_path, source=None, seed=4)
    assert torch.digest == paddle.digest != other.digest


def test_digest_is_the_same_without_counters(tmp_path: Path) -> None:
    regnet = load_pair(f"{Path(__file__).parents[1] / 'regnet_pairs.py'}:RIGHT")
    reference = write_weights(regnet, "reference", tmp_path, source=None, seed=0)
    candidate = write_weights(regnet, "candidate", tmp_path, source=reference.path, seed=0)
    again = write_weights(regnet, "reference", tmp_path, source=candidate.path, seed=0)
    assert reference.digest == candidate.digest == again.digest
    assert int(read(again.path)["stem.bn.num_batches_tracked"]) == 0


@pytest.mark.parametrize("layout", ["timm", "timm-legacy", "paddlevit"])
@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_weights_of_any_layout_and_format_have_one_digest(
    tmp_path: Path, write_random: Callable[..., Path], layout: str, suffix: str
) -> None:
    official = write_random(PAIR.name, tmp_path / "official.pth", image_size=64, num_classes=10)
    given = tmp_path / f"given{suffix}"
    convert(official, given, target_layout=layout)
    expected, found = (write_weights(PAIR, "reference", tmp_path, source=path, seed=0) for path in (official, given))
    assert expected.digest == found.digest


@pytest.mark.parametrize("form", [{"image_size": 96, "num_classes": 10}, {"image_size": 64, "num_classes": 5}])
def test_another_form_of_the_model_is_refused_with_its_mismatches(
    tmp_path: Path, write_random: Callable[..., Path], form: dict[str, int]
) -> None:
    other = write_random(PAIR.name, tmp_path / "other.pth", **form)
    with pytest.raises(CheckpointError, match="expected pit_ti_distilled at 64x64 pixels with 10 classes") as caught:
        write_weights(PAIR, "reference", tmp_path, source=other, seed=0)
    assert caught.value.details


@pytest.mark.parametrize("layout", ["canonical", "timm"])
def test_a_port_that_its_framework_would_not_load_is_refused(
    tmp_path: Path, write_random: Callable[..., Path], layout: str
) -> None:
    official = write_random(PAIR.name, tmp_path / "official.pth", image_size=64, num_classes=10)
    convert(official, tmp_path / "shipped.pdparams", target_layout=layout)
    write_weights(PAIR, "candidate", tmp_path, source=tmp_path / "shipped.pdparams", seed=0)
    message = (
        rf"in layout {layout}, which no paddle model loads as it is; expected paddlevit: port it with pit-port convert"
    )
    with pytest.raises(CheckpointError, match=message):
        write_weights(PAIR, "candidate", tmp_path, source=tmp_path / "shipped.pdparams", seed=0, shipped=True)


def test_a_port_in_another_layout_of_its_framework_is_renamed(
    tmp_path: Path, write_random: Callable[..., Path]
) -> None:
    deit = published.build("deit_tiny", image_size=32, num_classes=5)
    official = write_random(deit.name, tmp_path / "official.pth", image_size=32, num_classes=5)
    convert(official, tmp_path / "paddleclas.pdparams", target_layout="paddleclas")
    expected = write_weights(deit, "reference", tmp_path, source=official, seed=0)
    shipped = write_weights(deit, "candidate", tmp_path, source=tmp_path / "paddleclas.pdparams", seed=0, shipped=True)
    assert shipped.digest == expected.digest


def test_custom_pair_refuses_candidate_with_reference_names(tmp_path: Path) -> None:
    two = model(linear("fc", 4, 6, "paddle"), framework="paddle", output=(3, 4))
    contract = derive(model(linear("fc", 4, 6), output=(3, 4)), two, [], auto=True)
    own = Pair("own", Side("torch", "a.py:one"), Side("paddle", "a.py:two"), input_shape=(6,), rules="auto")
    own = replace(own, architecture=contract.architecture("own", (6,)), contract=contract)
    reference = write_weights(own, "reference", tmp_path, source=None, seed=0)
    ported = write_weights(own, "candidate", tmp_path, source=reference.path, seed=0)
    (tmp_path / "again").mkdir()
    shipped = write_weights(own, "candidate", tmp_path / "again", source=ported.path, seed=0, shipped=True)
    assert shipped.digest == ported.digest
    with pytest.raises(CheckpointError, match="holds the reference's names and shapes: the candidate does not load it"):
        write_weights(own, "candidate", tmp_path, source=reference.path, seed=0, shipped=True)
