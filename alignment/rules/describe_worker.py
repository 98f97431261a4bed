"""One framework's model taken apart, in a process of its own: what `alignment.rules.settle` derives rules from.

The model is run once on random inputs, with random weights, so that two modules are given the same input only if they
are wired so: as built, many start with zeros, and pass on what they are given.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from alignment.arrays import Array, Batch, first_rows
from alignment.backends.base import Backend, Module, Outputs, Runtime, Tap, Taps, Visit
from alignment.backends.building import build_model
from alignment.pair import Origin, Pair, Role, Side, locate
from alignment.pair.contract import bare
from alignment.pair.inputs import random_batch
from alignment.pair.model_description import (
    FEWER,
    TRACED_BATCH,
    Cut,
    ModelDescription,
    ModuleInfo,
    OutputInfo,
    TensorInfo,
    pack,
)
from alignment.pair.units import units_of
from alignment.processes.serving import Advance, JsonRequest, serve
from alignment.rules.dataflow import successors
from alignment.rules.evidence import gather, randomised
from alignment.rules.pieces import cut_graph, cut_of, piece, piece_shape
from alignment.rules.tensor_graph import contract
from porting.fields import decode, encode

_OTHER_SEED = 1


@dataclass(frozen=True)
class Question(JsonRequest):
    """Which model to describe; plain JSON values.

    Attributes:
        target: Where the pair is declared, see `alignment.pair.Origin`.
        arguments: Arguments of the declaration, if it is a function.
        role: `reference` or `candidate`.
        threads: CPU threads.
        answer: File for the description.
        evidence: File for what the model gave with which weights, see `alignment.rules.evidence`; empty for none.
        modules: Whether to find which modules come after which, and not which tensors do: takes a pass for each.
    """

    target: str
    arguments: Mapping[str, Any]
    role: Role
    threads: int
    answer: str
    evidence: str = ""
    modules: bool = False


def describe(pair: Pair, role: Role, backend: Backend, *, by_modules: bool = False) -> ModelDescription:
    """Describe the model that a backend has built.

    Args:
        pair: What is aligned.
        role: The side that it plays.
        backend: Its framework, with the model.
        by_modules: Find which modules come after which, and not which tensors do.
    """
    state, taps = backend.state(), backend.taps()
    buffers, tied = backend.buffers(), backend.tied()
    tensors = {
        name: TensorInfo(array.shape, array.dtype.name, name in buffers, tied.get(name, ""))
        for name, array in state.items()
    }
    _randomise(backend, state, buffers)
    batch = random_batch(pair, TRACED_BATCH, seed=0)
    picked: tuple[dict[str, Array], dict[str, Array]] = ({}, {})
    gave: tuple[dict[str, bytes], dict[str, bytes]] = ({}, {})
    modules, given = _traced(backend, taps, batch, _both(_picking(picked[0]), _digesting(gave[0], TRACED_BATCH)))
    with taps.watch(_both(_picking(picked[1]), _digesting(gave[1], FEWER))):
        fewer = backend.forward(random_batch(pair, FEWER, seed=1), None)
    logits = given.logits
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
    drawn = _drawn(pair.side(role), {name: state[name] for name in constants})
    constants = [name for name in constants if name not in drawn]
    values = {name: replace(tensors[name], values=pack(state[name])) for name in constants}
    model = replace(model, tensors={**tensors, **values})
    same = {path for path, digest in gave[0].items() if gave[1].get(path) == digest}
    fixed = [
        name for module in modules if module.path in same or _same_rows(module.path, picked) for name in module.tensors
    ]
    rows = first_rows(batch, FEWER)
    return _modules_in_order(model, backend, rows) if by_modules else _tensors_in_order(model, backend, rows, fixed)


def _modules_in_order(model: ModelDescription, backend: Backend, rows: Batch) -> ModelDescription:
    """The description with which modules come after which."""
    after = successors(backend.taps(), lambda: backend.forward(rows, None), _forms(model))
    return replace(model, modules=tuple(replace(module, after=after.get(module.path, ())) for module in model.modules))


def _tensors_in_order(model: ModelDescription, backend: Backend, rows: Batch, fixed: Sequence[str]) -> ModelDescription:
    """The description with which tensors come after which, where the framework tells.

    Args:
        model: The description without it.
        backend: The framework, with the model.
        rows: Inputs that the model takes.
        fixed: Names of tensors whose modules pick the same rows for any input.
    """
    graph = backend.graph(rows)
    if graph is not None:
        shapes = {name: info.shape for name, info in model.tensors.items()}
        order = partial(contract, integers=_has_integers(rows), fixed=fixed)
        whole = order(graph, shapes)
        loose = {name: shape for name, shape in shapes.items() if name in whole.before}
        graph, pieces = cut_graph(graph, loose)
        sizes = {
            piece(name, place): piece_shape(shapes[name], count) or ()
            for name, count in pieces.items()
            for place in range(count)
        }
        cut = cut_of(order(graph, shapes | sizes), pieces) if pieces else Cut()
        return replace(model, before=whole.before, last=whole.last, cut=cut)
    return model


def _drawn(side: Side, buffers: Mapping[str, Array]) -> set[str]:
    """Names of the buffers that are drawn at random when the model is built: these are state, not constants.

    Args:
        side: Of which the model is built once more, with another seed.
        buffers: What was built first.
    """
    floating = {name: array for name, array in buffers.items() if array.dtype.kind == "f" and array.size}
    if not floating or side.function:
        return set()
    again = build_model(side, Runtime(seed=_OTHER_SEED)).state()
    return {name for name, array in floating.items() if not np.array_equal(array, again.get(name, ()), equal_nan=True)}


def _has_integers(batch: Batch) -> bool:
    arrays = batch.values() if isinstance(batch, Mapping) else [batch]
    return any(array.dtype.kind in "iu" for array in arrays)


def _picking(rows: dict[str, Array]) -> Visit:
    """Keeps the first integers that each module is given."""

    def visit(tap: Tap, array: Array) -> None:
        if tap.what == "integers" and not tap.call and not tap.index:
            rows[tap.path] = array

    return visit


def _digesting(gave: dict[str, bytes], rows: int) -> Visit:
    """Keeps a digest of the first output of each module, of as many rows as all batches have."""

    def visit(tap: Tap, array: Array) -> None:
        if tap.what == "output" and not tap.call and not tap.index:
            first = array[:FEWER] if array.ndim and len(array) == rows else array
            gave[tap.path] = hashlib.blake2b(first.tobytes(), digest_size=12).digest()

    return visit


def _both(one: Visit, other: Visit) -> Visit:
    """Visits twice."""

    def visit(tap: Tap, array: Array) -> None:
        one(tap, array)
        other(tap, array)

    return visit


def _same_rows(path: str, picked: tuple[Mapping[str, Array], Mapping[str, Array]]) -> bool:
    """Whether a module was given the same integers for two batches, so that they are no input: positions."""
    one, other = (rows.get(path) for rows in picked)
    if one is None or other is None:
        return False
    return one.shape[1:] == other.shape[1:] and np.array_equal(one[: len(other)], other[: len(one)])


def _traced(backend: Backend, taps: Taps, batch: Batch, also: Visit) -> tuple[tuple[ModuleInfo, ...], Outputs]:
    """The modules with the order, input digest and output digest of their first calls; and what the model gives."""
    calls: dict[str, int] = {}
    seen: dict[tuple[str, str], str] = {}

    def visit(tap: Tap, array: Array) -> None:
        also(tap, array)
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
            padding=_padding(module),
        )
        for path, module in taps.modules.items()
    )
    return modules, given


def _padding(module: Module) -> int:
    """The `padding_idx` of an embedding; -1 for none, and for other modules."""
    number = module.settings.get("padding_idx")
    return number if len(module.parameters) == 1 and isinstance(number, int) and number >= 0 else -1


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
    backend.set_state(randomised({name: array for name, array in state.items() if name not in buffers}))


def main(arguments: list[str]) -> int:
    """Answer the question in the file that is named; returns the exit code."""

    def work(advance: Advance) -> None:
        question = decode(Question, json.loads(Path(arguments[0]).read_text(encoding="utf-8")))
        pair = locate(Origin(question.target, question.arguments))
        backend = build_model(pair.side(question.role), Runtime(threads=question.threads))
        description = describe(pair, question.role, backend, by_modules=question.modules)
        Path(question.answer).write_text(json.dumps(encode(description)), encoding="utf-8")
        advance("described", 1, 2)
        if question.evidence and description.before:
            gather(pair, backend, description).write(Path(question.evidence))
        advance("described", 2, 2)

    return serve(work)
