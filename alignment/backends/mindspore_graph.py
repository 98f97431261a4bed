"""The operations of one pass of a MindSpore model, read off the graph that it compiles the model to."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import mindspore
from mindspore import Tensor, nn
from mindspore.train.mind_ir_pb2 import ModelProto

from alignment.backends.graph import OperationGraph, walk

_PASS_ON = frozenset({"Load", "Depend", "Identity", "Return"})
"""Operations that give what they take first; what they take besides tells when they run."""
_TUPLE = "MakeTuple"
_LOOKUPS = frozenset({"Gather", "EmbeddingLookup", "Embedding"})
_KINDS = {"BatchMatMul": "MatMul", "BatchMatMulExt": "MatMul", "Dense": "Linear", "GatherD": "Gather"}


class _Node(NamedTuple):
    """An operation, a parameter or an input; the first output of a node stands for it."""

    name: str
    kind: str
    operands: tuple[str, ...]


def graph_of(
    model: nn.Cell, arguments: Sequence[Tensor], inputs: Mapping[int, str], trained: Collection[str]
) -> OperationGraph | None:
    """The operations of a pass; None where MindSpore cannot compile the model, or a branch in it depends on data.

    Args:
        model: The model, in evaluation mode.
        arguments: What it is called with, by position.
        inputs: Place of an argument of floating-point numbers to the input's name.
        trained: Names of the parameters that count.
    """
    compiled = _compiled(model, arguments)
    if compiled is None or compiled.functions:
        return None
    graph = compiled.graph
    kinds = {primitive.name: primitive.op_type for primitive in compiled.primitives}
    nodes = {parameter.name: _Node(parameter.name, "", ()) for parameter in graph.parameter}
    nodes |= {given.name: _Node(given.name, "", ()) for given in graph.input}
    for own in graph.node:
        kind = kinds.get(own.op_type, own.op_type.rpartition("::")[2].partition(":")[0])
        nodes |= {name: _Node(own.output[0], kind, tuple(own.input)) for name in own.output}
    parameters = {name: name.partition(":")[2] for name in (parameter.name for parameter in graph.parameter)}
    given = {graph.input[place].name: name for place, name in inputs.items()}
    node = _resolving(nodes)
    roots = [part for output in graph.output for part in _parts(node, output.name)]

    def kind_of(one: _Node) -> str:
        if one.kind in _LOOKUPS:
            table = node(one.operands[0])
            return "Embedding" if table is not None and table.name in parameters else "Gather"
        return _KINDS.get(one.kind, one.kind)

    return walk(
        roots,
        key=lambda one: one.name,
        operands=lambda one: map(node, one.operands),
        tensor=lambda one: parameters[one.name] if parameters.get(one.name) in trained else None,
        model_input=lambda one: given.get(one.name),
        kind=kind_of,
    )


def _compiled(model: nn.Cell, arguments: Sequence[Tensor]) -> Any:
    """What MindSpore makes of a model, as its own message; None where it cannot compile it."""
    with tempfile.TemporaryDirectory() as folder, _reporting_to(folder):
        try:
            mindspore.export(model, *arguments, file_name=str(Path(folder, "graph")), file_format="MINDIR")
        except Exception:  # whatever its compiler raises of code that is Python and no graph
            return None
        compiled = ModelProto()
        compiled.ParseFromString(next(Path(folder).glob("*.mindir")).read_bytes())
        return compiled


@contextmanager
def _reporting_to(folder: str) -> Iterator[None]:
    """Let MindSpore write what it says of a failure there, and not in the folder in which a user works."""
    name = "MS_OM_PATH"
    before = os.environ.get(name)
    os.environ[name] = folder
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _resolving(nodes: Mapping[str, _Node]) -> Callable[[str], _Node | None]:
    """The node behind a name, without those that pass on what they take; None for constants and orders of running."""

    def node(name: str) -> _Node | None:
        one = nodes.get(name)
        while one is not None and one.kind in _PASS_ON:
            one = nodes.get(one.operands[0])
        return None if one is None or one.kind in ("Constant", "UpdateState") else one

    return node


def _parts(node: Callable[[str], _Node | None], name: str) -> list[_Node]:
    """What a model gives: the parts of a tuple, or one tensor."""
    one = node(name)
    if one is None:
        return []
    return [part for operand in one.operands for part in _parts(node, operand)] if one.kind == _TUPLE else [one]
