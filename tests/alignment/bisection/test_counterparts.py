"""Which modules of two models stand for each other, without any framework."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from alignment.backends.base import Module
from alignment.bisection.counterparts import match
from alignment.pair import Pair
from alignment.pair.published import build
from alignment.selftest.run import pair_of


def tree(names: Iterable[str], *others: str) -> dict[str, Module]:
    """The modules that hold these tensors, those around them, and others without any."""
    held: dict[str, list[str]] = {"": []}
    for name in names:
        path, _, _ = name.rpartition(".")
        parts = path.split(".") if path else []
        for length in range(len(parts)):
            held.setdefault(".".join(parts[: length + 1]), [])
        held[path].append(name)
    return {path: Module("Any", tuple(own)) for path, own in held.items()} | {path: Module("Any") for path in others}


def paddle_names(pair: Pair) -> list[str]:
    from porting.converters import specs_in

    return list(specs_in(pair.architecture, pair.candidate.layout))


def test_modules_of_equal_names_match() -> None:
    pair = build("pit_micro", image_size=32, num_classes=10)
    names = pair.architecture.tensors
    act = "transformers.0.blocks.1.mlp.act"
    matched = match(pair, tree(names, act, "only.here"), tree(names, act))
    assert matched.paths[act] == act
    assert all(path == twin for path, twin in matched.paths.items())
    assert matched.reference_only == ("only.here",)
    assert not matched.candidate_only


def test_modules_of_other_names_match_by_their_parameters() -> None:
    pair = build("deit_tiny_distilled", image_size=32, num_classes=10)
    reference = tree(pair.architecture.tensors, "blocks.3.mlp.act")
    matched = match(pair, reference, tree(paddle_names(pair), "encoder.layers.3.mlp.act"))
    expected = {
        "": "",
        "encoder.layers": "blocks",
        "encoder.layers.3": "blocks.3",
        "encoder.layers.3.attn.out": "blocks.3.attn.proj",
        "encoder.layers.3.mlp.act": "blocks.3.mlp.act",
        "encoder.encoder_norm": "norm",
        "classifier_dist": "head_dist",
        "patch_embedding.patch_embedding": "patch_embed.proj",
    }
    assert expected.items() <= matched.paths.items()
    assert set(matched.candidate_only) == {"encoder", "patch_embedding"}
    assert set(matched.reference_only) == {"patch_embed"}


def test_paths_of_a_pair_correct_the_matching() -> None:
    pair = build("pit_micro", image_size=32, num_classes=10)
    pair = replace(pair, paths={"pools.*": None, "norm": "head"})
    matched = match(pair, tree(pair.architecture.tensors), tree(pair.architecture.tensors))
    assert not any(path.startswith("pools.") for path in matched.paths)
    assert matched.paths["norm"] == "head"


def test_norms_match_although_the_candidate_holds_a_part_of_the_mean_elsewhere() -> None:
    pair = pair_of("regnety_002")
    matched = match(pair, tree(pair.architecture.tensors), tree(paddle_names(pair)))
    assert matched.paths["stages.2.blocks.1.bn3"] == "s3.b2.conv3.bn"
    assert matched.paths["stages.2.blocks.1.conv3"] == "s3.b2.conv3.conv"
    assert matched.held["stages.2.blocks.1.bn3"] == {
        f"s3.b2.conv3.bn.{part}" for part in ("weight", "bias", "running_mean", "running_var")
    }
    assert "stages.2.blocks.1.bn1" not in matched.paths  # timm's ends with the ReLU


def test_module_in_a_list_matches_before_the_list_that_nothing_calls() -> None:
    pair = build("pit_micro", image_size=32, num_classes=10)
    names = [*pair.architecture.tensors]
    reference = tree(names)
    moved = {path.replace("blocks.1.mlp", "blocks.1.mlp.parts"): one for path, one in tree(names).items()}
    listed = {path: replace(one, kind="LayerList") if path.endswith("parts") else one for path, one in moved.items()}
    listed |= {path.removesuffix(".parts"): Module("Any") for path in listed if path.endswith("parts")}
    held = {
        path: replace(one, parameters=reference[path.replace("mlp.parts", "mlp")].parameters) if one.parameters else one
        for path, one in listed.items()
    }
    matched = match(pair, reference, held)
    assert matched.paths["transformers.0.blocks.1.mlp"] == "transformers.0.blocks.1.mlp"
    assert "transformers.0.blocks.1.mlp.parts" in matched.candidate_only
