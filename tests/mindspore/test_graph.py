"""The operations of a MindSpore model, read off what it is compiled to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest


@pytest.fixture(scope="module")
def nets(mindspore: Any) -> dict[str, Any]:
    """A net that looks up and multiplies, one with two outputs, and two that cannot be told."""
    nn, ops = mindspore.nn, mindspore.ops

    class Net(nn.Cell):  # type: ignore[name-defined] # the class is known where MindSpore is
        def __init__(self) -> None:
            super().__init__()
            self.table, self.dense = nn.Embedding(7, 4), nn.Dense(4, 3)

        def construct(self, ids: Any, shift: Any) -> Any:
            return self.dense(ops.relu(self.table(ids) + shift))

    class Two(Net):
        def construct(self, ids: Any, shift: Any) -> Any:
            x = self.table(ids)
            return self.dense(x), x + shift

    class Branching(Net):
        def construct(self, ids: Any, shift: Any) -> Any:
            x = self.table(ids)
            if x.sum() > 0:
                x = x * 2
            return self.dense(x + shift)

    class InPython(Net):
        def construct(self, ids: Any, shift: Any) -> Any:
            return self.dense(mindspore.Tensor(self.table(ids).asnumpy()) + shift)

    return {"net": Net(), "two": Two(), "branching": Branching(), "python": InPython()}


def traced(mindspore: Any, net: Any) -> Any:
    from alignment.backends.mindspore_graph import graph_of

    arguments = [mindspore.Tensor(np.zeros((2, 5), np.int32)), mindspore.Tensor(np.ones((2, 5, 4), np.float32))]
    trained = [parameter.name for parameter in net.trainable_params()]
    return graph_of(net.set_train(False), arguments, {1: "shift"}, trained)


def test_tensors_inputs_lookups_and_products_are_told(mindspore: Any, nets: dict[str, Any]) -> None:
    graph = traced(mindspore, nets["net"])
    assert sorted(graph.tensors.values()) == ["dense.bias", "dense.weight", "table.embedding_table"]
    assert list(graph.inputs.values()) == ["shift"]
    place = {name: at for at, name in graph.tensors.items()}
    (lookup,), (product,) = graph.lookups, graph.products
    assert place["table.embedding_table"] in graph.operands[lookup]
    assert place["dense.weight"] in graph.operands[product]
    (output,) = graph.outputs
    reached, left = set(), [output]
    while left:
        at = left.pop()
        reached.add(at)
        left += graph.operands[at]
    assert {lookup, product, *graph.tensors, *graph.inputs} <= reached
    assert all(operand < at for at, operands in enumerate(graph.operands) for operand in operands)


def test_each_output_is_a_place(mindspore: Any, nets: dict[str, Any]) -> None:
    graph = traced(mindspore, nets["two"])
    assert len(graph.outputs) == 2
    assert len(set(graph.outputs)) == 2


@pytest.mark.parametrize("name", ["branching", "python"])
def test_nothing_is_told_of_a_branch_on_data_or_code_in_python(
    mindspore: Any, nets: dict[str, Any], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert traced(mindspore, nets[name]) is None
    inputs = mindspore.Tensor(np.zeros((2, 5), np.int32)), mindspore.Tensor(np.ones((2, 5, 4), np.float32))
    assert nets[name](*inputs).shape == (2, 5, 3)  # and it still runs
    assert not list(tmp_path.iterdir())  # where MindSpore would write of its failure
