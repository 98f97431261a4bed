from __future__ import annotations

from collections.abc import Mapping
from string import ascii_letters

import numpy as np
import pytest
from hypothesis import given

from porting.architectures.base import TensorSpec
from porting.checkpoint.tensor import Array, LazyTensor, Pieces, Shape
from porting.errors import PlanError
from porting.operations import Chain, Concat, Each, Interleave, Op, Permute, Split, Tie, Transpose, Unsqueeze
from porting.patterns import PatternError
from porting.plan import Constant, Filled, Plan, Source, mismatches, plan
from porting.rules import Rule, affine, built, drop, fill, invert, keep, linear, rule, same
from tests.porting.operations.strategies import chains

QKV = rule("b.{i}.qkv.{part:weight|bias}", ("b.{i}.q.{part}", "b.{i}.k.{part}", "b.{i}.v.{part}"), Split(3))


def specs(**shapes: tuple[int, ...]) -> dict[str, TensorSpec]:
    return {name.replace("__", "."): TensorSpec(shape) for name, shape in shapes.items()}


def lazy(sources: Mapping[str, TensorSpec]) -> dict[str, LazyTensor]:
    generator = np.random.default_rng(0)
    return {name: LazyTensor.of(generator.standard_normal(spec.shape)) for name, spec in sources.items()}


def test_split_and_back() -> None:
    sources = specs(b__0__qkv__weight=(6, 2), b__0__qkv__bias=(6,))
    there = plan([QKV], sources)
    back = plan(invert([QKV]), there.specs, sources)
    tensors = lazy(sources)
    middle = there.apply(tensors)
    assert {name: tensor.shape for name, tensor in middle.items()} == {
        **{f"b.0.{part}.weight": (2, 2) for part in "qkv"},
        **{f"b.0.{part}.bias": (2,) for part in "qkv"},
    }
    np.testing.assert_array_equal(middle["b.0.k.weight"].load(), tensors["b.0.qkv.weight"].load()[2:4])
    for name, tensor in back.apply(middle).items():
        np.testing.assert_array_equal(tensor.load(), tensors[name].load())


@pytest.mark.parametrize("transposed", [True, False])
def test_joined_tensor_offers_its_pieces(transposed: bool) -> None:
    sources = {f"b.0.{part}.weight": TensorSpec((2, 4)) for part in "qkv"}
    there = plan(invert([QKV]), sources)
    if transposed:
        there = there.then(plan([rule("b.{i}.qkv.weight", "b.{i}.qkv.weight", Transpose())], there.specs))
    tensors = lazy(sources)
    joined = there.apply(tensors)["b.0.qkv.weight"]
    assert joined.pieces is not None
    arrays, axis = joined.pieces()
    assert (len(arrays), axis) == (3, 1 if transposed else 0)
    np.testing.assert_array_equal(np.concatenate(arrays, axis), joined.load())
    assert all(np.shares_memory(one, tensor.load()) for one, tensor in zip(arrays, tensors.values(), strict=True))
    assert all(
        tensor.pieces is None
        for tensor in plan([QKV], there.specs if not transposed else {"b.0.qkv.weight": TensorSpec((6, 4))})
        .apply({"b.0.qkv.weight": joined})
        .values()
    )


@pytest.mark.parametrize(
    ("op", "axis"), [(None, 0), (Transpose(), 1), (Permute((1, 0)), 1), (Chain((Permute((1, 0)), Transpose())), 0)]
)
def test_source_in_pieces_offers_them_turned(op: Op | None, axis: int) -> None:
    """A file can hold a tensor in stretches, as MindSpore's above 512 MB."""
    parts = np.arange(6.0).reshape(2, 3), np.arange(9.0).reshape(3, 3)
    whole = LazyTensor((5, 3), parts[0].dtype, lambda: np.concatenate(parts), lambda: Pieces(parts, 0))
    rules = [rule("w", "w", op)]
    tensor = plan(rules, {"w": TensorSpec((5, 3))}).apply({"w": whole})["w"]
    assert tensor.pieces is not None
    pieces = tensor.pieces()
    assert pieces.axis == axis
    np.testing.assert_array_equal(np.concatenate(pieces.arrays, axis), tensor.load())
    split = plan([rule("w", ("a", "b"), Split((2, 3)))], {"w": TensorSpec((5, 3))}).apply({"w": whole})
    assert split["a"].pieces is None


