"""Objects beside the weights, as stand-ins, and the globals that no checkpoint is allowed to name.

A pickle that names any other class than those of tensors and containers gets a stand-in for it. Nothing is imported
and nothing is called: a stand-in only keeps what the pickle gives it, and knows its name. That makes reading safe, and
not the list below, which no list of its kind can be complete enough for. The list serves the reader of the message: a
pickle that names `os.system` or `eval` was made by an attacker, or by mistake, and nothing of it is worth reading.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from porting.checkpoint.containers.pickle_machine import Buildable, Symbol, Unsafe

_EVERYTHING = frozenset("*")
_HARMLESS: Mapping[str, frozenset[str]] = {
    "argparse": frozenset({"Namespace"}),
    "array": frozenset({"array", "_array_reconstructor"}),
    "collections": frozenset({"ChainMap", "Counter", "OrderedDict", "UserDict", "UserList", "defaultdict", "deque"}),
    "exceptions": _EVERYTHING,
    "functools": frozenset({"partial"}),  # of what it would call, the name is checked like any other
    "copyreg": frozenset({"_reconstructor"}),
    "copy_reg": frozenset({"_reconstructor"}),
    "_io": frozenset({"BytesIO", "StringIO"}),
    "io": frozenset({"BytesIO", "StringIO"}),
    "itertools": frozenset({"chain", "count", "cycle", "repeat"}),
    "logging": frozenset({"Formatter", "Logger", "RootLogger", "getLogger"}),
    "operator": frozenset({"itemgetter"}),
    "random": frozenset({"Random"}),
    "re": frozenset({"Pattern", "_compile"}),
    "types": frozenset({"SimpleNamespace"}),
    **dict.fromkeys(
        ("datetime", "decimal", "enum", "fractions", "ipaddress", "math", "numbers", "pathlib", "statistics", "time",
         "typing", "uuid", "zoneinfo", "_strptime"),
        _EVERYTHING,
    ),
}  # fmt: skip
"""Modules of Python's library whose objects training scripts keep beside the weights, and which of their names."""
_HARMLESS_BUILTINS = frozenset(
    ("object", "slice", "range", "xrange", "bytearray", "Ellipsis", "NotImplemented", "len", "sum", "max", "min",
     "abs", "round", "sorted", "all", "any", "property", "staticmethod", "classmethod")
)  # fmt: skip
_BUILTINS = ("builtins", "__builtin__")
_BEFORE = frozenset(
    ("cPickle", "commands", "popen2", "urllib2", "imp", "distutils", "asyncore", "asynchat", "smtpd", "pipes", "cgi",
     "telnetlib", "crypt", "nis", "spwd", "os2", "thread", "execfile", "httplib", "new", "xmlrpclib", "posixfile")
)  # fmt: skip
"""Modules of earlier versions of Python's library."""
_RUNNING = frozenset(
    ("pip", "setuptools", "pkg_resources", "cloudpickle", "dill", "joblib", "IPython", "requests", "httpx", "urllib3",
     "aiohttp", "paramiko", "fabric", "invoke", "sh", "pexpect", "psutil", "plumbum", "execnet", "wheel", "ensurepip")
)  # fmt: skip
"""Other packages that run programs, fetch files, or rebuild code from a pickle."""
_RUNNING_PARTS = (
    "torch.hub", "torch.serialization", "torch.package", "torch.jit", "torch.distributed.rpc", "torch._dynamo",
    "torch._inductor", "torch.utils.cpp_extension", "torch.utils.model_zoo", "torch.utils.collect_env",
    "torch.utils.bottleneck", "torch.fx.experimental", "numpy.testing", "numpy.f2py", "numpy.distutils",
    "numpy.lib.npyio", "numpy.ctypeslib", "paddle.hub", "paddle.utils.cpp_extension", "paddle.utils.download",
)  # fmt: skip
"""Parts of the frameworks that do so."""
_RUNNING_NAMES = frozenset(
    ("eval", "exec", "execfile", "compile", "system", "popen", "Popen", "spawn", "spawnl", "spawnv", "fork", "run",
     "run_code", "run_module", "run_path", "runstring", "call", "check_call", "check_output", "getoutput", "open",
     "load", "loads", "import_module", "load_module", "load_library", "load_inline", "load_url", "load_state_dict",
     "getattr", "setattr", "delattr", "attrgetter", "methodcaller", "reduce", "globals", "locals", "vars",
     "input", "breakpoint", "_load_from_bytes", "reduce_graph_module", "reduce_package_graph_module",
     "FunctionType", "CodeType", "LambdaType", "MethodType", "CDLL", "cdll")
)  # fmt: skip
"""Names of functions, in whatever module, that run, open or import something."""
_LONGEST = 400
"""Characters of the name of a global."""
_CLASS = re.compile(r"_*[A-Z]\w*")


