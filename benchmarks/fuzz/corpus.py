"""Small sound files of every format, to be damaged; made without any framework.

Torch's pickles name torch's functions and classes, for which stand-ins are put where the pickler looks for them: this
process never imports torch.
"""

from __future__ import annotations

import argparse
import builtins
import io
import json
import pickle
import struct
import sys
import tempfile
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import ml_dtypes
import numpy as np

from porting.checkpoint import LazyTensor, write_checkpoint

VALUES: Mapping[str, Any] = {
    "blocks.0.w": np.arange(6, dtype=np.float32).reshape(2, 3),
    "blocks.1.b": np.arange(20, dtype=np.int64),
    "scale": np.array(1.5),
    "half": np.ones(5, ml_dtypes.bfloat16),
    "empty": np.zeros((0, 4), np.float32),
}
_STORAGES = {"f4": "FloatStorage", "f8": "DoubleStorage", "i8": "LongStorage", "u1": "ByteStorage"}


class View:
    """A tensor of torch: a view of an array that stands for its storage."""

    def __init__(self, storage: Any, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> None:
        self.storage = storage
        self.arguments: tuple[Any, ...] = (offset, shape, strides, False, OrderedDict())

    def __reduce__(self) -> tuple[Any, ...]:
        return sys.modules["torch._utils"]._rebuild_tensor_v2, (Storage(self.storage), *self.arguments)


class Untyped(View):
    """A tensor over a storage of bytes, as torch saves the dtypes that have no storage class."""

    def __reduce__(self) -> tuple[Any, ...]:
        storage = Storage(self.storage.view(np.uint8), "UntypedStorage")
        dtype = sys.modules["torch"].uint16
        return sys.modules["torch._utils"]._rebuild_tensor_v3, (storage, *self.arguments, dtype)


class Storage:
    """A storage, which pickles refer to by a persistent id."""

    def __init__(self, array: Any, kind: str = "") -> None:
        self.array, self.kind = array, kind or _STORAGES[array.dtype.str[1:]]


class TorchPickler(pickle._Pickler):
    """Pickles as `torch.save` does; collects the storages by key. The pickler in C would not take the stand-ins."""

    def __init__(self, file: io.BytesIO, protocol: int, legacy: bool) -> None:
        super().__init__(file, protocol)
        self.legacy = legacy
        self.storages: dict[str, Any] = {}

    def persistent_id(self, value: object) -> tuple[Any, ...] | None:
        """The id of a storage; None for all else."""
        if not isinstance(value, Storage):
            return None
        key = next((key for key, array in self.storages.items() if array is value.array), str(len(self.storages)))
        self.storages[key] = value.array
        kind = getattr(sys.modules["torch.storage" if value.kind == "UntypedStorage" else "torch"], value.kind)
        identity = ("storage", kind, key, "cpu", value.array.size)
        return (*identity, None) if self.legacy else identity


@contextmanager
def stand_ins() -> Iterator[None]:
    """Modules of the names of torch's, with what its pickles name."""
    names = ("torch", "torch._utils", "torch.storage")
    modules = {name: ModuleType(name) for name in names}
    for name in _STORAGES.values():
        setattr(modules["torch"], name, type(name, (), {"__module__": "torch"}))
    untyped = type("UntypedStorage", (), {"__module__": "torch.storage"})
    modules["torch.storage"].UntypedStorage = untyped  # type: ignore[attr-defined] # a module that is made here
    # A module that is made here.
    modules["torch"].uint16 = type("uint16", (), {"__module__": "torch"})  # type: ignore[attr-defined]
    for name in ("_rebuild_tensor_v2", "_rebuild_tensor_v3", "_rebuild_parameter"):
        function = eval("lambda *arguments: None")  # noqa: S307 - a function of its own for each name
        function.__module__, function.__qualname__ = "torch._utils", name
        setattr(modules["torch._utils"], name, function)
    before = {name: sys.modules.get(name) for name in names}
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name, module in before.items():
            sys.modules.pop(name)
            if module is not None:
                sys.modules[name] = module


def torch_values() -> dict[str, Any]:
    """Whole tensors, views that share a storage, columns of a larger matrix, and a storage of bytes."""
    whole = np.arange(24, dtype=np.float32)
    return {
        "module.whole": View(whole, 0, (4, 6), (6, 1)),
        "module.columns": View(whole, 3, (4, 3), (6, 1)),
        "module.turned": View(whole, 0, (6, 4), (1, 6)),
        "module.count": View(np.array([7], np.int64), 0, (), ()),
        "module.bits": Untyped(np.arange(4, dtype=np.uint16), 0, (2, 2), (2, 1)),
    }


def training(model: Mapping[str, Any]) -> dict[str, Any]:
    """A training checkpoint around a model's weights."""
    return {
        "model": dict(model),
        "model_ema": dict(model),
        "optimizer": {"state": {0: {"step": 3}}, "param_groups": [{"lr": 1e-3, "betas": (0.9, 0.99)}]},
        "epoch": 3,
        "scaler": None,
        "args": argparse.Namespace(lr=0.1),
        "best": np.float64(0.8),
    }


def torch_zip(
    value: object, *, protocol: int = 2, method: int = zipfile.ZIP_STORED, byteorder: str = "little"
) -> bytes:
    """An archive as `torch.save` writes it."""
    with stand_ins():
        pickled = io.BytesIO()
        pickler = TorchPickler(pickled, protocol, legacy=False)
        pickler.dump(value)
    records = {"data.pkl": pickled.getvalue(), "byteorder": byteorder.encode()}
    records |= {f"data/{key}": array.tobytes() for key, array in pickler.storages.items()}
    return zipped({f"archive/{name}": data for name, data in records.items()}, method)


def zipped(records: Mapping[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """An archive with correct checksums."""
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w", method) as archive:
        warnings.simplefilter("ignore")  # a name twice is what some inputs are about
        for name, data in records.items():
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return file.getvalue()


def torch_legacy(value: object) -> bytes:
    """A file as torch wrote it before 1.6."""
    sysinfo = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    with stand_ins():
        pickled = io.BytesIO()
        pickler = TorchPickler(pickled, 2, legacy=True)
        pickler.dump(value)
    head = b"".join(pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, sysinfo))
    tail = b"".join(struct.pack("<q", array.size) + array.tobytes() for array in pickler.storages.values())
    return head + pickled.getvalue() + pickle.dumps(list(pickler.storages), 2) + tail


class Literal:
    """What Paddle saves of a DenseTensor: `eval('data', {'data': array})`."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def __reduce__(self) -> tuple[Any, ...]:
        return builtins.eval, ("data", {"data": self.array})


def pdparams() -> list[bytes]:
    """Every shape that `paddle.save` writes, at every protocol."""
    arrays = {name: value.view(np.uint16) if name == "half" else value for name, value in VALUES.items()}
    flat = {**arrays, "StructuredToParameterName@@": {name: f"linear_{name}" for name in arrays}}
    parts = {"w@@.0": np.arange(3.0), "w@@.1": np.arange(3.0)}
    table = {"UnpackBigParamInfor@@": {"w": {"OriginShape": (2, 3), "slices": list(parts)}}}
    named = {name: (name, array) for name, array in arrays.items()}
    shapes: list[Any] = [flat, arrays, training(named), {**parts, **table}, {"w": Literal(np.arange(4.0))}]
    return [pickle.dumps(shape, protocol) for shape in shapes for protocol in (2, 3, 4, 5)]


def written(suffix: str, **options: Any) -> bytes:
    """What is written here."""
    tensors = {name: LazyTensor.of(value) for name, value in VALUES.items()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"file{suffix}")
        write_checkpoint(path, tensors, **options)
        return path.read_bytes()


def saved(save: Callable[..., None], *arguments: Any, **values: Any) -> bytes:
    """What a function of NumPy writes into a file."""
    file = io.BytesIO()
    save(file, *arguments, **values)
    return file.getvalue()


def sound_files() -> dict[str, list[bytes]]:
    """Files that can be read, by reader."""
    state = torch_values()
    arrays = {name: value for name, value in VALUES.items() if name != "half"}
    turned = {"f": np.asfortranarray(VALUES["blocks.0.w"]), "big": np.arange(4, dtype=">f4")}
    log = {"logits": VALUES["blocks.0.w"], "nested": {"loss": np.array(0.5), "step": 3}}
    return {
        "torch-zip": [
            written(".pth"),
            torch_zip(OrderedDict(state)),
            torch_zip(training(state), protocol=4),
            torch_zip(state, method=zipfile.ZIP_DEFLATED, byteorder="big"),
        ],
        "torch-legacy": [torch_legacy(state), torch_legacy(training(state))],
        "pdparams": [written(".pdparams"), *pdparams()],
        "safetensors": [written(".safetensors"), written(".safetensors", metadata={"epoch": "3", "note": "{}"})],
        "npz": [written(".npz"), saved(np.savez, **arrays, **turned), saved(np.savez_compressed, **arrays)],
        "mindspore": [written(".ckpt")],
        "reprod_log": [
            saved(lambda file: np.save(file, np.array(log, dtype=object), allow_pickle=True)),
            saved(np.save, VALUES["blocks.0.w"]),
        ],
        "index": [index({"blocks.0.w": "a.safetensors", "scale": "b.safetensors"})],
    }


def index(weight_map: object) -> bytes:
    """An index of shards."""
    return json.dumps({"metadata": {"total_size": 32}, "weight_map": weight_map}).encode()


def shards() -> dict[str, bytes]:
    """The shards that the sound index names."""
    files = {}
    with tempfile.TemporaryDirectory() as folder:
        for shard, name in (("a", "blocks.0.w"), ("b", "scale")):
            path = Path(folder, f"{shard}.safetensors")
            write_checkpoint(path, {name: LazyTensor.of(VALUES[name])})
            files[path.name] = path.read_bytes()
    return files
