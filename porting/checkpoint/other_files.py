"""Files that are no checkpoints, recognised by how they start, by their name or by what is in their archive.

Each gets a name and a remedy of its own. That a download failed is said only of what a failed download leaves.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import PurePath
from shlex import quote

from porting.checkpoint.format_names import SUFFIXES

_TORCH_ONLY = "save the state_dict() of the model that it was made from"
_MINDIR = "a graph of MindSpore (MindIR); save the parameters with mindspore.save_checkpoint"
_ZLIB = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
"""How a stream of zlib starts, at its four levels."""
_FLAX = "weights of Flax, which are not read here; load them there and save the arrays with numpy.savez"
_STARTS = (
    (b"version https://git-lfs", "a Git LFS pointer; run git lfs pull to fetch the file it stands for"),
    (b"\x1f\x8b", "compressed by gzip; run gunzip on it"),
    (b"\xfd7zXZ", "compressed by xz; run unxz on it"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd; run unzstd on it"),
    (b"BZh", "compressed by bzip2; run bunzip2 on it"),
    (b"\x04\x22\x4d\x18", "compressed by LZ4; run unlz4 on it, or load it with joblib.load if joblib wrote it"),
    (b"\x5d\0\0", "compressed by LZMA; run unlzma on it, or load it with joblib.load if joblib wrote it"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it and give the checkpoint in it"),
    (b"Rar!", "a RAR archive; unpack it and give the checkpoint in it"),
    (b"\x89HDF", "an HDF5 file, as Keras writes it, which is not read here; load it there and save its arrays with "
     "numpy.savez"),
    (b"\x93NUMPY", "a single NumPy array (.npy); save a dict of arrays with numpy.savez"),
    (b"GGUF", "a GGUF file of llama.cpp, whose weights are mostly quantised; take the safetensors that it was made "
     "from"),
    (b"ggml", "a GGML file of llama.cpp; take the checkpoint that it was made from"),
    (b"lmgg", "a GGML file of llama.cpp; take the checkpoint that it was made from"),
    (b"tjgg", "a GGML file of llama.cpp; take the checkpoint that it was made from"),
    (b"ftrt", "an engine of TensorRT, which holds no weights by name; take the checkpoint that it was built from"),
    (b"ptrt", "an engine of TensorRT, which holds no weights by name; take the checkpoint that it was built from"),
    (b"7767517", "a network of ncnn; take the checkpoint that it was made from"),
    (b"model_checkpoint_path:", "TensorFlow's note on its newest checkpoint; TensorFlow's files are not read here, "
     "load them there and save the arrays with numpy.savez"),
    (b"\x12\x01\0\0\0\0\0\0", "a parameter file of MXNet, which is not read here; load it there and save the arrays "
     "with numpy.savez"),
    (b"%PDF", "a PDF document"),
    (b"\x89PNG", "an image (PNG)"),
    (b"\xff\xd8\xff", "an image (JPEG)"),
    (b"\x7fELF", "a program or library (ELF)"),
)  # fmt: skip
"""Starts of other files, what they are, and what to do about them."""
_PROTOCOL_0 = (b"(dp", b"(lp", b"(tp", b"}q", b"]q", b"ccollections\n", b"cnumpy", b"c__builtin__", b"(cnumpy")
_NAMES = (
    (".pdmodel", f"a program of paddle.jit.save, without weights; {_TORCH_ONLY} with paddle.save"),
    ("__model__", f"a program of Paddle, without weights; {_TORCH_ONLY} with paddle.save"),
    (".onnx", "an ONNX model, whose weights have lost the names of their model; take the checkpoint it was made from"),
    (".mindir", _MINDIR),
    (".air", "a graph of MindSpore (AIR); save the parameters with mindspore.save_checkpoint"),
    (".tflite", "a model of TensorFlow Lite; take the checkpoint it was made from"),
    (".mlmodel", "a model of Core ML; take the checkpoint it was made from"),
    (".caffemodel", "a model of Caffe, which is not read here; load it there and save the arrays with numpy.savez"),
    (".msgpack", _FLAX),
    (".weights", "weights of Darknet, which are not read here; load them there and save the arrays with numpy.savez"),
    (".pb", "a graph of TensorFlow, which is not read here; load it there and save the arrays with numpy.savez"),
    (".index", "the index of a TensorFlow checkpoint, which is not read here; load it there and save the arrays with "
     "numpy.savez"),
    (".meta", "the graph of a TensorFlow checkpoint, which is not read here; load it there and save the arrays with "
     "numpy.savez"),
    (".py", "source code of Python"),
    (".yaml", "a configuration (YAML); the weights are in another file"),
    (".yml", "a configuration (YAML); the weights are in another file"),
)  # fmt: skip
"""Endings of names that tell what their bytes alone do not, what these files are, and what to do."""
DISTRIBUTED = (
    "a part of a checkpoint of torch.distributed; join its folder into one file with "
    "python -m torch.distributed.checkpoint.format_utils dcp_to_torch FOLDER whole.pth"
)
"""What a `.distcp` file is, and what to do with its folder, FOLDER."""


def named(path: PurePath) -> str | None:
    """Return what a file is whose name alone tells it, though its bytes look like a checkpoint's."""
    return DISTRIBUTED.replace("FOLDER", quote(str(path.parent))) if path.suffix == ".distcp" else None


