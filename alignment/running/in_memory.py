"""Two models that are in memory already, compared in one process: in a notebook, or in a test of one's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from alignment import backends
from alignment.arrays import Array, Batch
from alignment.backends.base import Backend, Runtime
from alignment.backends.calling import Interface
from alignment.errors import AlignmentError
from alignment.judging.comparing import arrays_of
from alignment.judging.judge import judge
from alignment.pair import ROLES, Role
from alignment.pair.inputs import perturb
from alignment.pair.targets import user_code
from alignment.recordings.recording import Entry, Held, Manifest
from alignment.results.report import Report

_BASES = {"torch": "Module", "paddle": "Layer", "mindspore": "Cell"}
"""Framework to the class of its models."""
_NOISE = 2
"""Reruns of the reference in float32 with inputs one unit in the last place away."""
_ONE = ""
_NOTE = (
    "both models ran in this process, with the weights that they have; only outputs in evaluation mode were compared: "
    "`alignment.run` of a pair compares gradients, training mode and weights too, each side in a process of its own"
)


def align(reference: Any, candidate: Any, inputs: Any, *, name: str = "") -> Report:
    """Run two models that are in memory on the same inputs, in float64 and float32, and judge their outputs.

    Both are put in evaluation mode and cast to float64 and back meanwhile; afterwards their parameters and modes are
    what they were. What this lacks of `alignment.run`: the frameworks share one process with its threads and its
    settings, the models keep the weights that they have, and outputs alone are compared.

    Args:
        reference: A `torch.nn.Module`, `paddle.nn.Layer` or `mindspore.nn.Cell` in float32.
        candidate: Another, of the same or of another framework, whose outputs are to be the same.
        inputs: One array or tensor, the first argument of both; or arrays by the names of the arguments.
        name: Name of the report's model; the class of the candidate by default.

    Raises:
        AlignmentError: A model is none of these classes or not in float32, or fails on the inputs.
    """
    batch = _inputs(inputs)
    recordings: dict[Role, dict[str, Held]] = {}
    for role, model in zip(ROLES, (reference, candidate), strict=True):
        with user_code(f"the {role} model fails"), _borrowed(model, role) as (framework, backend):
            recordings[role] = {
                dtype: _recorded(backend, framework, batch, dtype, role) for dtype in ("float64", "float32")
            }
    report = judge(recordings["reference"], recordings["candidate"], notes=(_NOTE,))
    return replace(report, model=name or type(candidate).__name__)


def _inputs(inputs: Any) -> dict[str, Array]:
    if isinstance(inputs, Mapping):
        return arrays_of(inputs)
    if isinstance(inputs, list | tuple) and any(getattr(item, "shape", ()) for item in inputs):
        raise AlignmentError(
            f"inputs is a {type(inputs).__name__} of {len(inputs)} arrays: give one array, or several by the names of "
            "the arguments of forward: {'x': ..., 'mask': ...}"
        )
    return {_ONE: arrays_of({"inputs": inputs})["inputs"]}


def _framework(model: Any, role: str) -> str:
    for framework, base in _BASES.items():
        if any(kind.__name__ == base and kind.__module__.split(".")[0] == framework for kind in type(model).__mro__):
            return framework
    raise AlignmentError(f"the {role} is a {type(model).__name__}; give a torch.nn.Module or a paddle.nn.Layer")


@contextmanager
def _borrowed(model: Any, role: Role) -> Iterator[tuple[str, Backend]]:
    """The backend of a model, whose precision and modes are restored afterwards."""
    framework = _framework(model, role)
    backend = backends.create(framework, Runtime(deterministic=False))
    modules = list(model.modules() if hasattr(model, "modules") else model.sublayers(include_self=True))
    modes = [module.training for module in modules]
    backend.build(lambda: model, {})
    backend.connect(Interface(declared=False))
    wrong = {array.dtype.name for array in backend.state().values() if array.dtype.kind in "fV"} - {"float32"}
    try:
        if wrong:
            raise AlignmentError(f"the {role} has tensors in {', '.join(sorted(wrong))}: cast it to float32 first")
        yield framework, backend
    finally:
        if not wrong:
            backend.use("float32")
        for module, training in zip(modules, modes, strict=True):
            module.training = training


def _recorded(backend: Backend, framework: str, batch: Mapping[str, Array], dtype: str, role: Role) -> Held:
    """The outputs of a model in one precision, with the noise of the reference in float32."""
    backend.use(dtype)
    given = {name: array.astype(dtype) if array.dtype.kind == "f" else array for name, array in batch.items()}
    outputs = backend.forward(_batch(given), None).by_name
    spreads: dict[str, tuple[float, float]] = dict.fromkeys(outputs, (0.0, 0.0))
    generator = np.random.default_rng(0)
    for _ in range(_NOISE if role == "reference" and dtype == "float32" else 0):
        moved = {name: perturb(array, generator) if array.dtype.kind == "f" else array for name, array in given.items()}
        for name, array in backend.forward(_batch(moved), None).by_name.items():
            difference = array.astype(np.float64) - outputs[name]
            now = float(np.linalg.norm(difference)), float(np.abs(difference).max(initial=0.0))
            spreads[name] = max(spreads[name][0], now[0]), max(spreads[name][1], now[1])
    held = Held(Manifest(framework, dtype, role=role, steps=("forward",)))
    for name, array in outputs.items():
        norm, largest = spreads[name]
        noise = Entry("output", "forward", spread=norm, spread_max=largest)
        held.add(f"forward/{name}", array, noise if norm else Entry("output", "forward"))
    return held


def _batch(arrays: Mapping[str, Array]) -> Batch:
    return arrays[_ONE] if set(arrays) == {_ONE} else arrays
