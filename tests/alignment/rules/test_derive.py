"""Rules derived from what modules are: transposed because a Linear, matched by name and order, never guessed."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignment.errors import AlignmentError, FileError
from alignment.pair.contract import Contract
from alignment.pair.model_description import ModelDescription, TensorInfo, pack
from alignment.rules.derive import derive
from porting.checkpoint import LazyTensor
from porting.operations import Concat, Split, Squeeze, Tie, Transpose, Unsqueeze, Untie
from porting.rules import drop, fill, rule
from tests.alignment.models_in_words import Layer, layer, linear, model, norm, rows

_LINEAR = ("weight", "bias")


def _conv(path: str, out: int, into: int, given: str = "") -> Layer:
    return layer(path, "Conv2d", given, weight=(out, into, 3, 3))


def _problems(*arguments: object, **options: object) -> str:
    with pytest.raises(AlignmentError) as caught:
        derive(*arguments, **{"auto": True, **options})  # type: ignore[arg-type] # options by name
    return str(caught.value)


def test_square_linear_weight_is_transposed() -> None:
    contract = derive(model(linear("fc", 8, 8)), model(linear("fc", 8, 8, "paddle"), framework="paddle"), [], auto=True)
    assert rows(contract.rules) == {"fc.weight -> fc.weight (transpose)", "fc.bias -> fc.bias"}


def test_square_weight_of_an_unknown_module_is_not_transposed() -> None:
    own = layer("fc", "Linear", base="Module", weight=(8, 8))
    contract = derive(model(own), model(own, framework="paddle"), [], auto=True)
    assert rows(contract.rules) == {"fc.weight -> fc.weight"}


def test_square_weights_of_a_linear_and_an_unknown_module_do_not_match() -> None:
    own = layer("fc", "Linear", base="Module", weight=(8, 8))
    message = _problems(model(linear("fc", 8, 8, bias=False)), model(own, framework="paddle"), [])
    assert "only in the reference: fc.weight (8, 8), of a Linear; nearest in the candidate: fc.weight (8, 8)" in message
    assert "only in the candidate: fc.weight (8, 8), a bare tensor" in message


def test_subclass_of_a_linear_is_transposed_as_a_linear() -> None:
    mine = layer("fc", "MyLinear", base="Linear", weight=(8, 8))
    contract = derive(model(mine), model(mine, framework="paddle"), [], auto=True)
    assert rows(contract.rules) == {"fc.weight -> fc.weight (transpose)"}


@pytest.mark.parametrize("framework", ["torch", "paddle", "mindspore"])
@pytest.mark.parametrize("other", ["torch", "paddle", "mindspore"])
def test_batch_norms_under_each_frameworks_names(framework: str, other: str) -> None:
    one, two = model(norm("bn", 4, framework), framework=framework), model(norm("n", 4, other), framework=other)
    contract = derive(one, two, [], auto=True)
    mean = {"torch": "running_mean", "paddle": "_mean", "mindspore": "moving_mean"}
    scale = {"torch": "weight", "paddle": "weight", "mindspore": "gamma"}
    made_of = {name: contract.table.sources_of(name) for name in contract.table.outputs}
    assert made_of[f"n.{mean[other]}"] == (f"bn.{mean[framework]}",)
    assert made_of[f"n.{scale[other]}"] == (f"bn.{scale[framework]}",)
    dropped = contract.table.dropped.get("bn.num_batches_tracked", "")
    assert dropped.startswith("counts batches") == (framework == "torch" != other)
    architecture = contract.architecture("net", (3, 8, 8))
    assert set(architecture.statistics) == {"bn.running_mean", "bn.running_var"}
    assert architecture.counters == (("bn.num_batches_tracked",) if framework == "torch" else ())


def test_convolutions_and_embeddings_stay_as_they_are() -> None:
    embedding = layer("e", "Embedding", weight=(6, 6)), layer("e", "Embedding", embedding_table=(6, 6))
    conv = layer("c", "Conv2d", weight=(4, 4, 3, 3)), layer("c", "Conv2D", weight=(4, 4, 3, 3))
    paddle = derive(model(embedding[0], conv[0]), model(embedding[0], conv[1], framework="paddle"), [], auto=True)
    assert rows(paddle.rules) == {"e.weight -> e.weight", "c.weight -> c.weight"}
    mindspore = derive(model(embedding[0]), model(embedding[1], framework="mindspore"), [], auto=True)
    assert rows(mindspore.rules) == {"e.weight -> e.embedding_table"}


def test_renamed_modules_are_matched_by_order_of_execution() -> None:
    one = model(*(_conv(f"layer.{i}.conv{j}", 4, 4) for i in range(3) for j in (1, 2)))
    two = model(
        *(_conv(f"stage.{i}.{name}", 4, 4) for i in range(3) for name in ("first", "second")), framework="paddle"
    )
    contract = derive(one, two, [], auto=True)
    assert "layer.1.conv2.weight -> stage.1.second.weight" in rows(contract.rules)
    assert set(contract.evidence.values()) == {"order"}


def test_shifted_indices_are_ignored() -> None:
    """Where activations are modules on one side only, equal numbers are not equal modules."""
    one = model(*(_conv(f"features.{2 * i}", 4, 4) for i in range(5)))
    two = model(*(_conv(f"features.{i}", 4, 4) for i in range(5)), framework="paddle")
    assert "features.4.weight -> features.2.weight" in rows(derive(one, two, [], auto=True).rules)


@given(st.permutations(range(6)))
def test_modules_listed_in_another_order_are_matched_by_name(order: list[int]) -> None:
    layers = [_conv(f"block.{i}.conv", 4, 4) for i in range(6)]
    permuted = model(*(layers[i] for i in order), framework="paddle")
    contract = derive(model(*layers), permuted, [], auto=True)
    assert rows(contract.rules) == {f"block.{i}.conv.weight -> block.{i}.conv.weight" for i in range(6)}


@given(st.integers(0, 2**32), st.integers(1, 5))
def test_every_tensor_of_a_renamed_chain_is_used_once_and_goes_back(seed: int, depth: int) -> None:
    draw = random.Random(seed)
    widths = [draw.choice([4, 8]) for _ in range(depth + 1)]
    one = model(*(linear(f"a.{i}", widths[i + 1], widths[i]) for i in range(depth)))
    two = model(*(linear(f"b{i}.fc", widths[i + 1], widths[i], "paddle") for i in range(depth)), framework="paddle")
    contract = derive(one, two, [], auto=True)
    arrays = {name: np.random.default_rng(seed).random(info.shape) for name, info in one.tensors.items()}
    there = contract.outward("candidate").apply({name: LazyTensor.of(array) for name, array in arrays.items()})
    assert {name: tensor.shape for name, tensor in there.items()} == {n: i.shape for n, i in two.tensors.items()}
    for i in range(depth):
        assert np.array_equal(there[f"b{i}.fc.weight"].load(), arrays[f"a.{i}.weight"].T)
    back = contract.inward("candidate").apply(there)
    assert all(np.array_equal(back[name].load(), array) for name, array in arrays.items())


def test_prefix_on_one_side_is_ignored() -> None:
    one = model(linear("q", 4, 4, given="x"), linear("k", 4, 4, given="x"))
    two = model(*(linear(f"net.attn.{n}", 4, 4, "paddle", given="x") for n in "kq"), framework="paddle")
    assert "q.weight -> net.attn.q.weight (transpose)" in rows(derive(one, two, [], auto=True).rules)


def test_modules_with_the_same_input_are_matched_by_similar_names() -> None:
    one = model(*(linear(name, 4, 4, given="x") for name in ("q", "k", "v")))
    two = model(*(linear(n, 4, 4, "paddle", given="y") for n in ("value", "key", "query")), framework="paddle")
    contract = derive(one, two, [], auto=True)
    assert {"q.bias -> query.bias", "k.bias -> key.bias", "v.bias -> value.bias"} <= rows(contract.rules)
    assert set(contract.evidence.values()) == {"similar name"}


def test_ambiguous_modules_with_the_same_input_are_refused() -> None:
    one = model(linear("gate", 4, 4, given="x"), linear("up", 4, 4, given="x"))
    two = model(*(linear(name, 4, 4, "paddle", given="y") for name in ("w1", "w3")), framework="paddle")
    message = _problems(one, two, [])
    assert "several equally good ways: gate, up of the reference with w1, w3 of the candidate, all Linear" in message
    assert "rules=['auto', rule(" in message
    explicit = [rule("gate.{part:weight}", "w3.{part}", Transpose()), rule("gate.bias", "w3.bias")]
    contract = derive(one, two, explicit, auto=True)
    assert "up.weight -> w1.weight (transpose)" in rows(contract.rules)
    assert contract.evidence["w1.weight"] == "only one"


def test_modules_that_were_not_called_are_ambiguous_without_names() -> None:
    unseen = [layer(name, "Linear", call=None, weight=(4, 4)) for name in ("one", "two")]
    others = [layer(name, "Linear", call=None, weight=(4, 4)) for name in ("a", "b")]
    assert "several equally good ways: one, two" in _problems(model(*unseen), model(*others, framework="paddle"), [])


def test_missing_and_extra_modules_are_listed_in_one_error() -> None:
    one = model(linear("head", 4, 8), linear("aux", 5, 8), norm("bn", 8))
    two = model(linear("head", 4, 8, "paddle"), linear("extra", 9, 9, "paddle"), framework="paddle")
    message = _problems(one, two, [])
    for line in (
        "only in the reference: aux.weight (5, 8), of a Linear; nearest in the candidate: extra.weight (9, 9)",
        "only in the reference: aux.bias (5,), of a Linear",
        "only in the reference: bn.running_mean (8,), of a BatchNorm",
        "only in the candidate: extra.weight (9, 9), of a Linear; nearest in the reference: aux.weight (5, 8)",
    ):
        assert line.partition(";")[0] in message, line
    assert "num_batches_tracked" not in message


def test_bias_that_one_side_lacks_needs_a_drop_or_fill_rule() -> None:
    one, two = model(linear("fc", 4, 8)), model(linear("fc", 4, 8, "paddle", bias=False), framework="paddle")
    assert "only in the reference: fc.bias (4,), of a Linear" in _problems(one, two, [])
    contract = derive(one, two, [drop("fc.bias", "it is zero")], auto=True)
    assert "fc.weight -> fc.weight (transpose)" in rows(contract.rules)
    other = derive(two, one, [fill("fc.bias", "it is zero")], auto=True)
    assert other.table.filled == ("fc.bias",)


def test_bare_parameters_are_matched_by_name() -> None:
    one = model(layer("", "Net", base="", cls_token=(1, 1, 8), dist_token=(1, 1, 8), pos_embed=(1, 5, 8)))
    two = model(
        layer("body", "Net", base="", dist_token=(1, 1, 8), class_token=(1, 1, 8), position=(1, 5, 8)),
        framework="paddle",
    )
    contract = derive(one, two, [], auto=True)
    assert rows(contract.rules) == {
        "cls_token -> body.class_token",
        "dist_token -> body.dist_token",
        "pos_embed -> body.position",
    }


def test_norm_written_by_hand_matches_the_frameworks_norm_of_the_same_name() -> None:
    one = model(layer("norm", "LayerNorm", base="Module", weight=(8,), bias=(8,)))
    two = model(layer("norm", "LayerNorm", weight=(8,), bias=(8,)), framework="paddle")
    assert rows(derive(one, two, [], auto=True).rules) == {"norm.weight -> norm.weight", "norm.bias -> norm.bias"}


def test_tied_weight_has_one_canonical_tensor() -> None:
    embedding = layer("embed", "Embedding", weight=(9, 4))
    one = model(embedding, linear("head", 9, 4, bias=False), tied={"head.weight": "embed.weight"})
    two = model(embedding, framework="paddle")
    contract = derive(one, two, [], auto=True)
    assert contract.table.dropped == {"head.weight": "the same tensor as embed.weight"}
    assert list(contract.architecture("lm", (5,)).tensors) == ["embed.weight"]
    array = np.arange(36.0).reshape(9, 4)
    there = contract.outward("reference").apply({"embed.weight": LazyTensor.of(array)})
    assert np.array_equal(there["head.weight"].load(), there["embed.weight"].load())
    back = contract.inward("candidate").apply({"embed.weight": LazyTensor.of(array)})
    assert np.array_equal(back["embed.weight"].load(), array)


def test_weight_tied_on_both_sides_is_matched_and_on_one_side_refused() -> None:
    layers = layer("embed", "Embedding", weight=(9, 4)), linear("head", 9, 4, bias=False)
    tied = model(*layers, tied={"head.weight": "embed.weight"})
    assert len(derive(tied, tied, [], auto=True).rules) == 2
    loose = model(*layers)
    line = "embed.weight, head.weight are one tensor in the {}, embed.weight, head.weight are several"
    assert line.format("reference") in _problems(tied, loose, [])
    assert line.format("candidate") in _problems(loose, tied, [])


def test_given_rule_that_matches_no_tensor_is_refused() -> None:
    one, two = model(linear("fc", 4, 8)), model(linear("fc", 4, 8, "paddle"), framework="paddle")
    message = _problems(one, two, [rule("fc.wieght", "fc.weight", Transpose())])
    assert "the reference has no fc.wieght; did you mean fc.weight?" in message


def test_rules_without_auto_must_cover_every_tensor() -> None:
    one, two = model(linear("fc", 4, 8)), model(linear("out", 4, 8, "paddle"), framework="paddle")
    whole = [rule("fc.weight", "out.weight", Transpose()), rule("fc.bias", "out.bias")]
    assert derive(one, two, whole, auto=False).rules == tuple(whole)
    message = _problems(one, two, whole[:1], auto=False)
    assert "unexpected: fc.bias: no rule takes it" in message
    assert "missing: out.bias" in message


def test_rules_are_written_read_and_changed(tmp_path: Path) -> None:
    one = model(linear("fc", 4, 8), norm("bn", 4), linear("gone", 2, 2))
    two = model(norm("n", 4, "paddle"), linear("fc", 4, 8, "paddle"), framework="paddle")
    contract = derive(one, two, [drop("gone.{part:weight|bias}", "unused")], auto=True)
    contract.write(tmp_path / "rules.json")
    again = Contract.read(tmp_path / "rules.json")
    assert again.table.outputs == contract.table.outputs
    assert again.to_json() == contract.to_json()
    assert again.architecture("net", (3, 8, 8)) == contract.architecture("net", (3, 8, 8))
    text = (tmp_path / "rules.json").read_text()
    (tmp_path / "rules.json").write_text(text.replace('"transpose"', '"rotate"'))
    with pytest.raises(FileError, match="a rule is written wrongly: 'rotate' is no operation"):
        Contract.read(tmp_path / "rules.json")


def _branches(*names: str, framework: str = "torch") -> ModelDescription:
    """Linears of one form on inputs of their own, called in this order."""
    return model(*(linear(name, 4, 4, framework, given=f"x{name}") for name in names), framework=framework)


def test_branches_called_in_another_order_are_matched_by_name() -> None:
    one, two = (
        _branches("text_proj", "image_proj"),
        _branches("image_projection", "text_projection", framework="paddle"),
    )
    contract = derive(one, two, [], auto=True)
    assert "text_proj.bias -> text_projection.bias" in rows(contract.rules)
    assert set(contract.evidence.values()) == {"similar name"}


def test_order_that_contradicts_names_is_refused_with_the_rule_to_give() -> None:
    one = model(linear("text_proj", 4, 4), linear("image_proj", 4, 4))
    two = model(
        linear("image_projection", 4, 4, "paddle"), linear("text_projection", 4, 4, "paddle"), framework="paddle"
    )
    message = _problems(one, two, [])
    assert "several equally good ways: text_proj, image_proj of the reference with image_projection" in message
    assert "text_proj is image_projection by order of execution, text_projection by its name" in message
    assert "rule('text_proj.weight', 'text_projection.weight', Transpose()), rule('text_proj.bias'" in message


@pytest.mark.parametrize("names", [("l1", "l2"), ("net.l.1", "net.l.2")])
def test_branches_that_differ_in_numbers_alone_are_refused(names: tuple[str, str]) -> None:
    two = _branches(*(name.replace("l", "w") for name in names), framework="paddle")
    assert "several equally good ways: " in _problems(_branches(*names), two, [])


def test_branches_whose_words_agree_are_matched_by_number() -> None:
    contract = derive(_branches("fc1", "fc2"), _branches("fc_2", "fc_1", framework="paddle"), [], auto=True)
    assert "fc1.bias -> fc_1.bias" in rows(contract.rules)


def test_towers_are_matched_by_name_and_their_layers_by_order() -> None:
    def tower(side: str, framework: str) -> list[Layer]:
        first = linear(f"{side}.0", 4, 4, framework, given=f"x{side}")
        return [first, linear(f"{side}.2", 4, 4, framework)]

    one = model(*tower("text", "torch"), *tower("image", "torch"))
    two = model(*tower("image_tower", "paddle"), *tower("text_tower", "paddle"), framework="paddle")
    assert "text.2.bias -> text_tower.2.bias" in rows(derive(one, two, [], auto=True).rules)


@pytest.mark.parametrize("framework", ["torch", "paddle"])
def test_module_under_two_names_gives_one_canonical_tensor(framework: str) -> None:
    def shared(side: str) -> ModelDescription:
        found = model(linear("a", 4, 4, side), framework=side)
        further = {f"b.{part}": TensorInfo(found.tensors[f"a.{part}"].shape, same_as=f"a.{part}") for part in _LINEAR}
        return replace(found, tensors={**found.tensors, **further})

    contract = derive(shared("torch"), shared(framework), [], auto=True)
    weight = np.arange(16.0).reshape(4, 4)
    canonical = {"a.weight": LazyTensor.of(weight), "a.bias": LazyTensor.of(weight[0])}
    there = contract.outward("candidate").apply(canonical)
    expected = weight.T if framework == "paddle" else weight
    assert all(np.array_equal(there[name].load(), expected) for name in ("a.weight", "b.weight"))
    back = contract.inward("candidate").apply(there)
    assert np.array_equal(back["a.weight"].load(), weight)
    assert list(back) == ["a.weight", "a.bias"]


def test_axes_of_length_one_are_added_by_rules(tmp_path: Path) -> None:
    one = model(layer("", "Net", base="", scale=()), layer("m", "Net", base="", shift=(8,)))
    two = model(layer("", "Net", base="", factor=(1,)), layer("m", "Net", base="", shift=(1, 8)), framework="paddle")
    contract = derive(one, two, [], auto=True)
    assert rows(contract.rules) == {"scale -> factor (unsqueeze 0)", "m.shift -> m.shift (unsqueeze 0)"}
    contract.write(tmp_path / "rules.json")
    assert Contract.read(tmp_path / "rules.json").to_json() == contract.to_json()


def test_saved_rules_with_operations_of_every_kind_are_read_as_written(tmp_path: Path) -> None:
    sources: dict[str, Any] = {"a": (4, 2), "qk": (6, 2), "x": (3,), "y": (3,), "s": (), "t": (1, 2)}
    targets: dict[str, Any] = {
        "a1": (2, 4),
        "a2": (2, 4),
        "q": (3, 2),
        "k": (3, 2),
        "xy": (6,),
        "s": (1,),
        "tu": (2,),
        "new": (5,),
    }
    one = model(layer("", "Net", base="", **sources, u=(1, 2), gone=(2, 2)))
    two = model(layer("", "Net", base="", **targets), framework="paddle")
    rules = [
        rule("a", ("a1", "a2"), Tie(2, Transpose())),
        rule(("t", "u"), "tu", Untie(2, Squeeze((0,)))),
        rule("qk", ("q", "k"), Split(2)),
        rule(("x", "y"), "xy", Concat(2)),
        rule("s", "s", Unsqueeze((0,))),
        drop("gone", "only training: not needed"),
        fill("new", "the reference has none", 1),
    ]
    contract = derive(one, two, rules, auto=False)
    contract.write(tmp_path / "rules.json")
    again = Contract.read(tmp_path / "rules.json")
    assert (again.table.outputs, again.table.dropped) == (contract.table.outputs, contract.table.dropped)
    assert {each.op for each in rules if each.sources} == {each.op for each in again.rules if each.sources}
    assert again.to_json() == contract.to_json()


def _written(tmp_path: Path, change: Callable[[Any], object]) -> Path:
    one = model(linear("fc", 4, 8))
    constant = TensorInfo((2,), buffer=True, values=pack(np.zeros(2, np.float32)))
    one = replace(one, tensors={**one.tensors, "c": constant})
    one = replace(one, modules=(replace(one.modules[0], tensors=("c",)), *one.modules[1:]))
    value = derive(one, one, [], auto=True).to_json()
    change(value)
    path = tmp_path / "rules.json"
    path.write_text(json.dumps(value))
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda value: value["rules"][0].update(operations=[5]), r"rules\[0\].operations\[0\]: expected a string"),
        (
            lambda value: value["rules"][0].update(operations=["transpose", "split in 3"]),
            r"a rule is written wrongly: rule fc.weight -> fc.weight \(transpose then split in 3\): the operation",
        ),
        (lambda value: value["rules"][1].update(target=None, sources=[]), r"rules\[1\]: neither a target nor a source"),
        (lambda value: value["rules"].append(7), r"rules\[3\]: expected a table, found 7"),
        (lambda value: value["reference"]["modules"][0].update(tensors=["x"]), "tensors: there is no tensor 'x'"),
        (lambda value: value["candidate"]["tensors"]["c"].update(shape=[3]), "c.values: 8 bytes of values"),
        (lambda value: value["candidate"]["tensors"]["c"].update(values="*"), "c.values: values that cannot be read"),
        (lambda value: value["candidate"].update(framework="jax"), "candidate.framework: 'jax' is not known"),
        (lambda value: value.pop("rules"), "rules: expected a list, found NoneType"),
    ],
)
def test_saved_rules_changed_wrongly_are_refused_with_their_place(
    change: Callable[[Any], object], message: str, tmp_path: Path
) -> None:
    with pytest.raises(FileError, match=message):
        Contract.read(_written(tmp_path, change))


def test_saved_rules_nested_too_deeply_are_refused(tmp_path: Path) -> None:
    (tmp_path / "rules.json").write_text("[" * 100_000)
    with pytest.raises(FileError, match="nested too deeply"):
        Contract.read(tmp_path / "rules.json")


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"format": "pit-align rules 1"}'])
def test_file_without_rules_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "rules.json").write_text(content)
    with pytest.raises(FileError):
        Contract.read(tmp_path / "rules.json")


def test_norms_of_one_width_are_matched_by_the_convolutions_before_them() -> None:
    """A shortcut that is run first on one side and last on the other."""

    def conv(path: str, kernel: int, given: str, gave: str) -> Layer:
        return layer(path, "Conv2d", given, gave=gave, weight=(4, 2 if kernel == 1 else 4, kernel, kernel))

    def scale(path: str, given: str) -> Layer:
        return layer(path, "GroupNorm", given, weight=(4,), bias=(4,))

    one = model(conv("conv", 3, "x", "y"), scale("bn", "y"), conv("down.0", 1, "x", "z"), scale("down.1", "z"))
    two = model(
        *(conv("skip.c", 1, "a", "b"), scale("skip.n", "b"), conv("main", 3, "a", "c"), scale("norm", "c")),
        framework="paddle",
    )
    contract = derive(one, two, [], auto=True)
    assert {"bn.weight -> norm.weight", "down.1.weight -> skip.n.weight"} <= rows(contract.rules)
    assert contract.evidence["norm.weight"] == "neighbours"