def is_refused(module: str, name: str) -> bool:
    """Return True for a global that only an attack or a mistake puts into a checkpoint.

    Args:
        module: The module that a pickle names.
        name: The name within the module; with dots for a class within a class.
    """
    root, parts = module.partition(".")[0], name.split(".")
    if not all(part.isidentifier() for part in (*module.split("."), *parts)):
        return True
    if not all(_CLASS.fullmatch(part) for part in parts[:-1]):  # an attribute of anything but a class
        return True
    if root in _BUILTINS:
        return not (name in _HARMLESS_BUILTINS or name.endswith(("Error", "Exception", "Warning")))
    if root in sys.stdlib_module_names or root in _BEFORE:
        return not {"*", parts[0]} & _HARMLESS.get(root, frozenset())
    return (
        root in _RUNNING
        or any(f"{module}.".startswith(f"{part}.") for part in _RUNNING_PARTS)
        or any(part in _RUNNING_NAMES or re.fullmatch("__.*__", part) for part in parts)
        or any(part in _RUNNING or part in _DANGEROUS for part in module.split(".")[1:])
    )


_DANGEROUS = frozenset(
    ("os", "sys", "subprocess", "posix", "nt", "builtins", "importlib", "ctypes", "shutil", "socket")
)
"""Modules that are refused within another one too, such as `torch.os`."""


@dataclass(slots=True, eq=False, repr=False)
class Inert(Buildable):
    """Stand-in for an object that is recognised and left out: settings of a run, a path, a device, any class at all.

    Attributes:
        name: The class, or the function that would have made the object, `module.name`.
        state: What the pickle gives as the object's state.
        items: What the pickle sets by key.
    """

    name: str
    state: object = None
    items: dict[object, object] | None = None

    def build(self, state: object) -> None:
        """Keep a state, unused."""
        self.state = state

    def extend(self, items: list[object]) -> None:
        """Drop what the pickle appends."""

    @property
    def keyed(self) -> dict[object, object]:
        """Where items that are set by key go."""
        if self.items is None:
            self.items = {}
        return self.items

    @property
    def is_module(self) -> bool:
        """True for a whole pickled model or layer: its state has the tables that torch's modules have."""
        states = self.state if isinstance(self.state, tuple) else (self.state,)
        return any(isinstance(state, dict) and {"_parameters", "_modules"} <= state.keys() for state in states)


def stand_in(module: str, name: str) -> Symbol | None:
    """Return what stands for a class or function, which is not imported; None for one that is refused.

    What calls it in the pickle makes another stand-in of the same name.
    """
    if len(module) + len(name) > _LONGEST or is_refused(module, name):
        return None
    known = f"{module}.{name}"

    def call(arguments: tuple[object, ...]) -> object:
        match arguments:
            case (Symbol(made), *_) if name == "_reconstructor":
                return Inert(made)
        return Inert(known)

    return Symbol(known, call)


def attribute(arguments: tuple[object, ...]) -> object:
    """Return a stand-in for a method of a class or object that is itself one: nothing is looked up.

    Protocol 2 pickles a bound method as `getattr(class, "mean")`; MMEngine keeps such beside the weights.

    Raises:
        Unsafe: The attribute is of anything else, such as a module, or has a name that runs something.
    """
    match arguments:
        case (Symbol(name) | Inert(name), str() as attribute):
            module, _, kind = name.rpartition(".")
            if not is_refused(module, f"{kind}.{attribute}"):
                return Inert(f"{name}.{attribute}")
    raise Unsafe(
        "asks for getattr of something other than a method of a class beside the weights; nothing was executed"
    )
