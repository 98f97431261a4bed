"""Pairs: the ones that come with the toolkit, and those that users declare."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from alignment.errors import AlignmentError
from alignment.pair import Floats, Pair, Side, load_pair, locate, published
from alignment.pair.targets import resolve
from porting.architectures import build
from porting.errors import UnknownNameError

DECLARED = Path(__file__).parents[1] / "wrong_pairs.py"


@pytest.mark.parametrize("name", published.NAMES)
def test_every_model_has_a_pair_that_its_origin_gives_again(name: str) -> None:
    pair = published.build(name)
    assert pair.name == name
    assert (pair.reference.framework, pair.candidate.framework) == ("torch", "paddle")
    pixels = 32 if name.startswith("pit_micro") else 224
    assert pair.input_shape == (3, pixels, pixels)
    assert pair.smooth is (name != "regnety_160")
    assert pair.origin is not None
    assert locate(pair.origin) == pair


def test_image_size_and_classes_reach_the_builders() -> None:
    pair = published.build("pit_ti", image_size=64, num_classes=10)
    assert pair.input_shape == (3, 64, 64)
    for side in (pair.reference, pair.candidate):
        assert side.options == {"name": "pit_ti", "image_size": (64, 64), "num_classes": 10}


def test_a_name_may_say_its_image_size() -> None:
    named = published.build("deit_base@384")
    assert (named.name, named.input_shape) == ("deit_base@384", (3, 384, 384))
    assert named.architecture == published.build("deit_base", image_size=384).architecture
    assert named.origin is not None
    assert locate(named.origin) == named
    with pytest.raises(AlignmentError, match="says its image size"):
        published.build("deit_base@384", image_size=224)
    for wrong in ("deit_base@", "deit_base@large", "deit_bas@384"):
        with pytest.raises(UnknownNameError, match="deit_base"):
            published.build(wrong)


def test_a_misspelt_pair_gets_a_hint() -> None:
    with pytest.raises(UnknownNameError, match="unknown model 'pit_tii'; did you mean pit_ti"):
        published.build("pit_tii")


def test_a_users_file_declares_a_pair_and_its_builder() -> None:
    pair = load_pair(f"{DECLARED}:EPSILON")
    assert pair.candidate.build == f"{DECLARED}:with_wide_epsilon"
    assert callable(resolve(pair.candidate.build))
    assert pair.origin is not None
    assert locate(pair.origin) == pair


def test_the_default_name_is_pair(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("from alignment import pairs\nPAIR = pairs.build('pit_s')\n")
    assert load_pair(str(tmp_path / "mine.py")).name == "pit_s"


def test_a_file_may_import_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "neighbour_of_mine.py").write_text("NAME = 'pit_s'\n")
    (tmp_path / "mine.py").write_text(
        "from alignment import pairs\nfrom neighbour_of_mine import NAME\nPAIR = pairs.build(NAME)\n"
    )
    assert load_pair(str(tmp_path / "mine.py")).name == "pit_s"


@pytest.mark.parametrize(
    ("declaration", "message"),
    [
        (f"{DECLARED}:RIHGT", "has no 'RIHGT'; did you mean RIGHT?"),
        (f"{DECLARED}:NOT_A_PAIR", "is a int, expected an alignment.pair.Pair"),
        ("/nowhere/mine.py", "/nowhere/mine.py: there is no such file"),
        ("no_such_module:PAIR", "module 'no_such_module' is not found by"),
        ("mine.py:not a name", "expected module:name or path/to/file.py:name"),
    ],
)
def test_declaration_without_a_pair_is_refused(declaration: str, message: str) -> None:
    with pytest.raises(AlignmentError) as caught:
        load_pair(declaration)
    assert message in caught.value.summary


def test_sides_are_named_by_framework_or_by_role() -> None:
    pair = load_pair(f"{DECLARED}:RIGHT")
    assert (pair.label("reference"), pair.label("candidate")) == ("torch", "paddle")
    assert (pair.role_of("torch"), pair.role_of("paddle")) == ("reference", "candidate")
    with pytest.raises(UnknownNameError, match="unknown backend 'padle'; did you mean paddle"):
        pair.role_of("padle")
    both = load_pair(f"{DECLARED}:BOTH_ON_PADDLE")
    assert (both.label("reference"), both.label("candidate")) == ("reference", "candidate")
    with pytest.raises(AlignmentError, match="both sides run on paddle; name the role"):
        both.role_of("paddle")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "../up"}, "cannot name a pair"),
        ({"input_shape": (3, 64)}, r"not \(channels, height, width\)"),
        ({"architecture": build("pit_ti", num_classes=0)}, "a head of 0 classes cannot be aligned"),
    ],
)
def test_impossible_pair_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(AlignmentError, match=message):
        replace(published.build("pit_ti"), **change)  # type: ignore[arg-type] # a wrong value on purpose


def test_side_with_an_unknown_framework_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="unknown framework 'pytorch'"):
        Side("pytorch", "module:function", "canonical")


def test_pairs_are_compared_by_value() -> None:
    assert isinstance(published.build("pit_ti"), Pair)
    assert published.build("pit_ti") == published.build("pit_ti")
    assert published.build("pit_ti") != published.build("pit_ti", num_classes=10)


def test_integers_of_numpy_are_shapes_and_counts_like_others() -> None:
    sides = Side("torch", "my.py:one"), Side("paddle", "my.py:other")
    pair = Pair("mine", *sides, input_shape=tuple(np.array([3, 8])), tokens=np.int64(20), rules="auto")
    assert (pair.input_shape, pair.tokens) == ((3, 8), 20)
    assert {type(number) for number in (*pair.input_shape, pair.tokens)} == {int}
    assert Floats(tuple(np.array([3, 8]))).shape == (3, 8)
    assert type(Floats(np.int64(4)).shape[0]) is int
