from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from porting.checkpoint import open_checkpoint
from porting.checkpoint.formats.nested import Nested, Tree, arrays, write_nested
from porting.checkpoint.tensor import LazyTensor
from porting.errors import CheckpointError, UnsafePickleError

_PLAIN: dict[str, Any] = {
    "text": "größe\n",
    "empty": "",
    "numbers": [0, 255, 256, -1, 2**31, -(2**40), 2**62],
    "floats": [0.1, -0.0, 1e300, float("inf")],
    "truth": [True, False, None],
    "nested": {"list": [[], {}, [{"deep": 1}]]},
}


def _tensor(array: Any) -> LazyTensor:
    return LazyTensor.of(np.asarray(array))


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int64", "bool", "uint8"])
def test_nested_tree_survives(tmp_path: Path, dtype: str) -> None:
    array = np.arange(6).reshape(2, 3).astype(dtype)
    write_nested(tmp_path / "a.pdparams", {"model": {"a": _tensor(array), "scalar": _tensor(array[1, 1])}, **_PLAIN})
    with Nested(tmp_path / "a.pdparams") as checkpoint:
        loaded = arrays(checkpoint.tree["model"])
        assert {key: checkpoint.tree[key] for key in _PLAIN} == _PLAIN
    np.testing.assert_array_equal(loaded["a"], array)
    assert (loaded["a"].dtype, loaded["scalar"].shape) == (array.dtype, ())


def test_pickle_reads_it_too(tmp_path: Path) -> None:
    write_nested(tmp_path / "a.pdparams", {"model": {"a": _tensor(np.ones(3))}, **_PLAIN})
    with (tmp_path / "a.pdparams").open("rb") as file:
        loaded = pickle.load(file)
    assert {key: loaded[key] for key in _PLAIN} == _PLAIN
    np.testing.assert_array_equal(loaded["model"]["a"], np.ones(3))


def test_shared_and_separate_values_give_equal_bytes(tmp_path: Path) -> None:
    text, array = "weight" * 2, np.ones(3)
    shared: Tree = {"a": {text: _tensor(array)}, "b": {text: _tensor(array)}}
    apart: Tree = {
        "a": {"".join(["weight"] * 2): _tensor(np.ones(3))},
        "b": {"".join(["weight"] * 2): _tensor(np.ones(3))},
    }
    for name, tree in (("shared", shared), ("apart", apart)):
        write_nested(tmp_path / name, tree)  # type: ignore[arg-type] # a wrong value on purpose
    assert (tmp_path / "shared").read_bytes() == (tmp_path / "apart").read_bytes()


def test_bfloat16_is_kept_as_paddle_keeps_it(tmp_path: Path) -> None:
    array = np.arange(3).astype(ml_dtypes.bfloat16)
    write_nested(tmp_path / "a.pdparams", {"model": {"a": _tensor(array)}})
    with Nested(tmp_path / "a.pdparams") as checkpoint:
        assert arrays(checkpoint.tree["model"])["a"].dtype == array.dtype


def test_value_that_paddle_cannot_hold_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"model\.a is uint64, which Paddle's files do not hold"):
        write_nested(tmp_path / "a.pdparams", {"model": {"a": _tensor(np.ones(3, np.uint64))}})
    with pytest.raises(TypeError, match="cannot hold a set"):
        write_nested(tmp_path / "a.pdparams", {"a": {1, 2}})  # type: ignore[dict-item] # a wrong value on purpose
    assert not list(tmp_path.iterdir())


def test_nothing_in_a_file_is_executed(tmp_path: Path) -> None:
    (tmp_path / "a.pdparams").write_bytes(pickle.dumps({"model": print}, 4))
    with pytest.raises(UnsafePickleError):
        Nested(tmp_path / "a.pdparams")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"hello there", "is no file of Paddle"),
        (pickle.dumps([1], 4), "holds a list, expected a dict"),
        (pickle.dumps({"a": 1}, 4)[:-3], "truncated or damaged|ends"),
    ],
)
def test_other_files_are_no_nested_checkpoint(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.pdparams").write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        Nested(tmp_path / "a.pdparams")


def test_paddles_own_parameter_names_are_kept(tmp_path: Path) -> None:
    saved = {"model": {"head.weight": ("linear_0.w_0", np.ones(2)), "head.bias": np.ones(1)}, "epoch": 3}
    (tmp_path / "a.pdparams").write_bytes(pickle.dumps(saved, 4))
    with Nested(tmp_path / "a.pdparams") as checkpoint:
        assert checkpoint.parameters["model"] == {"head.weight": "linear_0.w_0"}
        assert checkpoint.tree["epoch"] == 3
        assert set(arrays(checkpoint.tree["model"])) == {"head.weight", "head.bias"}


def test_every_flipped_bit_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.pdparams"
    write_nested(path, {"model": {"a": _tensor(np.ones(3, np.float32))}, "epoch": 3})
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes((whole[place] ^ 1 << place % 8,)) + whole[place + 1 :])
        with pytest.raises(CheckpointError) as caught:
            Nested(path)
        assert str(path) in str(caught.value)
    path.write_bytes(whole)
    with Nested(path) as checkpoint:
        assert checkpoint.tree.keys() == {"model", "epoch"}


def test_flipped_bit_in_a_tensor_is_told_as_damage_by_every_reader(tmp_path: Path) -> None:
    path = tmp_path / "a.pdparams"
    write_nested(path, {"model": {"a": _tensor(np.ones(3, np.float32))}})
    whole = path.read_bytes()
    at = whole.index(np.ones(3, np.float32).tobytes())
    path.write_bytes(whole[:at] + b"\x01" + whole[at + 1 :])
    for read in (Nested, open_checkpoint):
        with pytest.raises(CheckpointError, match=r"is damaged: its content has the CRC-32 [0-9a-f]{8}, and it says"):
            read(path)


def test_state_written_before_there_were_checksums_is_read(tmp_path: Path) -> None:
    saved = {"model": {"a": np.ones(2)}, "checksum": "of the user's own", "crc32": 5}
    (tmp_path / "a.pdparams").write_bytes(pickle.dumps(saved, 4))
    with Nested(tmp_path / "a.pdparams") as checkpoint:
        assert checkpoint.tree.keys() == saved.keys()