def test_composition_drops_operations_that_cancel_out() -> None:
    rules = [QKV, *linear("fc", "dense"), *same("pos")]
    sources = specs(b__0__qkv__weight=(6, 2), fc__weight=(3, 4), fc__bias=(3,), pos=(1, 2))
    there = plan(rules, sources)
    assert there.transposed == ("dense.weight",)
    whole = there.then(plan(invert(rules), there.specs, sources))
    assert whole.outputs == {name: Source(name) for name in sources}
    assert whole.transposed == ()


def test_composition_keeps_operations_that_do_not_cancel_out() -> None:
    sources = specs(b__0__qkv__weight=(6, 2))
    there = plan([QKV], sources)
    turned = plan([rule("b.{i}.{part:q|k|v}.weight", "b.{i}.{part}.weight", Transpose())], there.specs)
    tensors = lazy(sources)
    got = there.then(turned).apply(tensors)["b.0.v.weight"].load()
    np.testing.assert_array_equal(got, tensors["b.0.qkv.weight"].load()[4:].T)


def test_dropped_tensors_are_reported_and_filled_on_the_way_back() -> None:
    rules = [*affine("bn", "bn"), drop("{m:bn}.num_batches_tracked", "a counter of no use in evaluation")]
    sources = {**specs(bn__weight=(2,), bn__bias=(2,)), "bn.num_batches_tracked": TensorSpec((), "int")}
    there = plan(rules, sources)
    assert there.dropped == {"bn.num_batches_tracked": "a counter of no use in evaluation"}
    back = plan(invert(rules), there.specs, sources)
    assert isinstance(back.outputs["bn.num_batches_tracked"], Filled)
    counter = back.apply(lazy(there.specs))["bn.num_batches_tracked"]
    assert (counter.dtype.name, counter.shape, counter.load().item()) == ("int64", (), 0)
    assert there.then(back).dropped == there.dropped


def test_every_mismatch_is_in_one_error() -> None:
    rules = [QKV, *linear("fc.{i}", "fc.{i}")]
    sources = specs(
        b__0__qkv__weight=(7, 2), fc__0__weight=(3, 4, 5), fc__0__bias=(3,), odd__0=(1,), odd__1=(1,), odd__2=(1,)
    )
    with pytest.raises(PlanError) as caught:
        plan(rules, sources, specs(fc__0__bias=(4,), fc__1__bias=(3,)))
    assert caught.value.summary == "the tensors do not map onto each other (5 mismatches)"
    assert caught.value.details == (
        "unexpected: odd.{0..2}: no rule takes it",
        "wrong shape: b.0.qkv.weight: shape (7, 2) cannot be split into 3 along axis 0",
        "wrong shape: fc.0.weight: a Linear weight has 2 axes, this tensor has shape (3, 4, 5)",
        "missing: fc.1.bias",
        "wrong shape: fc.0.bias is (3,), expected (4,)",
    )


def test_an_incomplete_group_is_an_error() -> None:
    with pytest.raises(PlanError, match=r"missing: b\.0\.k\.weight, to go with b\.0\.q\.weight"):
        plan(invert([QKV]), specs(b__0__q__weight=(2, 2), b__0__v__weight=(2, 2)))


def test_a_source_used_twice_is_an_error() -> None:
    with pytest.raises(PlanError, match=r"two rules take a\.weight"):
        plan([*affine("a", "b"), rule("{m:a}.weight", "{m}.w")], specs(a__weight=(1,)))


def test_a_target_filled_twice_is_an_error() -> None:
    with pytest.raises(PlanError, match=r"filled twice: c"):
        plan([rule("a", "c"), rule("b", "c")], specs(a=(1,), b=(1,)))


def test_parts_of_different_dtypes_are_refused_by_name() -> None:
    sources = specs(b__0__q__bias=(2,), b__0__k__bias=(2,), b__0__v__bias=(2,))
    tensors = lazy(sources) | {"b.0.k.bias": LazyTensor.of(np.zeros(2, np.float32))}
    with pytest.raises(PlanError, match=r"b\.0\.qkv\.bias.*b\.0\.k\.bias is float32"):
        plan(invert([QKV]), sources).apply(tensors)


def test_mismatches_name_the_nearest() -> None:
    lines = mismatches(specs(norm__weight=(2,)), {"nrom.weight": (2,)})
    assert lines == ["missing: norm.weight", "unexpected: nrom.weight (did you mean norm.weight?)"]


