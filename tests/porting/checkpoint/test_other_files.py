"""Files that are no checkpoints are named for what they are, with what to do about them."""

from __future__ import annotations

import json
import struct
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from porting.checkpoint import open_checkpoint
from porting.errors import CheckpointError

FILES = [
    ("page.pth", b"<!DOCTYPE html><html>", "web page or XML.*the download failed"),
    ("denied.pth", b'<?xml version="1.0"?><Error><Code>AccessDenied</Code>', "the download failed"),
    ("model.xml", b'<?xml version="1.0"?>\n<net name="a" version="11">', "a network of OpenVINO"),
    ("rpc.pth", b'{"message": "Not Found"}', "JSON text.*the download failed"),
    (
        "config.json",
        b'{"architectures": ["BertModel"], "model_type": "bert"}',
        "such as a configuration; the weights are",
    ),
    ("model.json", b'{"base_code":{"magic":"pir","trainable":true}', r"paddle\.jit\.save.*save the state_dict\(\)"),
    ("a.gguf", b"GGUF\x03\0\0\0", "a GGUF file of llama.cpp"),
    ("a.onnx", b"\x08\x08\x12\x07pytorch\x1a", "an ONNX model"),
    ("noname", b"\x08\x0a\x12\x07pytorch\x1a", "an ONNX model"),
    ("a.tflite", b"\x1c\0\0\0TFL3", "TensorFlow Lite"),
    ("a.h5", b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras"),
    ("saved_model.pb", b"\x08\x01\x12\xd9\x10\x0a", "a graph of TensorFlow"),
    ("renamed.ckpt", b"\n\x031.1\x12\tMindSpore*\x062.10.0", "MindIR"),
    ("packed.joblib", b"\x78\x5e\x5c\x9a", "joblib.load"),
    ("packed.lz4", b"\x04\x22\x4d\x18\x44", "unlz4"),
    ("packed.lzma", b"\x5d\0\0\x80\0", "unlzma"),
    ("frozen.pb", b"\n\x3c\n\x05input\x12\x0bPlaceholder", "a graph of TensorFlow"),
    ("model.ckpt.index", b"\0\0\x06\x01\x08\x01", "the index of a TensorFlow checkpoint"),
    ("checkpoint", b'model_checkpoint_path: "model.ckpt-1"\n', "TensorFlow's note"),
    ("a.engine", b"ftrt\0\0", "an engine of TensorRT"),
    ("a.params", b"\x12\x01\0\0\0\0\0\0\0\0", "MXNet"),
    ("yolov3.weights", b"\0\0\0\0\x02\0\0\0\0\0\0\0\0\x88", "Darknet"),
    ("flax_model.msgpack", b"\x82\xa3abc", "Flax"),
    ("a.mindir", b"\n\x0c1234567890ab\x12", "MindIR"),
    ("model.ckpt-3.data-00000-of-00001", b"\xcbF2(d\x17P\x93", "a part of a TensorFlow checkpoint"),
    ("checkpoint_3", b"\x86\xa5conv1\x82", "weights of Flax"),
    ("a.pth", b"\xde\x00\x20\xa5conv1\x82", "weights of Flax"),
    ("lfs.bin", b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
    ("model.7z", b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    ("old.pkl", b"(dp0\nS'w'\np1\n", "a pickle of protocol 0 or 1"),
    ("a.distcp", b"PK\x03\x04", "dcp_to_torch"),
    ("a.pdmodel", b"\n\xc4\x04\x08\0\x10\xff\xff\xff\xff", r"a program of paddle\.jit\.save"),
    ("a.pdiparams", bytes(16) + struct.pack("<i", 6) + b"\x08\x05\x10\x03", r"parameters of paddle\.jit\.save"),
]


@pytest.mark.parametrize(("name", "data", "message"), FILES, ids=[name for name, *_ in FILES])
def test_file_of_another_kind_is_named(name: str, data: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data + bytes(600))
    with pytest.raises(CheckpointError, match=message) as caught:
        open_checkpoint(tmp_path / name)
    assert ("download failed" in str(caught.value)) == ("download failed" in message)


ARCHIVES = [
    (["a/model.pth", "a/readme.txt"], r"a zip archive that holds a/model\.pth; unpack it"),
    (["config.json", "metadata.json", "model.weights.h5"], "a model of Keras"),
    (["MAR-INF/MANIFEST.json", "model.py"], "TorchServe"),
    (["m/archive_format", "m/models/model.json"], r"a program of torch\.export"),
    (["m/bytecode.pkl", "m/version"], "a TorchScript archive"),
]


@pytest.mark.parametrize(("names", "message"), ARCHIVES)
def test_archive_of_another_kind_is_named(names: list[str], message: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    with pytest.raises(CheckpointError, match=message):
        open_checkpoint(tmp_path / "a.zip")


FOLDERS = [
    ([".metadata", "__0_0.distcp"], "a checkpoint of torch.distributed; join it into one file"),
    (["_CHECKPOINT_METADATA", "_METADATA", "manifest.ocdbt", "d/a"], "a checkpoint of Orbax"),
    (["saved_model.pb", "fingerprint.pb"], "a model of TensorFlow"),
    (["net.json", "net.pdiparams"], r"a program of paddle\.jit\.save"),
    (["unet/model.safetensors", "vae/model.safetensors", "logs/a.txt"], "some in unet, vae: give one of these folders"),
    (["x_model_states.pt.d", "mp_rank_00_model_states.py"], "there is none in it"),
]


@pytest.mark.parametrize(("names", "message"), FOLDERS)
def test_folder_of_another_kind_is_named(names: list[str], message: str, tmp_path: Path) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(CheckpointError, match=message):
        open_checkpoint(tmp_path)


def test_programs_of_torch_are_named(torch: Any, tmp_path: Path) -> None:
    module = torch.nn.Linear(2, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(module, torch.ones(1, 2)), tmp_path / "traced.pt")
    with pytest.raises(CheckpointError, match=r"is a TorchScript archive; .*save its state_dict\(\)"):
        open_checkpoint(tmp_path / "traced.pt")


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("inside", [False, True])
def test_whole_models_of_torch_are_named(torch: Any, zipped: bool, inside: bool, tmp_path: Path) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 2))
    torch.save(
        {"epoch": 3, "model": model} if inside else model, tmp_path / "a.pt", _use_new_zipfile_serialization=zipped
    )
    where = " under model" if inside else ""
    message = rf"holds a whole model of the class torch\.nn\.modules\.container\.Sequential{where}, .*state_dict\(\)"
    with pytest.raises(CheckpointError, match=message):
        open_checkpoint(tmp_path / "a.pt")


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("kind", ["sparse", "csr", "quantised", "meta", "nested"])
def test_tensors_of_other_kinds_are_named(torch: Any, kind: str, zipped: bool, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tensor = {
            "sparse": lambda: torch.eye(3).to_sparse(),
            "csr": lambda: torch.eye(3).to_sparse_csr(),
            "quantised": lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8),
            "meta": lambda: torch.ones(3, device="meta"),
            "nested": lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
        }[kind]()
        torch.save({"a": torch.ones(1), "w": tensor}, tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
    expected = {"csr": "a sparse tensor", "meta": "a tensor on the device meta"}.get(kind, f"a {kind} tensor")
    with pytest.raises(CheckpointError, match=f"w is {expected}"):
        open_checkpoint(tmp_path / "a.pt")


def test_parameters_of_paddle_jit_are_named(paddle: Any, tmp_path: Path) -> None:
    layer = paddle.nn.Linear(2, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        paddle.jit.save(layer, str(tmp_path / "a"), input_spec=[paddle.static.InputSpec([1, 2])])
    for path in tmp_path.iterdir():
        with pytest.raises(CheckpointError, match=r"paddle\.jit\.save"):
            open_checkpoint(path)


def test_optimizer_alone_is_named(torch: Any, tmp_path: Path) -> None:
    torch.save({"state": {0: {"exp_avg": torch.ones(1)}}, "param_groups": [{"lr": 1.0}]}, tmp_path / "optimizer.pt")
    with pytest.raises(CheckpointError, match="holds the state of an optimizer, not weights"):
        open_checkpoint(tmp_path / "optimizer.pt")


def test_index_without_a_map_is_a_configuration(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"hidden_size": 12}))
    with pytest.raises(CheckpointError, match="such as a configuration"):
        open_checkpoint(tmp_path / "a.json")


def test_single_array_is_named(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones(3))
    with pytest.raises(CheckpointError, match=r"is a single NumPy array \(\.npy\)"):
        open_checkpoint(tmp_path / "a.npy")


def test_arrays_of_objects_are_named(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array({"w": np.ones(3)}, dtype=object), allow_pickle=True)
    with pytest.raises(CheckpointError, match=r"a NumPy file \(\.npy\) of Python objects.*numpy\.savez"):
        open_checkpoint(tmp_path / "a.npy")
    np.savez(tmp_path / "a.npz", w=np.array({"w": 1}, dtype=object))
    with pytest.raises(CheckpointError, match=r"w\.npy is an array of Python objects, which only pickle reads"):
        open_checkpoint(tmp_path / "a.npz")


@pytest.mark.parametrize("given", ["0_0.distcp", ""])
def test_checkpoint_of_torch_distributed_is_told_with_a_command_that_runs(given: str, tmp_path: Path) -> None:
    folder = tmp_path / "step 100"
    folder.mkdir()
    (folder / ".metadata").write_bytes(bytes(9))
    (folder / "0_0.distcp").write_bytes(b"PK\x03\x04" + bytes(600))
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(folder / given)
    assert f"dcp_to_torch '{folder}' whole.pth" in str(caught.value)


@pytest.mark.parametrize(
    ("module", "name", "words"),
    [
        ("joblib.numpy_pickle", "NumpyArrayWrapper", "written by joblib.dump.*joblib.load"),
        ("torch.storage", "_load_from_bytes", "tensors of torch, written by pickle.dump.*save it with torch.save"),
    ],
)
def test_pickle_of_another_library_is_named(module: str, name: str, words: str, tmp_path: Path) -> None:
    pickled = b"\x80\x02}X\x01\0\0\0wc" + f"{module}\n{name}\n".encode() + b")Rs."
    (tmp_path / "a.pkl").write_bytes(pickled)
    with pytest.raises(CheckpointError, match=words):
        open_checkpoint(tmp_path / "a.pkl")


def test_optimizer_under_any_key_is_named(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.ones(2))])
    torch.save({"my_optimizer": optimizer.state_dict()}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="the state of an optimizer, not weights"):
        open_checkpoint(tmp_path / "a.pth")
