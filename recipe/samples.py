"""The labelled images of a data set: from a folder a class, or from a list."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import overload

import numpy as np
import numpy.typing as npt

from porting.plain_files import read_plain
from recipe.config import Data
from recipe.errors import DataError

SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""Suffixes of the files in a folder that are images, in upper or lower case; those of torchvision's `ImageFolder`."""
_FOLDERS = {"train": ("train",), "validation": ("val", "validation")}
_LISTS = {"train": ("train_list.txt",), "validation": ("val_list.txt",)}
_SHOWN = 6
_LARGEST_LIST = 2**36
"""Largest size in bytes of a list of images."""


@dataclass(frozen=True, slots=True)
class Sample:
    """An image and what it shows.

    Attributes:
        path: Path of the image file.
        label: Index of its class.
    """

    path: Path
    label: int


@dataclass(frozen=True, eq=False)
class Samples(Sequence[Sample]):
    """The images of one split, in a fixed order; kept as names, since ImageNet has 1.28 million.

    Attributes:
        root: Folder or list that names the images, for messages.
        names: Path of every image.
        labels: Class of every image, int64.
        classes: Names of the classes by label; empty where the source names none.
    """

    root: Path
    names: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...] = ()

    @classmethod
    def of(cls, samples: Iterable[Sample], classes: Iterable[str] = (), root: Path | None = None) -> Samples:
        """Build the set from single samples."""
        samples = list(samples)
        labels = np.array([sample.label for sample in samples], np.int64)
        return cls(root or Path(), tuple(str(sample.path) for sample in samples), labels, tuple(classes))

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, at: int) -> Sample: ...
    @overload
    def __getitem__(self, at: slice) -> Samples: ...
    def __getitem__(self, at: int | slice) -> Sample | Samples:
        if isinstance(at, slice):
            return Samples(self.root, self.names[at], self.labels[at], self.classes)
        return Sample(Path(self.names[at]), int(self.labels[at]))

    def __iter__(self) -> Iterator[Sample]:
        return (self[at] for at in range(len(self)))


def read_folder(path: Path) -> Samples:
    """Find the images in one folder for each class, at any depth, labelled by the sorted names of the folders.

    Labels and order are those of torchvision's `ImageFolder`, which DeiT's recipe reads with; timm sorts names that end
    in numbers by their value instead. Names that start with a dot are left out, and so are links to a folder that they
    stand in.

    Args:
        path: Folder that holds the folders of the classes.

    Raises:
        DataError: The path is no folder, has no folders, or one of them holds no image, cannot be read, or has a name
            that is no line of text.
    """
    if not path.is_dir():
        raise DataError(f"{path}: no such folder of images" if not path.exists() else f"{path}: not a folder")
    try:
        classes = sorted(
            entry.name for entry in os.scandir(path) if _is_folder(entry) and not entry.name.startswith(".")
        )
        paths = [sorted(image_paths(path / name)) for name in classes]
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be read: {error.strerror}") from None
    if not classes:
        raise DataError(f"{path}: has no folder, but images are read from a folder a class")
    if odd := [name for name in classes if not _is_line(name)]:
        shown = ", ".join(repr(name) for name in odd[:_SHOWN])
        raise DataError(f"{path}: folders of classes whose names cannot be written in a list, rename them: {shown}")
    empty = [name for name, names in zip(classes, paths, strict=True) if not names]
    if empty:
        raise DataError(f"{path}: no image ({' '.join(SUFFIXES)}) in the folders of classes {_few(empty)}")
    labels = np.repeat(np.arange(len(classes), dtype=np.int64), [len(names) for names in paths])
    return Samples(path, tuple(name for names in paths for name in names), labels, tuple(classes))


def image_paths(folder: str | os.PathLike[str], above: tuple[tuple[int, int], ...] = ()) -> Iterator[str]:
    """Yield the paths of the image files in a folder, at any depth, in no order.

    Links to folders are followed, but not to one that the link stands in. Names that start with a dot are left out.

    Args:
        folder: The folder.
        above: Device and inode of the folders that it was reached through.

    Raises:
        OSError: A folder cannot be read.
    """
    status = Path(folder).stat()
    own = status.st_dev, status.st_ino
    if own in above:
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if _is_folder(entry):
                yield from image_paths(entry.path, (*above, own))
            elif entry.name.lower().endswith(SUFFIXES):
                yield entry.path


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself: it is told when it is read as an image
        return False


