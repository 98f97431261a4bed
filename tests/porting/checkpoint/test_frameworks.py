"""What the frameworks write is read bit by bit, and what is written here they load: strictly, safely, mapped."""

from __future__ import annotations

import argparse
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from porting.checkpoint import LazyTensor, open_checkpoint, write_checkpoint
from porting.checkpoint.dtypes import DTYPES, FLOAT8, dtype
from porting.errors import CheckpointError

PADDLE_DTYPES = tuple(name for name in DTYPES if name not in ("uint16", "uint32", "uint64", "complex128"))


def torch_bytes(torch: Any, tensor: Any) -> bytes:
    return bytes(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())


def check_torch(torch: Any, path: Path, expected: dict[str, Any]) -> None:
    """Checks that a file is read as what torch holds."""
    with open_checkpoint(path) as checkpoint:
        assert list(checkpoint.tensors) == list(expected)
        for name, tensor in checkpoint.tensors.items():
            wanted = expected[name]
            assert tensor.shape == tuple(wanted.shape)
            assert f"torch.{tensor.dtype.name}" == str(wanted.dtype)
            assert tensor.load().tobytes() == torch_bytes(torch, wanted), name


def torch_state(torch: Any, *names: str) -> dict[str, Any]:
    torch.manual_seed(0)
    state = {}
    for name in names:
        kind = getattr(torch, name)
        state[f"{name}.w"] = (torch.rand(3, 4) * 100).to(kind)
        state[f"{name}.scalar"] = torch.tensor(1).to(kind)
        state[f"{name}.empty"] = torch.zeros(0, 3).to(kind)
        state[f"{name}.view"] = (torch.rand(4, 6) * 9).to(kind)[1:, ::2].t()
    return state


@pytest.mark.parametrize("name", DTYPES)
def test_torch_zip_is_read(torch: Any, name: str, tmp_path: Path) -> None:
    state = torch_state(torch, name)
    torch.save(state, tmp_path / "a.pth")
    check_torch(torch, tmp_path / "a.pth", state)


@pytest.mark.parametrize("name", [name for name in DTYPES if name not in ("uint16", "uint32", "uint64")])
def test_torch_legacy_is_read(torch: Any, name: str, tmp_path: Path) -> None:
    state = torch_state(torch, name)
    torch.save(state, tmp_path / "a.pth", _use_new_zipfile_serialization=False)
    check_torch(torch, tmp_path / "a.pth", state)
    with open_checkpoint(tmp_path / "a.pth") as checkpoint:
        assert checkpoint.format == "torch-legacy"