def test_mismatches_of_many_names_suggest_for_the_first_only() -> None:
    unexpected = [f"weight_{letter}" for letter in ascii_letters]
    lines = mismatches(specs(**{f"{name}_": (2,) for name in unexpected}), dict.fromkeys(unexpected, (2,)))
    assert [line for line in lines if line.startswith("missing")] == [f"missing: {name}_" for name in unexpected]
    suggested = [line.split()[1] for line in lines if "did you mean" in line]
    assert suggested == unexpected[: len(suggested)]
    assert 0 < len(suggested) < len(unexpected)


@pytest.mark.parametrize(
    ("sources", "targets", "op"),
    [
        ("a.{i}", "b", None),
        ("a", "b.{i}", None),
        ("a.{i}", ("q.{i}", "k.{i}"), Split(3)),
        (("a", "b"), "c", None),
        (("q.{i}", "k.{j}"), "c.{i}", Concat(2)),
    ],
)
def test_a_rule_that_cannot_be_inverted_is_refused_when_written(
    sources: str | tuple[str, ...], targets: str | tuple[str, ...], op: Split | Concat | None
) -> None:
    with pytest.raises(PatternError, match="rule"):
        rule(sources, targets, op)


def test_words_are_shared_by_the_patterns_of_a_rule() -> None:
    assert isinstance(QKV, Rule)
    assert QKV.inverse.sources[0].match("b.3.q.scale") is None
    assert QKV.inverse.inverse == QKV


def test_tied_tensors_with_different_values_are_refused() -> None:
    tie = rule("embed", ("embed", "head"), Tie(2))
    there = plan([tie], specs(embed=(2, 3)))
    back = plan(invert([tie]), there.specs, specs(embed=(2, 3)))
    one = LazyTensor.of(np.arange(6.0).reshape(2, 3))
    other = LazyTensor.of(np.arange(6.0).reshape(2, 3) + 1e-9)
    assert back.apply({"embed": one, "head": one})["embed"].load().tolist() == one.load().tolist()
    torn = back.apply({"embed": one, "head": other})["embed"]
    with pytest.raises(PlanError, match=r"embed is one tensor under several names, .*: embed, head"):
        torn.load()


def test_chain_of_operations_goes_there_and_back_and_cancels_out() -> None:
    heads, sizes = 2, {"q": (4, 6), "k": (4, 6), "v": (4, 6)}
    fused = rule(("q", "k", "v"), "qkv", [Each((Transpose(),) * 3), Concat(3, 1), Interleave(3, heads, axis=1)])
    sources = {name: TensorSpec(shape) for name, shape in sizes.items()}
    there = plan([fused], sources)
    tensors = lazy(sources)
    joined = there.apply(tensors)["qkv"].load()
    q, k, v = (tensors[name].load().T.reshape(6, heads, 2) for name in "qkv")
    np.testing.assert_array_equal(joined, np.stack([q, k, v], axis=2).reshape(6, 12))
    assert there.operations_of("qkv") == (
        "transpose each of 3",
        "join 3 along 1",
        "interleave 3 parts of 2 groups along 1",
    )
    back = plan(invert([fused]), there.specs, sources)
    assert there.then(back).outputs == {name: Source(name) for name in sources}
    for name, tensor in back.apply({"qkv": LazyTensor.of(joined)}).items():
        np.testing.assert_array_equal(tensor.load(), tensors[name].load())


@given(chains())
def test_random_chain_gives_the_same_tensors_in_pieces_and_in_one(drawn: tuple[Op, Shape]) -> None:
    op, shape = drawn
    names = tuple(f"t.{place}" for place in range(op.outputs))
    array: Array = np.asarray(np.random.default_rng(0).standard_normal(shape))
    targets = plan([rule("a", names, op)], {"a": TensorSpec(shape)}).apply({"a": LazyTensor.of(array)})
    for name, expected in zip(names, op.apply(array), strict=True):
        tensor = targets[name]
        assert tensor.load().tobytes() == expected.tobytes()
        assert tensor.shape == expected.shape
        if tensor.pieces is not None:
            pieces = tensor.pieces()
            assert pieces.shape == expected.shape
            assert np.concatenate(pieces.arrays, pieces.axis).tobytes() == expected.tobytes()