def other_file(path: PurePath, head: bytes) -> str | None:
    """Return what a file is that is no checkpoint, and what to do; None if that is not known.

    Args:
        path: Its name.
        head: Its first 512 bytes.
    """
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"\x93NUMPY") and b"'|O'" in start:
        return (
            "a NumPy file (.npy) of Python objects, which only pickle reads; if you trust its origin, load it with "
            "numpy.load(..., allow_pickle=True).item() and save the arrays with numpy.savez"
        )
    for signature, kind in _STARTS:
        if start.startswith(signature):
            return kind
    if re.match(rb"<[!?A-Za-z]", start):
        return _markup(start.lower())
    if start.startswith(b"{"):
        return _json(start)
    if head[257:262] == b"ustar":
        return "a tar archive; unpack it, or save it with torch 0.1.10 or newer"
    if start.startswith(_PROTOCOL_0):
        return (
            "a pickle of protocol 0 or 1, which is not read here; if you trust its origin, load it and pickle it anew"
        )
    if re.fullmatch(r".*\.data-\d{5}-of-\d{5}", path.name):
        return (
            "a part of a TensorFlow checkpoint, which is not read here; load it there and save the arrays with "
            "numpy.savez"
        )
    return _binary(head) or (_FLAX if _is_msgpack(head) else by_ending(path))


def by_ending(path: PurePath) -> str | None:
    """Return what a file is by the end of its name, and what to do; None if that tells nothing."""
    return next((kind for ending, kind in _NAMES if path.name.lower().endswith(ending)), None)


def _markup(start: bytes) -> str:
    if b"<net " in start:
        return "a network of OpenVINO; take the checkpoint that it was made from"
    if start.startswith(b"<?xml") and b"<error" not in start and b"<html" not in start:
        return "XML, not a checkpoint; the weights are in another file"
    return "a web page or XML, not a checkpoint; the download failed, fetch it again"


def _json(start: bytes) -> str:
    if b'"pir"' in start or b'"base_code"' in start:
        return f"JSON text, not a checkpoint but a program of paddle.jit.save; {_TORCH_ONLY} with paddle.save"
    if any(key in start for key in (b'"error"', b'"errors"', b'"message"')):
        return "JSON text, not a checkpoint; the download failed, fetch it again"
    return "JSON text, not a checkpoint, such as a configuration; the weights are in another file, often beside it"