@pytest.mark.parametrize("zipped", [True, False])
def test_torch_state_dict_of_a_module(torch: Any, zipped: bool, tmp_path: Path) -> None:
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 3))
    module[2].weight = torch.nn.Parameter(module[0].weight.t())
    state = module.state_dict()
    torch.save(state, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    check_torch(torch, tmp_path / "a.pth", state)
    torch.save(OrderedDict(module.named_parameters()), tmp_path / "b.pth", _use_new_zipfile_serialization=zipped)
    check_torch(torch, tmp_path / "b.pth", dict(module.named_parameters()))


def test_torch_shared_storages(torch: Any, tmp_path: Path) -> None:
    base = torch.arange(12.0).view(3, 4)
    state = {"all": base, "row": base[1], "column": base[:, 2], "again": base, "expanded": base[:, :1].expand(3, 5)}
    for zipped in (True, False):
        torch.save(state, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
        check_torch(torch, tmp_path / "a.pth", state)


@pytest.mark.parametrize("zipped", [True, False])
def test_torch_column_slices_are_read_exactly(torch: Any, zipped: bool, tmp_path: Path) -> None:
    # Tensor parallelism leaves each weight as some columns of a larger one, PaddleNLP's way of slicing. A converter
    # that takes the storage's first elements for the tensor gives a matrix of the right shape and the wrong numbers.
    whole = torch.arange(48.0).view(4, 12)
    torch.save({"a": whole[:, :6], "b": whole[:, 6:], "c": whole[:, 1::2]}, tmp_path / "a.pth",
               _use_new_zipfile_serialization=zipped)  # fmt: skip
    with open_checkpoint(tmp_path / "a.pth") as checkpoint:
        write_checkpoint(tmp_path / "b.pdparams", checkpoint.tensors)
    expected = {"a": whole.numpy()[:, :6], "b": whole.numpy()[:, 6:], "c": whole.numpy()[:, 1::2]}
    for path in (tmp_path / "a.pth", tmp_path / "b.pdparams"):
        with open_checkpoint(path) as checkpoint:
            for name, values in expected.items():
                loaded = checkpoint.tensors[name].load()
                assert loaded.tolist() == values.tolist(), (path, name)
                assert loaded.tolist() != whole.numpy().reshape(-1)[:24].reshape(4, 6).tolist()


def test_torch_tensor_with_attributes(torch: Any, tmp_path: Path) -> None:
    tensor = torch.arange(3.0)
    tensor.note = "kept by torch, left out here"
    torch.save({"a": tensor}, tmp_path / "a.pth")
    check_torch(torch, tmp_path / "a.pth", {"a": tensor})


def test_torch_conjugated_tensor_is_refused(torch: Any, tmp_path: Path) -> None:
    torch.save({"a": torch.ones(2, dtype=torch.complex64).conj()}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=r"a is stored conjugated or negated; save it with \.resolve_conj"):
        open_checkpoint(tmp_path / "a.pth")


def test_torch_dtype_without_a_counterpart(torch: Any, tmp_path: Path) -> None:
    packed = torch.zeros(4, dtype=torch.uint8).view(torch.float4_e2m1fn_x2)
    torch.save({"a": packed}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=r"a has the dtype torch\.float4_e2m1fn_x2, which is not supported"):
        open_checkpoint(tmp_path / "a.pth")


@pytest.mark.parametrize("name", FLOAT8)
def test_floats_of_eight_bits_pass_between_torch_and_safetensors(torch: Any, name: str, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    state = {"a": (torch.rand(3, 4) * 100).to(getattr(torch, name)), "scale": torch.ones(1)}
    torch.save(state, tmp_path / "a.pth")
    check_torch(torch, tmp_path / "a.pth", state)
    for source, target in (("a.pth", "b.safetensors"), ("b.safetensors", "c.pth")):
        with open_checkpoint(tmp_path / source) as checkpoint:
            write_checkpoint(tmp_path / target, checkpoint.tensors)
    for loaded in (load_file(tmp_path / "b.safetensors"), torch.load(tmp_path / "c.pth", weights_only=True)):
        assert loaded["a"].dtype == state["a"].dtype
        assert torch_bytes(torch, loaded["a"]) == torch_bytes(torch, state["a"])
    with (
        open_checkpoint(tmp_path / "a.pth") as checkpoint,
        pytest.raises(CheckpointError, match=f"a is {name}, which Paddle files do not hold"),
    ):
        write_checkpoint(tmp_path / "d.pdparams", checkpoint.tensors)


def test_torch_training_checkpoint(torch: Any, tmp_path: Path) -> None:
    model = torch.nn.Linear(2, 3)
    # The layout of AdamW's state_dict(). The optimizer itself would import torch's compiler, which takes seconds.
    slots = {
        index: {"step": torch.tensor(1.0), "exp_avg": torch.zeros_like(weight), "exp_avg_sq": torch.ones_like(weight)}
        for index, weight in enumerate(model.parameters())
    }
    group = {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "foreach": None, "maximize": False, "params": [0, 1]}
    saved = {
        "model": model.state_dict(),
        "optimizer": {"state": slots, "param_groups": [group]},
        "epoch": 7,
        "scaler": {"scale": 65536.0, "growth": None},
        "args": argparse.Namespace(lr=5e-4, output_dir=Path("out"), device=torch.device("cpu")),
        "best": np.float64(81.9),
        "size": torch.Size([1, 2]),
        "dtype": torch.float16,
    }
    for zipped in (True, False):
        torch.save(saved, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
        check_torch(torch, tmp_path / "a.pth", model.state_dict())
        with open_checkpoint(tmp_path / "a.pth") as checkpoint:
            assert checkpoint.envelope == ("model",)
            assert checkpoint.notes[0] == "optimizer: left out, state of the optimizer"
            assert "args: left out, not weights (argparse.Namespace)" in checkpoint.notes


def test_torch_whole_module_is_refused(torch: Any, tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=r"holds a whole model of the class torch\.nn\.modules\.linear\.Linear"):
        open_checkpoint(tmp_path / "a.pth")


def test_torchscript_is_refused(torch: Any, tmp_path: Path) -> None:
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="is a TorchScript archive"):
        open_checkpoint(tmp_path / "a.pt")


def test_torch_file_without_checksums(torch: Any, tmp_path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"a": torch.ones(3)}, tmp_path / "a.pth")
    finally:
        torch.serialization.set_crc32_options(True)
    with open_checkpoint(tmp_path / "a.pth") as checkpoint:
        assert checkpoint.tensors["a"].load().tolist() == [1, 1, 1]
        assert "without checksums" in checkpoint.notes[0]


@pytest.mark.parametrize("mapped", [True, False])
def test_torch_loads_what_is_written(torch: Any, mapped: bool, tmp_path: Path) -> None:
    state = torch_state(torch, *DTYPES)
    torch.save(state, tmp_path / "a.pth")
    with open_checkpoint(tmp_path / "a.pth") as checkpoint:
        write_checkpoint(tmp_path / "b.pth", checkpoint.tensors)
    loaded = torch.load(tmp_path / "b.pth", weights_only=True, mmap=mapped)
    assert list(loaded) == list(state)
    for name, tensor in state.items():
        assert (loaded[name].dtype, loaded[name].shape) == (tensor.dtype, tensor.shape)
        assert torch_bytes(torch, loaded[name]) == torch_bytes(torch, tensor), name


def test_torch_loads_it_strictly(torch: Any, tmp_path: Path) -> None:
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    tensors = {name: LazyTensor.of(value.numpy()) for name, value in module.state_dict().items()}
    write_checkpoint(tmp_path / "a.pth", tensors)
    other = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    other.load_state_dict(torch.load(tmp_path / "a.pth", weights_only=True), strict=True)
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in module.state_dict().items())


def paddle_bytes(paddle: Any, tensor: Any) -> bytes:
    """The bits of a tensor; NumPy sees bfloat16 as uint16."""
    return bytes(np.asarray(tensor.numpy()).tobytes())


def paddle_state(paddle: Any) -> dict[str, Any]:
    state = {}
    for name in PADDLE_DTYPES:
        value = np.random.default_rng(0).standard_normal((3, 4)) * 50
        if name == "complex64":
            state[name] = paddle.to_tensor(value.astype(np.complex64))
        else:
            state[name] = paddle.to_tensor(value.astype(np.float32)).cast(name)
    return state | {"scalar": paddle.to_tensor(2.5), "empty": paddle.zeros([0, 3])}


def check_paddle(paddle: Any, path: Path, expected: dict[str, Any]) -> None:
    with open_checkpoint(path) as checkpoint:
        assert checkpoint.format == "pdparams"
        assert list(checkpoint.tensors) == list(expected)
        for name, tensor in checkpoint.tensors.items():
            wanted = expected[name]
            assert tensor.shape == tuple(wanted.shape)
            assert f"paddle.{tensor.dtype.name}" == str(wanted.dtype)
            assert tensor.load().tobytes() == paddle_bytes(paddle, wanted), name


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("shape", ["flat", "numpy", "nested", "single"])
def test_paddle_files_are_read(paddle: Any, protocol: int, shape: str, tmp_path: Path) -> None:
    state = paddle_state(paddle)
    path = tmp_path / "a.pdparams"
    saved = {
        "flat": state,
        "numpy": {name: tensor.numpy() for name, tensor in state.items()},
        "nested": {"model": state, "optimizer": {"moment": state["float32"]}, "epoch": 3, "lr": [0.1, 0.2]},
        "single": state["float32"],
    }[shape]
    paddle.save(saved, str(path), protocol=protocol)
    check_paddle(paddle, path, {"tensor": state["float32"]} if shape == "single" else state)


def test_paddle_dense_tensor_is_read(paddle: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.pdparams"
    tensor = paddle.to_tensor(np.arange(6, dtype=np.float32).reshape(2, 3))
    paddle.save({"model": {"w": tensor.value().get_tensor()}, "epoch": 1}, str(path))
    assert b"eval" in path.read_bytes()
    check_paddle(paddle, path, {"w": tensor})


@pytest.mark.parametrize("protocol", [2, 3])
def test_paddle_slices_are_joined(paddle: Any, protocol: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import paddle.framework.io_utils as io_utils

    # Paddle cuts at 2**30 - 1 bytes; to see it cut a small tensor, the bytes an element takes are overstated to it.
    class Overstated(np.ndarray[Any, Any]):
        @property
        def dtype(self) -> Any:
            return argparse.Namespace(itemsize=2**30 // 5)

    value = np.arange(12, dtype=np.float32).reshape(3, 4)
    flat = io_utils._unpack_saved_dict({"w": value.view(Overstated), "b": np.ones(2, np.float32)}, protocol)
    assert sum("@@." in key for key in flat) == 3
    plain = {key: np.array(part) if isinstance(part, np.ndarray) else part for key, part in flat.items()}
    path = tmp_path / "a.pdparams"
    path.write_bytes(pickle.dumps(plain, protocol))
    with open_checkpoint(path) as checkpoint:
        assert set(checkpoint.tensors) == {"w", "b"}
        assert checkpoint.tensors["w"].load().tolist() == value.tolist()


def test_paddle_loads_what_is_written(paddle: Any, tmp_path: Path) -> None:
    state = paddle_state(paddle)
    paddle.save(state, str(tmp_path / "a.pdparams"))
    with open_checkpoint(tmp_path / "a.pdparams") as checkpoint:
        write_checkpoint(tmp_path / "b.pdparams", checkpoint.tensors)
    loaded = paddle.load(str(tmp_path / "b.pdparams"))
    assert list(loaded) == list(state)
    for name, tensor in state.items():
        assert (loaded[name].dtype, loaded[name].shape) == (tensor.dtype, tensor.shape)
        assert paddle_bytes(paddle, loaded[name]) == paddle_bytes(paddle, tensor), name


def test_paddle_loads_it_strictly(paddle: Any, tmp_path: Path) -> None:
    layer = paddle.nn.Sequential(paddle.nn.Linear(3, 4), paddle.nn.BatchNorm1D(4))
    tensors = {name: LazyTensor.of(value.numpy()) for name, value in layer.state_dict().items()}
    write_checkpoint(tmp_path / "a.pdparams", tensors)
    other = paddle.nn.Sequential(paddle.nn.Linear(3, 4), paddle.nn.BatchNorm1D(4))
    assert other.set_state_dict(paddle.load(str(tmp_path / "a.pdparams"))) == ([], [])
    for name, value in layer.state_dict().items():
        assert np.array_equal(value.numpy(), other.state_dict()[name].numpy())


def test_written_for_numpy_1_as_well(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "a.pdparams", {"w": LazyTensor.of(np.zeros(2))})
    data = (tmp_path / "a.pdparams").read_bytes()
    assert b"numpy.core.multiarray" in data
    assert b"numpy._core" not in data


def test_safetensors_both_ways(torch: Any, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    names = [name for name in DTYPES if name != "complex128"]
    state = {name: tensor.contiguous() for name, tensor in torch_state(torch, *names).items()}
    save_file(state, tmp_path / "a.safetensors", {"format": "pt"})
    with open_checkpoint(tmp_path / "a.safetensors") as checkpoint:
        for name, tensor in checkpoint.tensors.items():
            assert tensor.load().tobytes() == torch_bytes(torch, state[name])
        write_checkpoint(tmp_path / "b.safetensors", checkpoint.tensors)
    loaded = load_file(tmp_path / "b.safetensors")
    assert set(loaded) == set(state)
    for name, tensor in state.items():
        assert (loaded[name].dtype, loaded[name].shape) == (tensor.dtype, tensor.shape)
        assert torch_bytes(torch, loaded[name]) == torch_bytes(torch, tensor)


def test_bfloat16_from_torch_to_paddle_and_back(torch: Any, paddle: Any, tmp_path: Path) -> None:
    tensor = torch.randn(5, 7).to(torch.bfloat16)
    torch.save({"w": tensor}, tmp_path / "a.pth")
    with open_checkpoint(tmp_path / "a.pth") as checkpoint:
        assert checkpoint.tensors["w"].dtype == dtype("bfloat16")
        write_checkpoint(tmp_path / "b.pdparams", checkpoint.tensors)
    loaded = paddle.load(str(tmp_path / "b.pdparams"))["w"]
    assert str(loaded.dtype) == "paddle.bfloat16"
    assert paddle_bytes(paddle, loaded) == torch_bytes(torch, tensor)
    with open_checkpoint(tmp_path / "b.pdparams") as checkpoint:
        write_checkpoint(tmp_path / "c.pth", checkpoint.tensors)
    assert torch.equal(torch.load(tmp_path / "c.pth", weights_only=True)["w"], tensor)
