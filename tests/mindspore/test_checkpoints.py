"""What MindSpore saves is read bit by bit, and MindSpore loads what is written here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from porting.checkpoint import LazyTensor, open_checkpoint, write_checkpoint
from porting.checkpoint.dtypes import DTYPES, dtype

LOADED = tuple(name for name in DTYPES if not name.startswith("complex"))
"""The dtypes that MindSpore loads from a file."""


def arrays() -> dict[str, np.ndarray[Any, Any]]:
    """A matrix and a scalar of each dtype, of values that all dtypes have."""
    values = np.array([[0, 1, 2], [3, 100, 1]])
    matrices = {f"{name}.weight": values.astype(dtype(name)) for name in LOADED}
    return matrices | {f"{name}.scalar": np.array(1).astype(dtype(name)) for name in LOADED}


def mindspore_tensor(mindspore: Any, name: str, array: np.ndarray[Any, Any]) -> Any:
    kind = getattr(mindspore, {"bool": "bool_"}.get(name, name))
    return mindspore.Tensor(array.astype(np.float32)).astype(kind)


def save(mindspore: Any, path: Path, **options: Any) -> None:
    saved = [
        {"name": name, "data": mindspore_tensor(mindspore, name.partition(".")[0], array)}
        for name, array in arrays().items()
    ]
    mindspore.save_checkpoint(saved, str(path), **options)


def bits(parameter: Any) -> bytes:
    """The data of a parameter; NumPy knows no bfloat16 of MindSpore's."""
    return bytes(parameter.get_bytes())


def check_read(path: Path, expected: dict[str, np.ndarray[Any, Any]]) -> None:
    with open_checkpoint(path) as checkpoint:
        assert set(checkpoint.tensors) == set(expected)
        for name, tensor in checkpoint.tensors.items():
            wanted = expected[name]
            assert (tensor.shape, tensor.dtype) == (wanted.shape, wanted.dtype), name
            assert tensor.load().tobytes() == wanted.tobytes(), name


@pytest.mark.parametrize("crc_check", [True, False])
def test_saved_file_of_mindspore_is_read_bit_by_bit(mindspore: Any, crc_check: bool, tmp_path: Path) -> None:
    path = tmp_path / "saved.ckpt"
    save(mindspore, path, crc_check=crc_check, append_dict={"epoch_num": 3, "lr": 0.5, "author": "someone"})
    check_read(path, arrays())
    with open_checkpoint(path) as checkpoint:
        assert checkpoint.format == "mindspore"
        assert checkpoint.notes[:3] == (
            "epoch_num: left out, not weights (3)",
            "lr: left out, not weights (0.5)",
            "author: left out, a text ('someone')",
        )
        assert ("without a checksum" in checkpoint.notes[-1]) is not crc_check


def test_written_file_equals_that_of_mindspore(mindspore: Any, tmp_path: Path) -> None:
    theirs, ours = tmp_path / "theirs.ckpt", tmp_path / "ours.ckpt"
    save(mindspore, theirs, crc_check=True)
    write_checkpoint(ours, {name: LazyTensor.of(array) for name, array in arrays().items()})
    assert ours.read_bytes() == theirs.read_bytes()


def test_mindspore_loads_a_written_file(mindspore: Any, tmp_path: Path) -> None:
    path = tmp_path / "ours.ckpt"
    write_checkpoint(path, {name: LazyTensor.of(array) for name, array in arrays().items()})
    loaded = mindspore.load_checkpoint(str(path), crc_check=True)
    assert list(loaded) == list(arrays())
    for name, array in arrays().items():
        assert loaded[name].shape == array.shape
        assert str(loaded[name].dtype).lower() == name.partition(".")[0]
        assert bits(loaded[name]) == array.tobytes(), name


def test_mindspore_detects_damage_by_the_trailer(mindspore: Any, tmp_path: Path) -> None:
    path = tmp_path / "ours.ckpt"
    write_checkpoint(path, {"w": LazyTensor.of(np.arange(100.0))})
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="Failed to read the checkpoint file"):
        mindspore.load_checkpoint(str(path), crc_check=True)


def test_encrypted_files_are_refused(mindspore: Any, tmp_path: Path) -> None:
    from porting.errors import CheckpointError

    for mode in ("AES-GCM", "AES-CBC", "SM4-CBC"):
        path = tmp_path / f"{mode}.ckpt"
        save(mindspore, path, enc_key=b"0123456789ABCDEF", enc_mode=mode)
        with pytest.raises(CheckpointError, match=rf"is encrypted by MindSpore \({mode}\)"):
            open_checkpoint(path)


def test_read_only_files_of_mindspore_are_replaced_with_overwrite(mindspore: Any, tmp_path: Path) -> None:
    path = tmp_path / "saved.ckpt"
    save(mindspore, path)
    assert path.stat().st_mode & 0o777 == 0o400
    write_checkpoint(path, {"w": LazyTensor.of(np.ones(3))}, overwrite=True)
    check_read(path, {"w": np.ones(3)})


def test_safetensors_both_ways(mindspore: Any, tmp_path: Path) -> None:
    theirs, ours = tmp_path / "theirs.safetensors", tmp_path / "ours.safetensors"
    expected = arrays()
    save(mindspore, theirs, format="safetensors")
    check_read(theirs, expected)
    write_checkpoint(ours, {name: LazyTensor.of(array) for name, array in expected.items()}, metadata={"format": "ms"})
    with open_checkpoint(theirs) as their_checkpoint, open_checkpoint(ours) as our_checkpoint:
        assert their_checkpoint.metadata == our_checkpoint.metadata == {"format": "ms"}
    loaded = mindspore.load_checkpoint(str(ours), format="safetensors")
    for name, array in expected.items():
        assert loaded[name].shape == array.shape
        assert bits(loaded[name]) == array.tobytes(), name


def test_state_of_a_training_step_is_left_out(mindspore: Any, tmp_path: Path) -> None:
    nn = mindspore.nn
    net = nn.SequentialCell(nn.Dense(2, 2), nn.BatchNorm1d(2))
    step = nn.TrainOneStepCell(nn.WithLossCell(net, nn.MSELoss()), nn.Adam(net.trainable_params()))
    path = tmp_path / "training.ckpt"
    mindspore.save_checkpoint(step, str(path))
    with open_checkpoint(path) as checkpoint:
        assert set(checkpoint.tensors) == {parameter.name for parameter in net.get_parameters()}
        assert "moment1, moment2: left out, state of the optimizer (8 tensors)" in checkpoint.notes
