"""Names of classes: ImageNet's, a user's list, or numbers.

`imagenet.tsv` holds the 1000 classes of ILSVRC 2012 in their order, one a line: WordNet's synset, a tab, its words.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from porting.plain_files import read_plain_text
from recipe.errors import DataError

CLASSES = "classes.txt"
"""Name of the file beside a checkpoint in which a training run writes the names of its classes."""


@dataclass(frozen=True, slots=True)
class ClassName:
    """One class.

    Attributes:
        index: Number of the class.
        label: Short name: a synset, a folder, the number.
        words: Name for people; the label where nothing else is known.
    """

    index: int
    label: str
    words: str


def imagenet_classes() -> tuple[ClassName, ...]:
    """Return the 1000 classes of ImageNet, in their order."""
    text = files("recipe").joinpath("imagenet.tsv").read_text(encoding="utf-8")
    return _parse(text.splitlines())


def read_classes(path: Path) -> tuple[ClassName, ...]:
    """Read the classes of a user's file: one a line in their order, `name`, or `name`, a tab and words.

    Raises:
        DataError: The file cannot be read, is empty, or holds a name twice or an empty line.
    """
    try:
        lines = read_plain_text(path).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise DataError(f"{path}: the list of classes cannot be read: {reason}") from None
    if not lines:
        raise DataError(f"{path}: the list of classes is empty; expected one class a line")
    empty = next((number for number, line in enumerate(lines, 1) if not line.strip()), None)
    if empty is not None:
        raise DataError(f"{path}:{empty}: an empty line in the list of classes would shift those after it; remove it")
    classes = _parse(lines)
    seen: dict[str, int] = {}
    for name in classes:
        if name.label in seen:
            raise DataError(
                f"{path}:{name.index + 1}: class {name.label!r} is there already, in line {seen[name.label]}"
            )
        seen[name.label] = name.index + 1
    return classes


def named(labels: Sequence[str], count: int) -> tuple[ClassName, ...]:
    """Return names for so many classes: `labels`, ImageNet's for its synsets or for 1000 unnamed ones, else numbers.

    Args:
        labels: Names of folders, in the order of the classes; empty where none are known.
        count: Classes of the model.

    Raises:
        DataError: There are names, but not as many as classes.
    """
    if labels and len(labels) != count:
        raise DataError(f"there are {len(labels)} names for the model's {count} classes")
    if not labels:
        return imagenet_classes() if count == 1000 else _parse(map(str, range(count)))
    known = {name.label: name.words for name in imagenet_classes()}
    return tuple(ClassName(index, label, known.get(label, label)) for index, label in enumerate(labels))


def _parse(lines: Iterable[str]) -> tuple[ClassName, ...]:
    parts = ([part.strip() for part in line.partition("\t")] for line in lines)
    return tuple(ClassName(index, label, words or label) for index, (label, _, words) in enumerate(parts))
