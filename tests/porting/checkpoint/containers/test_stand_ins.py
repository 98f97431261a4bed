"""Objects beside the weights are never imported, called or built, whatever a pickle does with them."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import pytest

from porting.checkpoint import open_checkpoint
from porting.checkpoint.containers.stand_ins import Inert, is_refused, stand_in
from porting.errors import CheckpointError, UnsafePickleError

KINDS = [
    "yacs.config.CfgNode", "easydict.EasyDict", "omegaconf.dictconfig.DictConfig", "omegaconf.listconfig.ListConfig",
    "omegaconf.base.ContainerMetadata", "mmengine.config.config.ConfigDict", "mmengine.logging.history_buffer."
    "HistoryBuffer", "addict.addict.Dict", "ml_collections.config_dict.config_dict.ConfigDict", "munch.Munch",
    "box.box.Box", "attrdict.dictionary.AttrDict", "detectron2.config.config.CfgNode", "fairseq.dataclass.configs."
    "FairseqConfig", "transformers.training_args.TrainingArguments", "transformers.trainer_utils.IntervalStrategy",
    "ultralytics.utils.IterableSimpleNamespace", "wandb.sdk.wandb_run.Run", "pytorch_lightning.callbacks."
    "model_checkpoint.ModelCheckpoint", "torch.optim.adamw.AdamW", "torchvision.transforms.transforms.Compose",
    "paddle.optimizer.lr.CosineAnnealingDecay", "paddleseg.cvlibs.config.Config", "ppdet.core.workspace.AttrDict",
    "my_project.models.Encoder.Settings",
]  # fmt: skip


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


ARRAY = (
    b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R(K\x01K\x02\x85cnumpy\ndtype\n"
    + text("f4") + b"\x89\x88\x87R(K\x03" + text("<") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89C\x08"
    + bytes(8) + b"tb"
)  # fmt: skip
USES = {
    "called": b"(K\x01tR",
    "made": b")\x81",
    "made with keywords": b")}\x92",
    "given a state": b")\x81}(" + text("lr") + b"K\x01ub",
    "given slots": b")\x81N}(" + text("lr") + b"K\x01u\x86b",
    "filled by key": b")\x81(" + text("lr") + b"K\x01u",
    "filled in order": b")\x81(K\x01K\x02e",
    "added to": b")\x81(K\x01\x90",
    "alone": b"",
}


def file(name: str, use: bytes, path: Path) -> Path:
    """A file of Paddle's with weights, and beside them an object."""
    module, _, kind = name.rpartition(".")
    while module and module.rpartition(".")[2][:1].isupper():
        module, _, outer = module.rpartition(".")
        kind = f"{outer}.{kind}"
    thing = text(module) + text(kind) + b"\x93" + use
    path.write_bytes(b"\x80\x04}(" + text("model") + b"}(" + text("w") + ARRAY + b"u" + text("extra") + thing + b"u.")
    return path


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("name", KINDS)
def test_object_of_any_class_is_a_name(name: str, use: str, tmp_path: Path) -> None:
    loaded = {*sys.modules}
    with open_checkpoint(file(name, USES[use], tmp_path / "a.pdparams")) as checkpoint:
        assert list(checkpoint.tensors) == ["w"]
        assert checkpoint.notes == (f"extra: left out, not weights ({name})",)
    assert not [module for module in {*sys.modules} - loaded if module.partition(".")[0] == name.partition(".")[0]]


