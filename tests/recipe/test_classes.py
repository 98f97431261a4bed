"""Names of classes."""

from __future__ import annotations

from pathlib import Path

import pytest

from recipe.classes import ClassName, imagenet_classes, named, read_classes
from recipe.errors import DataError


def test_imagenet_has_its_thousand_classes_in_order() -> None:
    classes = imagenet_classes()
    assert [name.index for name in classes] == list(range(1000))
    assert len({name.label for name in classes}) == 1000
    assert [name.label for name in classes] == sorted(name.label for name in classes)
    assert classes[0] == ClassName(0, "n01440764", "tench, Tinca tinca")
    assert classes[207].words == "golden retriever"
    assert classes[999].words.startswith("toilet tissue")


def test_imagenet_classes_equal_those_of_timm() -> None:
    pytest.importorskip("torch", reason="torch is not installed here; `make test` has it")
    from reference_torch.compat import prepare_timm

    prepare_timm()
    data = pytest.importorskip("timm.data", reason="timm is not installed here; `make test` has it")
    info = data.ImageNetInfo("imagenet-1k")
    assert [name.label for name in imagenet_classes()] == [info.index_to_label_name(at) for at in range(1000)]


def test_folders_named_by_synsets_get_their_words() -> None:
    assert [name.words for name in named(["n01440764", "cat"], 2)] == ["tench, Tinca tinca", "cat"]


def test_a_model_without_names_has_those_of_imagenet_or_numbers() -> None:
    assert named((), 1000) == imagenet_classes()
    assert named((), 2) == (ClassName(0, "0", "0"), ClassName(1, "1", "1"))


def test_names_of_another_count_are_refused() -> None:
    with pytest.raises(DataError, match=r"there are 1 names for the model's 2 classes"):
        named(["cat"], 2)


def test_list_of_a_user_is_read(tmp_path: Path) -> None:
    path = tmp_path / "classes.txt"
    path.write_text("cat\tfelis catus\ndog\n", encoding="utf-8")
    assert read_classes(path) == (ClassName(0, "cat", "felis catus"), ClassName(1, "dog", "dog"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty; expected one class a line"),
        (b"cat\n\ndog\n", "classes.txt:2: an empty line"),
        (b"cat\ndog\ncat\n", "classes.txt:3: class 'cat' is there already, in line 1"),
        (b"\xff\xfe", "no text in UTF-8"),
    ],
)
def test_a_broken_list_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "classes.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_classes(path)


def test_a_missing_list_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"classes\.txt: the list of classes cannot be read: No such file"):
        read_classes(tmp_path / "classes.txt")
