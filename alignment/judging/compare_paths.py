"""Compares two paths: recordings, folders of recordings, reprod_log files or folders of these."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from os import PathLike
from pathlib import Path
from typing import Literal, TypeAlias

from alignment.arrays import Array
from alignment.errors import FileError
from alignment.judging.judge import judge, judge_arrays
from alignment.judging.tolerance import Tolerances
from alignment.recordings.recording import MANIFEST_FILE, Recording, open_recording, read_manifest
from alignment.recordings.reprod_read import find_logs, read_reprod_log
from alignment.results.report import Report

Role: TypeAlias = Literal["reference", "candidate"]

_PLACES = (MANIFEST_FILE, f"*/{MANIFEST_FILE}", f"recordings/*/{MANIFEST_FILE}")


def compare_paths(
    reference: str | PathLike[str],
    candidate: str | PathLike[str],
    *,
    tolerances: Tolerances | None = None,
    squeeze: bool = False,
    command: str = "",
) -> Report:
    """Compare what two paths hold.

    Each is a recording, a folder of recordings (of a whole run, or what `pit-align record` wrote), a `.npy` of
    reprod_log or NumPy, or a folder of such files. Of a folder that holds both sides, only the side named by the
    argument is read, so a run's folder can be compared with itself: its reference against its candidate.

    Args:
        reference: The reference's path.
        candidate: The candidate's path.
        tolerances: Used where there is no float64 evidence; the default ones by default.
        squeeze: Let shapes differ by axes of length one.
        command: The command line, for the report.

    Raises:
        FileError: A path is nothing of the kind or cannot be read, the two are not of the same kind, or both name the
            same recording, a copy of it, or the same file.
        RefusedError: The recordings share no precision, or their inputs differ.
        NothingComparedError: The paths hold no array.
    """
    reference, candidate = Path(reference), Path(candidate)
    with ExitStack() as stack:
        sides = open_side(reference, "reference", stack), open_side(candidate, "candidate", stack)
        if all(sides):
            _refuse_same(*sides)
            return judge(*sides, tolerances=tolerances, squeeze=squeeze, command=command)
        if any(sides):
            other = candidate if sides[0] else reference
            raise FileError(other, "holds no recording, and a recording can be compared with another one only")
    if reference.is_dir() != candidate.is_dir():
        raise FileError(reference, f"is to be compared with {candidate}: name two files, or two folders")
    arrays = _read_logs(reference, "reference"), _read_logs(candidate, "candidate")
    if any(arrays):
        _refuse_same_files(reference, candidate)
    return judge_arrays(
        *arrays,
        step="" if reference.is_dir() else "compare",
        tolerances=tolerances,
        squeeze=squeeze,
        command=command,
        notes=tuple(dict.fromkeys(note for folder in (reference, candidate) for note in _left_out(folder))),
    )


def _refuse_same(reference: Mapping[str, Recording], candidate: Mapping[str, Recording]) -> None:
    """Raise if one recording stands for both sides, as in the folder of a run that recorded one side only."""
    files = {recording.path.resolve() for recording in reference.values()}
    for recording in candidate.values():
        if recording.path.resolve() in files:
            role = recording.manifest.role or "same side"
            raise FileError(recording.path, f"is the {role} on both sides, and equal to itself; name the other side")
        for other in reference.values():
            if other.manifest.created and other.manifest == recording.manifest:
                run = f"of {other.manifest.created}"
                raise FileError(recording.path, f"is of the same run as {other.path}, {run}: name the other side")


def _refuse_same_files(reference: Path, candidate: Path) -> None:
    """Raise if one file of reprod_log, or one folder with the files of one side, stands for both sides."""
    if not (reference.exists() and candidate.exists() and reference.samefile(candidate)):
        return
    if not reference.is_dir() or not any(len(sides) > 1 for sides in find_logs(reference).values()):
        raise FileError(reference, "stands for both sides, and is equal to itself; name the other side")


def _left_out(folder: Path) -> Iterator[str]:
    """Yield a note on the files of a folder whose names tell no step and side, if there are any."""
    known = {path for sides in find_logs(folder).values() for path in sides.values()}
    others = sorted(path.name for path in folder.glob("*.npy") if path not in known)
    if others:
        more = ", ..." if len(others) > 10 else ""
        yield f"left out, since their names tell no step and side: {', '.join(others[:10])}{more}"


def open_side(path: Path, role: Role, stack: ExitStack) -> dict[str, Recording]:
    """Open the recordings of one side, by dtype; none if the path holds none.

    Args:
        path: A recording, or a folder that holds some, itself or in `recordings/`.
        role: The side to open if the folder holds recordings of both.
        stack: Closes the recordings.

    Raises:
        FileError: There are several recordings of one side and dtype, or one is damaged.
    """
    manifests = {file.parent: read_manifest(file.parent) for place in _PLACES for file in sorted(path.glob(place))}
    if len({manifest.role for manifest in manifests.values()}) > 1:
        manifests = {folder: manifest for folder, manifest in manifests.items() if manifest.role == role}
    folders: dict[str, Path] = {}
    for folder, manifest in manifests.items():
        if manifest.dtype in folders:
            raise FileError(folder, f"is in {manifest.dtype}, and so is {folders[manifest.dtype]}; name one of the two")
        folders[manifest.dtype] = folder
    return {dtype: stack.enter_context(open_recording(folder)) for dtype, folder in folders.items()}


def _read_logs(path: Path, role: Role) -> dict[str, Array]:
    """Read the arrays of a file under their own keys, those of a folder's files as `<step>/<key>`."""
    if not path.is_dir():
        return read_reprod_log(path)
    logs = find_logs(path)
    if not logs:
        raise FileError(path, "holds neither recordings nor files such as forward_torch.npy")
    both = any(len(sides) > 1 for sides in logs.values())
    chosen = {step: sides.get(role) if both else next(iter(sides.values())) for step, sides in logs.items()}
    return {
        f"{step}/{key}": array
        for step, file in chosen.items()
        if file is not None
        for key, array in read_reprod_log(file).items()
    }