def _binary(head: bytes) -> str | None:
    if head[:1] == b"\x78" and head[:2] in _ZLIB:
        return (
            "compressed by zlib, as joblib.dump(..., compress=3) writes it; if you trust its origin, load it with "
            "joblib.load and save the arrays with numpy.savez"
        )
    if head[:1] == b"\n" and b"\x12\x09MindSpore" in head[:64]:
        return _MINDIR
    if head[:3] == b"\x08\x01\x12":  # the schema of a SavedModel; ONNX began to be used with its version 3
        return "a graph of TensorFlow, which is not read here; load it there and save the arrays with numpy.savez"
    if head[4:8] == b"TFL3":
        return "a model of TensorFlow Lite; take the checkpoint it was made from"
    if head[:16] == bytes(16) and 0 < int.from_bytes(head[16:20], "little") < 512 and head[20:21] == b"\x08":
        return (
            "the parameters of paddle.jit.save (.pdiparams), which have no names in this file; "
            f"{_TORCH_ONLY} with paddle.save"
        )
    if head[:1] == b"\n" and b"\x08\x00\x10" in head[2:8]:
        return f"a program of paddle.jit.save, without weights; {_TORCH_ONLY} with paddle.save"
    if head[:1] == b"\x08" and 0 < head[1] < 32 and head[2:3] in (b"\x12", b"\x3a", b"\x42"):
        return "an ONNX model, whose weights have lost the names of their model; take the checkpoint it was made from"
    return None


def _is_msgpack(head: bytes) -> bool:
    """Return True for a map of MessagePack whose first key is a short text, as `flax.serialization` writes it."""
    start = 1 if 0x80 < head[0] < 0x90 else {0xDE: 3, 0xDF: 5}.get(head[0], 0)
    if not start or not 0xA0 < head[start] < 0xC0:
        return False
    key = head[start + 1 : start + 1 + head[start] - 0xA0]
    return key.decode("utf-8", "replace").isprintable()


def other_zip(names: Collection[str]) -> str:
    """Return what a zip archive is that is neither of torch nor of NumPy, by the names of its records."""
    ends = {name.rpartition("/")[2] for name in names}
    if {"archive_format", "serialized_exported_program.json"} & ends:
        return f"is a program of torch.export (.pt2); {_TORCH_ONLY}, or exported.state_dict"
    if "bytecode.pkl" in ends or "constants.pkl" in ends:
        return f"is a TorchScript archive; {_TORCH_ONLY}"
    if "model.weights.h5" in ends:
        return (
            "is a model of Keras (.keras), which is not read here; load it there and save its arrays with numpy.savez"
        )
    if "MANIFEST.json" in ends and any(name.startswith("MAR-INF/") for name in names):
        return "is an archive of TorchServe (.mar); unpack it and give the checkpoint in it"
    inside = [name for name in names if PurePath(name).suffix.lower() in SUFFIXES]
    if inside:
        return f"is a zip archive that holds {inside[0]:.100}; unpack it and give that file"
    return "is a zip archive, but neither of torch (NAME/data.pkl) nor of NumPy (*.npy alone)"


def other_folder(folder: PurePath, names: Collection[str]) -> str | None:
    """Return what a folder of these files without a checkpoint is, and what to do; None if that is not known."""
    if ".metadata" in names or any(name.endswith(".distcp") for name in names):
        return (
            DISTRIBUTED.replace("a part of a checkpoint", "a checkpoint")
            .replace("its folder", "it")
            .replace("FOLDER", quote(str(folder)))
        )
    if "_CHECKPOINT_METADATA" in names or "manifest.ocdbt" in names:
        return "a checkpoint of Orbax (JAX), which is not read here; load it there and save the arrays with numpy.savez"
    if "saved_model.pb" in names or "checkpoint" in names:
        return "a model of TensorFlow, which is not read here; load it there and save the arrays with numpy.savez"
    if any(name.endswith(".pdiparams") for name in names):
        return f"a program of paddle.jit.save, whose parameters have no names; {_TORCH_ONLY} with paddle.save"
    states = sorted(name for name in names if name.endswith("_model_states.pt"))
    if states:
        return (
            f"a checkpoint of DeepSpeed; give {states[0]} in it, or join a checkpoint of ZeRO's with the "
            "zero_to_fp32.py that is beside it"
        )
    return None