@pytest.mark.parametrize("use", USES)
def test_class_that_could_be_imported_is_not(
    use: str, tmp_path: Path, canary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = f"open({str(canary)!r}, 'w')\nclass Thing(dict):\n    def __reduce__(self): raise SystemExit\n"
    (tmp_path / "importable_stranger.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    with open_checkpoint(file("importable_stranger.Thing", USES[use], tmp_path / "a.pdparams")) as checkpoint:
        assert "importable_stranger.Thing" in checkpoint.notes[0]
    assert not canary.exists()
    assert "importable_stranger" not in sys.modules


REFUSED = [
    "os.system", "posix.system", "nt.system", "subprocess.Popen", "sys.exit", "sys.modules", "shutil.rmtree",
    "socket.socket", "ctypes.CDLL", "builtins.eval", "builtins.exec", "builtins.open", "builtins.compile",
    "builtins.__import__", "builtins.getattr", "builtins.setattr", "builtins.delattr", "builtins.globals",
    "builtins.type", "builtins.map", "builtins.vars", "builtins.input", "builtins.breakpoint", "__builtin__.execfile",
    "operator.attrgetter", "operator.methodcaller", "functools.reduce", "types.CodeType",
    "types.FunctionType", "types.MethodType", "pickle.loads", "_pickle.loads", "cPickle.loads",
    "importlib.import_module", "runpy.run_path", "webbrowser.open",
    "asyncio.subprocess.create_subprocess_exec", "asyncio.create_subprocess_shell",
    "multiprocessing.Process", "threading.Thread", "pty.spawn", "platform.popen", "tempfile.mktemp", "code.interact",
    "codeop.compile_command", "timeit.timeit", "pdb.run", "bdb.Bdb", "marshal.loads", "inspect.getsource", "io.open",
    "_io.FileIO", "logging.config.listen", "urllib.request.urlopen", "http.client.HTTPConnection", "smtplib.SMTP",
    "signal.raise_signal", "gc.get_objects", "linecache.getline", "zipimport.zipimporter", "copyreg.add_extension",
    "pip.main", "pip._internal.cli.main.main", "setuptools.setup", "cloudpickle.loads", "dill._dill._create_function",
    "joblib.load", "requests.get", "torch.load", "torch.hub.load", "torch.serialization.load", "torch.jit.load",
    "torch.storage._load_from_bytes", "torch.os.system", "torch.utils.cpp_extension.load", "numpy.load",
    "numpy.testing._private.utils.runstring", "numpy.f2py.compile", "paddle.load", "pandas.eval", "sympy.sympify.eval",
    "my_module.subprocess.Popen", "my_module.__import__", "a.b.__globals__", "distutils.spawn.spawn",
    "commands.getoutput",
]  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_name_that_only_an_attack_needs_is_refused_beside_the_weights(name: str, tmp_path: Path) -> None:
    # A call of eval is Paddle's own form, and one of getattr is a method of a class in protocol 2.
    for use in ("called",) if name in ("builtins.eval", "builtins.getattr") else ("called", "alone"):
        with pytest.raises(UnsafePickleError, match="nothing was executed"):
            open_checkpoint(file(name, USES[use], tmp_path / "a.pdparams"))


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("a", "b.C"),
        ("a", "os.system"),
        ("a", "C.__init__"),
        ("a b", "C"),
        ("", "C"),
        ("a", ""),
        ("a.", "C"),
        ("a", "C\n"),
    ],
)
def test_name_that_is_no_class_or_function_of_a_module_is_refused(module: str, name: str) -> None:
    assert is_refused(module, name)
    assert stand_in(module, name) is None


def test_name_of_any_length_is_refused() -> None:
    assert stand_in("a", "C" * 1000) is None


def test_stand_in_is_refused_as_the_weights(tmp_path: Path) -> None:
    path = tmp_path / "a.pdparams"
    path.write_bytes(b"\x80\x04cyacs.config\nCfgNode\n)\x81.")
    with pytest.raises(
        CheckpointError, match=r"holds an object of the class yacs\.config\.CfgNode, expected a state dict"
    ):
        open_checkpoint(path)


def test_weights_in_a_dictionary_of_a_class_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.pdparams"
    path.write_bytes(b"\x80\x04ceasydict\nEasyDict\n)\x81(" + text("w") + ARRAY + b"u.")
    with open_checkpoint(path) as checkpoint:
        assert list(checkpoint.tensors) == ["w"]
        assert checkpoint.notes == ("a dictionary of the class easydict.EasyDict was read as a plain one",)


def test_many_names_count_against_the_budget(tmp_path: Path) -> None:
    names = b"".join(b"ca\nC%d\n0" % index for index in range(30_000))
    path = tmp_path / "a.pdparams"
    path.write_bytes(b"\x80\x04" + names + b"N.")
    with pytest.raises(CheckpointError, match="it makes more than 48 MiB of objects"):
        open_checkpoint(path)


def test_state_of_a_stand_in_may_refer_to_itself(tmp_path: Path) -> None:
    path = tmp_path / "a.pdparams"
    thing = b"ca\nC\n)\x81q\x00}(" + text("self") + b"h\x00ub"
    path.write_bytes(b"\x80\x04}(" + text("w") + ARRAY + text("extra") + thing + b"u.")
    with open_checkpoint(path) as checkpoint:
        assert list(checkpoint.tensors) == ["w"]


def test_stand_in_knows_a_whole_model_by_its_state() -> None:
    thing = Inert("a.Model")
    assert not thing.is_module
    thing.build({"training": True, "_parameters": {}, "_modules": {}})
    assert thing.is_module