def test_fused_projections_are_written_and_taken_apart_without_a_copy() -> None:
    heads = 3
    fused = rule(("q", "k", "v"), "qkv", [Each((Transpose(),) * 3), Concat(3, 1), Interleave(3, heads, axis=1)])
    sources = {name: TensorSpec((6, 5)) for name in "qkv"}
    tensors = lazy(sources)
    there = plan([fused], sources)
    joined = there.apply(tensors)["qkv"]
    assert joined.pieces is not None
    arrays, axis = joined.pieces()
    assert (len(arrays), axis) == (9, 1)
    assert all(any(np.shares_memory(array, tensors[name].load()) for name in "qkv") for array in arrays)
    whole = joined.load()
    back = plan(invert([fused]), there.specs).apply({"qkv": LazyTensor.of(whole)})
    for name in "qkv":
        pieces = back[name].pieces
        assert pieces is not None
        assert all(np.shares_memory(array, whole) for array in pieces().arrays)
        np.testing.assert_array_equal(back[name].load(), tensors[name].load())


def test_constants_are_kept_by_each_side() -> None:
    rules = [*same("w"), keep("index", "relative positions"), built("mask", "which tokens see which")]
    sources, wanted = specs(w=(2,), index=(3,)), specs(w=(2,), mask=(2, 2))
    mask = np.tri(2, dtype=np.int64)
    there = plan(rules, sources, wanted, {"mask": mask})
    assert there.outputs["mask"] == Constant(mask.copy()) != Constant(mask.astype(np.int32))
    assert there.left_out == {"index": "keep: relative positions"}
    assert there.operations_of("mask") == ("build: which tokens see which",)
    made = there.apply(lazy(sources))["mask"]
    assert (made.dtype.name, made.load().tolist()) == ("int64", mask.tolist())
    with pytest.raises(PlanError) as caught:
        plan(invert(rules), wanted, sources)
    assert caught.value.details == (
        "no value: index is a constant that is not ported (relative positions), and none is known",
    )
    with pytest.raises(PlanError, match=r"the constant mask is \(3,\), expected \(2, 2\)"):
        plan(rules, sources, wanted, {"mask": np.zeros(3)})


def test_error_has_operations_and_shapes_at_each_step() -> None:
    rules = [
        rule("a.{i}", "b.{i}", [Transpose(), Unsqueeze((2,))]),
        rule("c", ("d", "e"), [Transpose(), Split((2, 2))]),
    ]
    sources = {**specs(a__0=(2, 3), a__1=(2, 3), c=(2, 5))}
    with pytest.raises(PlanError) as caught:
        plan(rules, sources, specs(b__0=(2, 3), b__1=(2, 3), d=(2, 2), e=(2, 2)))
    assert caught.value.details == (
        "wrong shape: c: (2, 5) -> transpose -> (5, 2); split into 2+2: shape (5, 2) cannot be split into sizes 2 + 2 "
        "along axis 0",
        "missing: d",
        "missing: e",
        "wrong shape: b.{0..1} is (3, 2, 1), expected (2, 3), made by (2, 3) -> transpose -> (3, 2) -> unsqueeze 2 -> "
        "(3, 2, 1)",
    )


def test_integers_are_filled_with_integers_only() -> None:
    wanted = {"n": TensorSpec((), "int"), "x": TensorSpec((2,))}
    filled = plan([fill("n", "counts", 0.5), fill("x", "scales", 0.5)], {}, wanted).apply({})
    assert filled["x"].load().tolist() == [0.5, 0.5]
    with pytest.raises(PlanError, match=r"a tensor of int64 cannot be filled with 0\.5"):
        filled["n"].load()


def test_identity_differs_for_other_operations_and_sources() -> None:
    sources = {"a": TensorSpec((2, 2)), "b": TensorSpec((2, 2))}
    single = [plan([rule("a", "c", op), rule("b", "d")], sources) for op in (None, Transpose(), Permute((0, 1)))]
    sides = ((Transpose(), None), (None, Transpose()))
    double = [plan([rule(("a", "b"), ("c", "d"), Each(ops))], sources) for ops in sides]
    crossed = plan([rule("a", "d"), rule("b", "c")], sources)
    constants = [Plan({"c": Constant(np.full(2, value))}, {"c": TensorSpec((2,))}) for value in (1.0, 2.0, 2)]
    filled = [Plan({"c": Filled(value, sources["a"])}, sources) for value in (0, 1)]
    texts = [each.identity for each in (*single, double[1], crossed, *constants, *filled)]
    assert len(set(texts)) == len(texts)
    assert single[1].identity == double[0].identity
