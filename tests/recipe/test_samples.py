"""Folders and lists of images, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recipe.config import Data
from recipe.errors import DataError
from recipe.predictions import find_images
from recipe.samples import Sample, Samples, check, find, read_folder, read_list


def _touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def _names(samples: Samples) -> list[str]:
    return [str(sample.path.relative_to(samples.root)) for sample in samples]


def test_a_folder_a_class_in_sorted_order(tmp_path: Path) -> None:
    _touch(tmp_path, "b/2.JPEG", "b/1.png", "a/deep/er/x.jpg", "a/z.webp", "c10/x.jpg", "c9/x.jpg")
    _touch(tmp_path, "a/notes.txt", "a/._x.jpg", ".cache/x.jpg", "readme.jpg")
    samples = read_folder(tmp_path)
    assert samples.classes == ("a", "b", "c10", "c9")
    assert _names(samples) == ["a/deep/er/x.jpg", "a/z.webp", "b/1.png", "b/2.JPEG", "c10/x.jpg", "c9/x.jpg"]
    assert samples.labels.tolist() == [0, 0, 1, 1, 2, 3]
    assert samples[2] == Sample(tmp_path / "b/1.png", 1)
    assert len(samples[1:3]) == 2


def test_a_folder_that_is_linked(tmp_path: Path) -> None:
    _touch(tmp_path / "elsewhere", "x.jpg")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "linked").symlink_to(tmp_path / "elsewhere")
    assert _names(read_folder(tmp_path / "set")) == ["linked/x.jpg"]


def test_links_to_a_folder_that_they_stand_in_are_left_out(tmp_path: Path) -> None:
    _touch(tmp_path, "a/deep/x.jpg", "b/y.jpg")
    for link, target in (("a/deep/up", ".."), ("a/self", "."), ("b/over", "../a"), ("a/over", "../b")):
        (tmp_path / link).symlink_to(target)
    (tmp_path / "b" / "itself.jpg").symlink_to("itself.jpg")
    found = _names(read_folder(tmp_path))
    assert found == [
        "a/deep/x.jpg",
        "a/over/itself.jpg",
        "a/over/y.jpg",
        "b/itself.jpg",
        "b/over/deep/x.jpg",
        "b/y.jpg",
    ]
    assert [str(path.relative_to(tmp_path)) for path in find_images([tmp_path / "a"])] == found[:3]


@pytest.mark.parametrize("name", ["two\nlines", "a\tb", " a", "a ", "a\u2028b", "a\udcff"])
def test_classes_whose_names_are_no_line_are_refused(tmp_path: Path, name: str) -> None:
    _touch(tmp_path, f"{name}/x.jpg", "Grüne Äpfel/x.jpg", "两个\u3000橙子/x.jpg")
    with pytest.raises(DataError, match="names cannot be written in a list, rename them: ") as caught:
        read_folder(tmp_path)
    assert str(caught.value).endswith(repr(name))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (None, r"set: no such folder of images"),
        ((), r"set: has no folder, but images are read from a folder a class"),
        (("x.jpg",), r"set: has no folder"),
        (("a/x.jpg", "b/notes.txt", "c/d/.x.jpg"), r"set: no image \(.*\) in the folders of classes b, c$"),
    ],
)
def test_folder_without_images_is_refused(tmp_path: Path, names: tuple[str, ...] | None, message: str) -> None:
    if names is not None:
        (tmp_path / "set").mkdir()
        _touch(tmp_path / "set", *names)
    with pytest.raises(DataError, match=message):
        read_folder(tmp_path / "set")


def test_a_list_of_images(tmp_path: Path) -> None:
    path = tmp_path / "train_list.txt"
    path.write_text("\ufefftrain/n01/a b.JPEG 3\n\ntrain/n02/c.JPEG\t \n".replace("\t ", " 0") + "/abs/x.jpg 12\r\n")
    samples = read_list(path)
    assert [str(sample.path) for sample in samples] == [
        str(tmp_path / "train/n01/a b.JPEG"),
        str(tmp_path / "train/n02/c.JPEG"),
        "/abs/x.jpg",
    ]
    assert samples.labels.tolist() == [3, 0, 12]
    assert samples.classes == ()


def test_lines_of_another_form_are_all_named(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("a.jpg 1\nb.jpg\nc.jpg -1\n 5\nd.jpg 1.5\ne.jpg ٣\n" + "f.jpg x\n" * 10)
    with pytest.raises(DataError) as caught:
        read_list(path)
    lines = str(caught.value).splitlines()
    assert lines[0] == f"{path}:2: expected `relative/path label`, found 'b.jpg'"
    assert [line.split(":")[1] for line in lines[:-1]] == ["2", "3", "4", "5", "6", "7"]
    assert lines[-1].strip() == "and 9 more lines"


@pytest.mark.parametrize(("content", "message"), [(b"\n \n", "is empty"), (b"\xff\xfe 1", "cannot be read as a list")])
def test_empty_list_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_list(path)


def test_missing_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        read_list(tmp_path / "list.txt")


def test_sets_are_found_where_they_usually_are(tmp_path: Path) -> None:
    _touch(tmp_path, "train/a/1.jpg", "val/a/2.jpg", "mine/a/3.jpg")
    assert _names(find(Data(path=str(tmp_path)), "train")) == ["a/1.jpg"]
    assert _names(find(Data(path=str(tmp_path)), "validation")) == ["a/2.jpg"]
    assert _names(find(Data(path=str(tmp_path), validation="mine"), "validation")) == ["a/3.jpg"]
    (tmp_path / "train_list.txt").write_text("train/a/1.jpg 7\n")
    assert find(Data(path=str(tmp_path)), "train").labels.tolist() == [7]
    assert find(Data(path=str(tmp_path), format="folder"), "train").labels.tolist() == [0]
    (tmp_path / "few.txt").write_text("train/a/1.jpg 2\n")
    few = find(Data(path=str(tmp_path), train="few.txt"), "train")
    assert (few.labels.tolist(), few.names) == ([2], (str(tmp_path / "train/a/1.jpg"),))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"path": "gone"}, r"gone: no such folder \(data\.path\)"),
        ({}, r"no images to use for validation; looked for val_list\.txt, val, validation \(data\.format is auto\)"),
        ({"format": "list"}, r"looked for val_list\.txt \(data\.format is list\)"),
        ({"validation": "mine"}, r"looked for mine \(data\.format is auto\)"),
    ],
)
def test_missing_set_is_refused_with_the_searched_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: dict[str, Any], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=message):
        find(Data(**{"path": str(tmp_path), **data}), "validation")


def _labelled(labels: list[int], classes: tuple[str, ...] = ()) -> Samples:
    return Samples.of([Sample(Path(f"{at}.jpg"), label) for at, label in enumerate(labels)], classes, Path("set"))


def test_classes_must_be_those_of_the_head_and_of_training() -> None:
    assert check(_labelled([0, 1, 1], ("a", "b")), 2) == ()
    with pytest.raises(
        DataError, match=r"set: has 2 folders of classes, model\.num_classes is 1000; .*: set model\.num_classes=2$"
    ):
        check(_labelled([0, 1], ("a", "b")), 1000)
    with pytest.raises(DataError, match=r"set: 2 labels are not below model\.num_classes=3; the first is 3, of 1\.jpg"):
        check(_labelled([0, 3, 7]), 3)
    with pytest.raises(DataError) as caught:
        check(_labelled([0, 1], ("a", "b")), 2, _labelled([0, 1], ("a", "c")))
    assert caught.value.details == ("only here: b", "only there: c")
    with pytest.raises(DataError, match="the names differ in their Unicode form"):
        check(_labelled([0], ("\xe4",)), 1, _labelled([0], ("a\u0308",)))


def test_classes_without_an_image_are_told_but_possible() -> None:
    (note,) = check(_labelled([0, 3, 5]), 12)
    assert note == "set: no image of 9 of 12 labels: 1, 2, 4, 6, 7, 8 and 3 more"
    (note,) = check(_labelled([0, 0], ("a",)), 1)
    assert note == "set: one class only: the loss is 0 and every prediction right, whatever the model does"


def test_set_is_built_from_single_samples() -> None:
    samples = Samples.of([Sample(Path("a.jpg"), 1)], ["x", "y"])
    assert (list(samples), samples.classes) == ([Sample(Path("a.jpg"), 1)], ("x", "y"))
    assert samples.labels.dtype == np.int64