def _is_line(name: str) -> bool:
    """True if a name comes back from a list of names, a line each, that is written in UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:  # bytes that are no UTF-8
        return False
    return name.splitlines() == [name.strip()] and "\t" not in name


def read_list(path: Path, root: Path | None = None) -> Samples:
    """Read a list with a line `relative/path label` for every image, as PaddleViT has it; paths may hold spaces.

    Empty lines are skipped. The images are not opened: a missing one is reported when it is read.

    Args:
        path: Text file, UTF-8.
        root: Folder that the paths start from; by default that of the list.

    Raises:
        DataError: The list cannot be read, is empty, or holds lines of another form; all of those are named.
    """
    try:
        lines = read_plain(path, largest=_LARGEST_LIST).decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as a list of images: {error}") from error
    names, labels, problems = [], [], []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        name, _, label = line.strip().rpartition(" ")
        if not name.strip() or not (label.isascii() and label.isdigit()):
            problems.append(f"{path}:{number}: expected `relative/path label`, found {line.strip()[:80]!r}")
            continue
        names.append(os.path.join(root or path.parent, name.strip()))  # noqa: PTH118 (see above)
        labels.append(int(label))
    if problems:
        shown = problems[:_SHOWN] + ([f"and {len(problems) - _SHOWN} more lines"] if len(problems) > _SHOWN else [])
        raise DataError(shown[0], shown[1:])
    if not names:
        raise DataError(f"{path}: the list is empty")
    return Samples(path, tuple(names), np.array(labels, np.int64))


def find(data: Data, split: str) -> Samples:
    """Find the images of a split where the configuration says that they are.

    Args:
        data: Where to look.
        split: `train` or `validation`.

    Raises:
        DataError: There is neither a folder nor a list, or neither can be used.
    """
    root = Path(data.path)
    if not root.is_dir():
        raise DataError(f"{root}: no such folder (data.path); name the folder of your images: data.path=FOLDER")
    source = _source(data, split, root)
    return read_list(source, root) if source.is_file() else read_folder(source)


def _source(data: Data, split: str, root: Path) -> Path:
    name = data.train if split == "train" else data.validation
    lists, folders = (_LISTS[split], _FOLDERS[split]) if name is None else ((name,), (name,))
    list_paths = [] if data.format == "folder" else [root / name for name in lists]
    folder_paths = [] if data.format == "list" else [root / name for name in folders]
    usable = [*filter(Path.is_file, list_paths), *filter(Path.is_dir, folder_paths)]
    if usable:
        return usable[0]
    tried = ", ".join(dict.fromkeys(str(path.relative_to(root)) for path in (*list_paths, *folder_paths)))
    raise DataError(f"{root}: no images to use for {split}; looked for {tried} (data.format is {data.format})")


def fingerprint(samples: Samples, root: Path) -> str:
    """A digest of the images' names below the data set's folder, their labels, and their order."""
    digest = blake2b(digest_size=16)
    for name in samples.names:
        digest.update(name.removeprefix(str(root)).encode(errors="surrogateescape") + b"\0")
    digest.update(samples.labels.tobytes())
    return digest.hexdigest()


def check(samples: Samples, num_classes: int, trained: Samples | None = None) -> tuple[str, ...]:
    """Compare a split with the model's head, and with the split that the model is trained on.

    Args:
        samples: The split.
        num_classes: Columns of the head.
        trained: The training split, if the split is another one.

    Returns:
        Sentences about what is unusual but possible: classes without an image, or one class only.

    Raises:
        DataError: A label is not below `num_classes`, the number of folders is not `num_classes`, or the classes have
            other names than in training.
    """
    beyond = samples.labels >= num_classes
    if samples.classes and len(samples.classes) != num_classes:
        raise DataError(
            f"{samples.root}: has {len(samples.classes)} folders of classes, model.num_classes is {num_classes}; "
            f"labels are the folders in order, so that both must agree: set model.num_classes={len(samples.classes)}"
        )
    if beyond.any():
        first = int(np.argmax(beyond))
        raise DataError(
            f"{samples.root}: {int(beyond.sum())} labels are not below model.num_classes={num_classes}; the first is "
            f"{samples.labels[first]}, of {samples.names[first]}"
        )
    if trained is not None and trained.classes and samples.classes and trained.classes != samples.classes:
        form = {unicodedata.normalize("NFC", name) for name in samples.classes}
        same = form == {unicodedata.normalize("NFC", name) for name in trained.classes}
        why = "; the names differ in their Unicode form (NFC or NFD) only" if same else ""
        raise DataError(
            f"{samples.root}: its classes are not those of {trained.root}{why}",
            [
                f"{kind} {_few(sorted(names))}"
                for kind, names in (
                    ("only here:", set(samples.classes) - set(trained.classes)),
                    ("only there:", set(trained.classes) - set(samples.classes)),
                )
                if names
            ],
        )
    if num_classes == 1:
        return (f"{samples.root}: one class only: the loss is 0 and every prediction right, whatever the model does",)
    missing = np.setdiff1d(np.arange(num_classes), samples.labels)
    named = _few([str(label) for label in missing])
    return (f"{samples.root}: no image of {len(missing)} of {num_classes} labels: {named}",) if len(missing) else ()


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
