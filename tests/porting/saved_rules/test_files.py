"""Files of rules: written and read as they were, and refused with every row that does not fit."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from porting.errors import RulesError
from porting.operations import Op, Transpose
from porting.rules import rule
from porting.saved_rules import SavedSide, SavedTable, TensorInfo, read_table, table_to_json, write_table
from tests.porting.saved_rules import bert

_OWN = """
from dataclasses import dataclass
from porting.operations import Op

@dataclass(frozen=True)
class Same(Op):
    axes: tuple[int, ...] = (0,)

    @property
    def inverse(self):
        return self

    def shapes(self, shape):
        return (shape,)

    def apply(self, array):
        return (array.copy(),)
"""


def _changed(folder: Path, change: Callable[[Any], object]) -> Path:
    value = table_to_json(bert.table())
    change(value)
    path = folder / "bert.json"
    path.write_text(json.dumps(value))
    return path


def test_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    table = replace(bert.table(), evidence={"lm_bias": "structure"})
    write_table(table, tmp_path / "bert.json")
    again = read_table(tmp_path / "bert.json")
    assert (again.reference, again.candidate) == (table.reference, table.candidate)
    assert again.evidence["lm_bias"] == "structure"
    for side in ("reference", "candidate"):
        assert again.plan(side).outputs == table.plan(side).outputs
        assert again.plan(side).dropped == table.plan(side).dropped
    assert table_to_json(again) == table_to_json(table)
    value = json.loads((tmp_path / "bert.json").read_text())
    assert value["format"] == "pit-align rules 2"
    row = next(row for row in value["rules"] if row["target"] == "blocks.1.qkv.weight")
    assert row["operations"] == [
        "transpose each of 3",
        "join 3 along 1",
        "interleave 3 parts of 2 groups along 1",
    ]


def test_rows_in_another_order_are_read_as_the_same_rules(tmp_path: Path) -> None:
    path = _changed(tmp_path, lambda value: value["rules"].reverse())
    assert read_table(path).plan("reference").outputs == bert.table().plan("reference").outputs


def test_drop_of_another_name_is_that_very_tensor_on_the_way_back() -> None:
    back = bert.table().plan("candidate")
    assert back.outputs["decoder.weight"] == back.outputs["embeddings.word.weight"]


def _row(named: str, **fields: Any) -> Callable[[Any], object]:
    def change(value: Any) -> None:
        next(row for row in value["rules"] if row["target"] == named).update(fields)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda value: value.update(format="pit-align rules 3"),
            "is of format 3, and this version reads",
        ),
        (lambda value: value.update(format="pit-align rules"), "holds no rules"),
        (lambda value: value.update(scale=2), "'scale': unknown field"),
        (lambda value: value["rules"][0].update(scale=2), r"rules\[0\].scale: unknown field"),
        (lambda value: value["reference"].update(framework="jax"), "reference.framework: 'jax' is not known"),
        (lambda value: value["reference"].pop("tensors"), "reference.tensors: expected a table"),
        (
            _row("pool.weight", operations=["rotate"]),
            r"rules\[\d+\]: .*'rotate' is no operation",
        ),
        (_row("pool.weight", operations=[]), r"rules\[\d+\]: pool.weight is \(8, 3\), expected \(3, 8\)"),
        (
            _row("pool.weight", operations=["transpose", "unsqueeze 0"]),
            r"rules\[\d+\]: pool.weight is \(1, 3, 8\), expected \(3, 8\), made by \(8, 3\) -> transpose -> \(3, 8\)",
        ),
        (_row("pool.weight", sources=["poler.weight"]), r"rules\[\d+\].sources: .*'poler.weight'; did you mean pooler"),
        (_row("pool.weight", target="pol.weight"), r"rules\[\d+\].target: .*'pol.weight'; did you mean pool.weight"),
        (_row("pool.weight", sources=["decoder.bias"]), r"rules\[\d+\]: takes decoder.bias, as rules\[\d+\] does"),
        (_row("pool.weight", target="lm_bias"), r"rules\[\d+\]: gives lm_bias, as rules\[\d+\] does"),
        (_row("pool.weight", sources=["{i}.weight"]), "a name with braces"),
        (_row("pool.weight", target=None), r"rules\[\d+\]: a rule is written wrongly: .*the operation takes"),
        (_row("lm_bias_again", output=0), "its outputs are numbered"),
        (_row("lm_bias_again", output=7), "its outputs are numbered"),
        (_row("pool.weight", operations=["drop token 1"]), "is no operation"),
        (_row("pool.weight", operations=["transpose"] * 3 + ["own os:system"]), "run only if you allow it"),
        (lambda value: value["rules"].pop(0), r"the rules have 3 mistakes\n.*no row|no row takes|no row gives"),
        (lambda value: value["rules"].append(value["rules"][0]), r"rules\[\d+\]: is rules\[0\] once more"),
        (_row("pool.weight", shape=[8, 3]), r"rules\[\d+\].shape: \(8, 3\), and pool.weight has \(3, 8\)"),
        (
            lambda value: value["reference"]["tensors"]["decoder.weight"].update(same_as="pooler.weight"),
            "reference.tensors.decoder.weight.same_as: 'pooler.weight' is another tensor",
        ),
        (
            lambda value: value["reference"]["tensors"]["embeddings.position_ids"].update(values="eJw="),
            "position_ids.values: ",
        ),
        (
            lambda value: value["reference"]["tensors"]["decoder.bias"].update(dtype="object", values="eJw="),
            "decoder.bias.values: 'object' is no dtype",
        ),
        (
            lambda value: value["reference"]["tensors"]["decoder.bias"].update(shape=[2**60]),
            "decoder.bias.shape: has",
        ),
        (
            lambda value: value["reference"]["tensors"]["decoder.bias"].update(shape=[2**30], values="eJw="),
            "reference.tensors: the constants have more values than",
        ),
    ],
)
def test_file_edited_into_nonsense_is_refused_with_the_row(
    change: Callable[[Any], object], message: str, tmp_path: Path
) -> None:
    with pytest.raises(RulesError, match=message) as caught:
        read_table(_changed(tmp_path, change))
    assert str(caught.value).startswith(str(tmp_path / "bert.json"))


def test_all_rows_that_do_not_fit_are_in_one_error(tmp_path: Path) -> None:
    def change(value: Any) -> None:
        _row("pool.weight", operations=[])(value)
        _row("word_embeddings.weight", operations=["transpose"])(value)

    with pytest.raises(RulesError, match="the rules have 2 mistakes") as caught:
        read_table(_changed(tmp_path, change))
    assert len(caught.value.details) == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read as rules"),
        (b"\xff\xfe", "cannot be read as rules"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[]", "holds no rules"),
        (b'{"format": 5}', "holds no rules"),
        (b'{"format": "pit-align rules 2"}', "reference: expected a table"),
        (b'{"format": "pit-align rules 2", "format": "pit-align rules 2"}', "stands twice"),
    ],
)
def test_file_that_is_no_rules_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "rules.json").write_bytes(content)
    with pytest.raises(RulesError, match=message):
        read_table(tmp_path / "rules.json")
    with pytest.raises(RulesError, match="cannot be read as rules"):
        read_table(tmp_path / "missing.json")


def test_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "rules.json").open("wb") as file:
        file.truncate(65 << 20)
    with pytest.raises(RulesError, match="it has 68,157,440 bytes, at most 67,108,864 are read"):
        read_table(tmp_path / "rules.json")


def test_operation_of_ones_own_is_read_only_where_its_module_is_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "same_of_a_test.py").write_text(_OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    from importlib import import_module

    op: Op = import_module("same_of_a_test").Same((1, 0))
    sides = SavedSide("torch", {"a": TensorInfo((2, 3))}), SavedSide("paddle", {"b": TensorInfo((3, 2))})
    write_table(SavedTable(*sides, (rule("a", "b", [op, Transpose()]),)), tmp_path / "rules.json")
    monkeypatch.delitem(sys.modules, "same_of_a_test")
    with pytest.raises(RulesError, match=r"rules\[0\]: .*give --allow-code same_of_a_test"):
        read_table(tmp_path / "rules.json")
    assert "same_of_a_test" not in sys.modules
    again = read_table(tmp_path / "rules.json", allowed=["same_of_a_test"])
    assert str(again.rules[0].op) == 'own same_of_a_test:Same {"axes": [1, 0]} then transpose'
    assert again.plan("reference").specs["b"].shape == (3, 2)
