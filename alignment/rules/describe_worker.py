"""One framework's model taken apart, in a process of its own: what `alignment.rules.settle` derives rules from.

The model is run once on random inputs, with random weights, so that two modules are given the same input only if they
are wired so: as built, many start with zeros, and pass on what they are given.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from alignment.arrays import Array, Batch, first_rows
from alignment.backends.base import Backend, Outputs, Runtime, Tap, Taps
from alignment.backends.building import build_model
from alignment.pair import Origin, Pair, Role, locate
from alignment.pair.contract import bare
from alignment.pair.inputs import random_batch
from alignment.pair.model_description import (
    FEWER,
    TRACED_BATCH,
    ModelDescription,
    ModuleInfo,
    OutputInfo,
    TensorInfo,
    pack,
)
from alignment.pair.units import units_of
from alignment.processes.serving import Advance, JsonRequest, serve
from alignment.rules.dataflow import successors
from porting.fields import decode, encode


@dataclass(frozen=True)
class Question(JsonRequest):
    """Which model to describe; plain JSON values.

    Attributes:
        target: Where the pair is declared, see `alignment.pair.Origin`.
        arguments: Arguments of the declaration, if it is a function.
        role: `reference` or `candidate`.
        threads: CPU threads.
        answer: File for the description.
    """

    target: str
    arguments: Mapping[str, Any]
    role: Role
    threads: int
    answer: str


def describe(pair: Pair, role: Role, backend: Backend) -> ModelDescription:
    """Describe the model that a backend has built.

    Args:
        pair: What is aligned.
        role: The side that it plays.
        backend: Its framework, with the model.
    """
    state, taps = backend.state(), backend.taps()
    buffers, tied = backend.buffers(), backend.tied()
    tensors = {
        name: TensorInfo(array.shape, array.dtype.name, name in buffers, tied.get(name, ""))
        for name, array in state.items()
    }
    _randomise(backend, state, buffers)
    batch = random_batch(pair, TRACED_BATCH, seed=0)
    modules, given = _traced(backend, taps, batch)
    logits, fewer = given.logits, backend.forward(first_rows(batch, FEWER), None)
    model = ModelDescription(
        framework=pair.side(role).framework,
        modules=modules,
        tensors=tensors,
        output=logits.shape,
        fewer=fewer.logits.shape,
        gives=logits.dtype.name,
        zeros=not any(array.any() for array in given.by_name.values()),
        function=bool(pair.side(role).function),
        outputs={
            name: OutputInfo(array.shape, fewer.named[name].shape if name in fewer.named else (), array.dtype.name)
            for name, array in given.named.items()
        },
        others=given.others,
    )
    constants = [part.name for part in bare(units_of(model)) if part.buffer]
    values = {name: replace(tensors[name], values=pack(state[name])) for name in constants}
    model = replace(model, tensors={**tensors, **values})
    after = successors(taps, lambda: backend.forward(first_rows(batch, FEWER), None), _forms(model))
    return replace(model, modules=tuple(replace(module, after=after.get(module.path, ())) for module in modules))


def _traced(backend: Backend, taps: Taps, batch: Batch) -> tuple[tuple[ModuleInfo, ...], Outputs]:
    """The modules with the order, input digest and output digest of their first calls; and what the model gives."""
    calls: dict[str, int] = {}
    seen: dict[tuple[str, str], str] = {}

    def visit(tap: Tap, array: Array) -> None:
        if not tap.call and not tap.index:
            calls.setdefault(tap.path, len(calls))
            digest = hashlib.blake2b(array.tobytes(), digest_size=12).hexdigest()
            seen.setdefault((tap.path, tap.what), digest)

    with taps.watch(visit):
        given = backend.forward(batch, None)
    modules = tuple(
        ModuleInfo(
            *(path, module.kind, module.bases, module.parameters, calls.get(path)),
            given=seen.get((path, "input"), ""),
            gave=seen.get((path, "output"), ""),
        )
        for path, module in taps.modules.items()
    )
    return modules, given


def _forms(model: ModelDescription) -> list[list[str]]:
    """Paths of the modules that hold tensors of the same kind and shapes, in the order in which they are called."""
    calls = {module.path: module.call for module in model.modules if module.given and module.call is not None}
    forms: dict[object, list[str]] = defaultdict(list)
    for unit in units_of(model):
        if unit.module in calls and unit.module not in forms[unit.signature]:
            forms[unit.signature].append(unit.module)
    ordered = [sorted(paths, key=lambda path: calls[path]) for paths in forms.values()]
    return [list(paths) for paths in dict.fromkeys(map(tuple, ordered))]


def _randomise(backend: Backend, state: Mapping[str, Array], buffers: frozenset[str]) -> None:
    generator = np.random.default_rng(0)
    parameters = {name: array for name, array in state.items() if name not in buffers and array.dtype.kind not in "biu"}
    drawn = {name: array + 0.1 * generator.standard_normal(array.shape) for name, array in parameters.items()}
    backend.set_state({name: array.astype(np.float32) for name, array in drawn.items()})


def main(arguments: list[str]) -> int:
    """Answer the question in the file that is named; returns the exit code."""

    def work(_: Advance) -> None:
        question = decode(Question, json.loads(Path(arguments[0]).read_text(encoding="utf-8")))
        pair = locate(Origin(question.target, question.arguments))
        backend = build_model(pair.side(question.role), Runtime(threads=question.threads))
        answer = json.dumps(encode(describe(pair, question.role, backend)))
        Path(question.answer).write_text(answer, encoding="utf-8")

    return serve(work)
