"""Recordings: the arrays that one framework computed and a manifest, in a directory. Two sides exchange nothing else.

On disk: `arrays.safetensors`, one tensor a key, and `manifest.json`, which describes each key and the run. A recording
appears under its name complete or not at all. Reading is lazy, one tensor at a time.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import tempfile
import uuid
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal, TypeAlias

import numpy as np

from alignment.arrays import Array
from alignment.errors import AlignmentError, FileError
from alignment.text_files import decode_from, read_json, to_json
from porting.checkpoint.file.source import Source
from porting.checkpoint.formats import safetensors
from porting.checkpoint.tensor import LazyTensor
from porting.errors import CheckpointError
from porting.plain_files import shortened

Kind: TypeAlias = Literal[
    "output",
    "gradient",
    "parameter",
    "loss",
    "metric",
    "ranking",
    "input",
    "weights",
    "setting",
    "count",
    "picture",
    "sample",
    "remark",
]

FORMAT_VERSION = 1
MANIFEST_FILE = "manifest.json"
ARRAYS_FILE = "arrays.safetensors"
_SPOOL_IN_MEMORY = 32 * 2**20
_DTYPES = tuple(name for name in safetensors.WRITTEN if name != "complex64")


@dataclass(frozen=True, slots=True)
class Entry:
    """The description of one recorded array.

    Attributes:
        kind: The kind of quantity, which decides how it is judged. A `remark` is text, of which only counts whether a
            side has it: the bytes of a message.
        step: The step that recorded it, with which its key starts: `forward` for `forward/logits`.
        scores: For a `ranking`, the key of the scores that were ranked, of shape (batch, classes).
        spread: L2 norm of the change of this array if inputs and weights change by one unit in the last place.
            Recorded by the reference: in float32, and in float64 for gradients that are rounding altogether.
        spread_max: The largest absolute change under the same perturbations.
        jumps: True if the quantity jumps where a ReLU switches, so that float32 may be off by single large steps.
        limit: Largest admissible relative L2 error in float64; by default that of the kind.
    """

    kind: Kind
    step: str
    scores: str | None = None
    spread: float | None = None
    spread_max: float | None = None
    jumps: bool = False
    limit: float | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """The description of a recording and of the run that made it.

    Attributes:
        backend: The framework: `torch`, `paddle`, ...
        dtype: The floating-point type of the computation: `float32` or `float64`.
        role: `reference`, `candidate`, or empty if it is not known.
        model: The model's name.
        device: `cpu` or `gpu`.
        steps: The steps that were run, in order.
        batch_size: Samples a batch; None if the steps do not share one.
        seeds: Seeds by the name of their generator.
        threads: CPU threads of the framework.
        versions: Versions of Python, the framework, NumPy and other packages that decide numbers.
        flags: Settings that change numbers: `tf32`, `deterministic`, ...
        digests: Digests of the `weights` (canonical) and the `inputs`; two recordings can be compared if they agree.
        command: The command line that made it.
        python: The interpreter that made it.
        created: ISO 8601 time with its zone.
        notes: Notes for the reader of the report: steps that do not apply, tensors that are not compared.
        entries: Description of each array, in the order in which they were recorded. `Recorder.write` fills it.
        format_version: Version of this layout on disk.
    """

    backend: str
    dtype: str
    role: Literal["", "reference", "candidate"] = ""
    model: str = ""
    device: str = "cpu"
    steps: tuple[str, ...] = ()
    batch_size: int | None = None
    seeds: Mapping[str, int] = field(default_factory=dict)
    threads: int | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    flags: Mapping[str, bool | int | str] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    command: str = ""
    python: str = ""
    created: str = ""
    notes: tuple[str, ...] = ()
    entries: Mapping[str, Entry] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION


class Recorded(Mapping[str, Array]):
    """The arrays of a run by key, on disk (`Recording`) or in memory (`Held`).

    Attributes:
        manifest: Description of the arrays and of the run.
    """

    manifest: Manifest


class Held(Recorded):
    """The arrays of a run in memory, one after the other as they are computed.

    Args:
        manifest: Description of the run; its `entries` are left out.
    """

    def __init__(self, manifest: Manifest) -> None:
        self._arrays: dict[str, Array] = {}
        self._entries: dict[str, Entry] = {}
        self.manifest = dataclasses.replace(manifest, entries=self._entries)

    def __getitem__(self, key: str) -> Array:
        return self._arrays[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def add(self, key: str, array: Array, entry: Entry) -> None:
        """Keep one array, which nothing may change afterwards."""
        self._arrays[key], self._entries[key] = array, entry


class Recording(Recorded):
    """The arrays of a recording by key, read from disk when they are used; a context manager.

    The arrays are memory-mapped and read-only, so a large one need not fit in memory.

    Attributes:
        path: The recording's directory.
        manifest: Description of the arrays and of the run.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest
        self._source, self._tensors = _open_arrays(path / ARRAYS_FILE)
        self._check_keys()

    def __getitem__(self, key: str) -> Array:
        if key not in self.manifest.entries:
            raise KeyError(key)
        if self._tensors is None:
            raise AlignmentError(f"{self.path}: read of {key!r} after the recording was closed")
        return self._tensors[key].load()

    def __iter__(self) -> Iterator[str]:
        return iter(self.manifest.entries)

    def __len__(self) -> int:
        return len(self.manifest.entries)

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; arrays that were read stay valid."""
        self._tensors = None
        self._source.close()

    def _check_keys(self) -> None:
        stored = set(self._tensors or ())
        declared = set(self.manifest.entries)
        details = [f"{key}: in {MANIFEST_FILE}, not in {ARRAYS_FILE}" for key in sorted(declared - stored)]
        details += [f"{key}: in {ARRAYS_FILE}, not in {MANIFEST_FILE}" for key in sorted(stored - declared)]
        if details:
            raise FileError(self.path, "manifest and arrays do not belong together; record this side again", details)


def open_recording(path: str | os.PathLike[str]) -> Recording:
    """Open the recording in a directory.

    Raises:
        FileError: There is none, it is damaged, or another version of the toolkit wrote it.
    """
    path = Path(path)
    return Recording(path, read_manifest(path))


def read_manifest(path: str | os.PathLike[str]) -> Manifest:
    """Read the manifest of the recording in a directory, without its arrays.

    Raises:
        FileError: There is none, it is not valid, or another version of the toolkit wrote it.
    """
    file = Path(path) / MANIFEST_FILE
    value = read_json(file, unreadable="no recording here ({}); `pit-align record` writes one", malformed="{}")
    version = value.get("format_version") if isinstance(value, dict) else None
    if version != FORMAT_VERSION:
        raise FileError(
            file, f"format version {version!r}, this version reads {FORMAT_VERSION}; record this side again"
        )
    return decode_from(file, Manifest, value)


class Recorder:
    """Collects the arrays of a run, then writes them as one recording.

    Arrays are copied to a temporary file as they come, so a run may record more than fits in memory, and a later change
    of an array does not change its recording.

    Args:
        spool: Directory for the temporary file; the system's by default.
    """

    def __init__(self, spool: str | os.PathLike[str] | None = None) -> None:
        directory = None if spool is None else os.fspath(spool)
        # It lives as long as the writer.
        self._spool: IO[bytes] = tempfile.SpooledTemporaryFile(_SPOOL_IN_MEMORY, dir=directory)  # noqa: SIM115
        self._entries: dict[str, Entry] = {}
        self._stored: dict[str, tuple[np.dtype[Any], tuple[int, ...], int, int]] = {}
        weakref.finalize(self, self._spool.close)

    @property
    def entries(self) -> Mapping[str, Entry]:
        """Descriptions of the arrays that were recorded so far, in order."""
        return dict(self._entries)

    def add(self, key: str, array: Array | np.generic, entry: Entry) -> None:
        """Record one array.

        Args:
            key: `<step>/<quantity>`, for example `bp/gradient/norm.weight`; it must be new and start with the step.
            array: Of a boolean, integer or floating-point dtype, bfloat16 included; any shape. A NumPy scalar is an
                array of shape ().
            entry: Its description.

        Raises:
            AlignmentError: The key was recorded before or does not start with its step, or no recording can hold the
                array.
        """
        self._check(key, array, entry)
        packed = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(array.shape)
        self._spool.seek(0, os.SEEK_END)
        begin = self._spool.tell()
        self._spool.write(packed.reshape(-1).view(np.uint8).data)
        self._stored[key] = (packed.dtype, packed.shape, begin, begin + packed.nbytes)
        self._entries[key] = entry

    def get(self, key: str) -> Array:
        """Return a copy of an array that was recorded before."""
        dtype, shape, begin, end = self._stored[key]
        self._spool.seek(begin)
        return np.frombuffer(bytearray(self._spool.read(end - begin)), dtype).reshape(shape)

    def forget(self, count: int) -> None:
        """Forget every array but the first `count` that were recorded."""
        dropped = list(self._stored)[count:]
        if dropped:
            self._spool.truncate(self._stored[dropped[0]][2])
        for key in dropped:
            del self._stored[key], self._entries[key]

    def annotate(self, key: str, *, spread: float, spread_max: float) -> None:
        """Add the spread of an array that was recorded before, see `Entry`."""
        self._entries[key] = dataclasses.replace(self._entries[key], spread=spread, spread_max=spread_max)

    def write(self, directory: str | os.PathLike[str], manifest: Manifest) -> Recording:
        """Write the recording whole, replace one of the same name, and open it.

        Args:
            directory: The recording's directory; its parents are created. Anything there that is not a recording
                is refused and stays unchanged.
            manifest: Description of the run; its `entries` are replaced by those of the recorded arrays.

        Raises:
            FileError: The target is something else than a recording, or cannot be written.
        """
        target = Path(directory)
        manifest = dataclasses.replace(manifest, entries=dict(self._entries))
        try:
            _check_replaceable(target)
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = _beside(target)
            temporary.mkdir()
            try:
                self._write_arrays(temporary / ARRAYS_FILE)
                (temporary / MANIFEST_FILE).write_text(to_json(manifest), encoding="utf-8")
                _move(temporary, target)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
        except OSError as error:
            raise FileError(target, f"the recording cannot be written: {error.strerror or error}") from error
        return open_recording(target)

    def _check(self, key: str, array: Array | np.generic, entry: Entry) -> None:
        if key in self._entries:
            raise AlignmentError(f"{key}: recorded twice; every quantity needs a key of its own")
        if not key.startswith(f"{entry.step}/"):
            raise AlignmentError(f"{key}: the key of a quantity of step {entry.step!r} must start with '{entry.step}/'")
        if not isinstance(array, np.ndarray | np.generic):
            raise AlignmentError(f"{key}: expected a NumPy array, found {type(array).__name__}")
        if array.dtype.name not in _DTYPES:
            raise AlignmentError(f"{key}: dtype {array.dtype} cannot be recorded; known: {', '.join(_DTYPES)}")

    def _write_arrays(self, path: Path) -> None:
        header = {
            key: {"dtype": safetensors.WRITTEN[dtype.name], "shape": list(shape), "data_offsets": [begin, end]}
            for key, (dtype, shape, begin, end) in self._stored.items()
        }
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        self._spool.seek(0)
        with path.open("wb") as file:
            file.write(len(text).to_bytes(8, "little"))
            file.write(text)
            shutil.copyfileobj(self._spool, file, 2**20)


def _open_arrays(file: Path) -> tuple[Source, Mapping[str, LazyTensor] | None]:
    try:
        source = Source.open(file, ahead=False)
        try:
            return source, safetensors.read(source)[0]
        except BaseException:
            source.close()
            raise
    except CheckpointError as error:
        problem = error.summary.removeprefix(f"{file}: ")
        raise FileError(file, f"{problem}; or record this side again") from None


def _check_replaceable(target: Path) -> None:
    if target.is_dir() and not target.is_symlink():
        others = sorted({item.name for item in target.iterdir()} - {MANIFEST_FILE, ARRAYS_FILE})
        if others:
            raise FileError(target, f"holds {others[0]!r}, which is no part of a recording; name another directory")
    elif os.path.lexists(target):
        raise FileError(target, "is there and is no directory; name another one")


def _beside(target: Path) -> Path:
    return target.with_name(f".{shortened(target.name)}.{uuid.uuid4().hex}")


def _move(source: Path, target: Path) -> None:
    if not target.exists():
        source.rename(target)
        return
    retired = _beside(target)
    target.rename(retired)
    try:
        source.rename(target)
    except BaseException:
        retired.rename(target)
        raise
    shutil.rmtree(retired, ignore_errors=True)
