"""Recording of what the modules of a reference are given and give."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from alignment.arrays import Array
from alignment.backends.base import Isolated, Module, Tap, Taps
from alignment.bisection.evidence import Reference
from alignment.bisection.modes import set_mode
from alignment.recordings.recording import Entry, Kind, Recorder, open_recording
from alignment.steps.base import Trial

REFERENCE_DTYPES = ("float64", "float32")
MODULES_FILE, ALIASES_FILE, NOTES_FILE = "modules.json", "aliases.json", "notes.json"
Mark: TypeAlias = tuple[int, int, int]
_CLOSE = {"float64": 1e-9, "float32": 1e-4}
"""By precision, relative L2 up to which a module that runs alone gives what it gave in its model."""


class Deduplicator:
    """A recorder that stores equal arrays once: the output of one module is mostly the input of the next.

    Args:
        folder: Folder for temporary files.
        dtype: Precision of the recording, for the names of aliases.
        aliases: Filled with `<dtype> <key>` of every array that is stored under another key, to that key.
    """

    def __init__(self, folder: Path, dtype: str, aliases: dict[str, str]) -> None:
        self.recorder = Recorder(spool=folder)
        self._dtype, self._aliases = dtype, aliases
        self._stored: dict[tuple[bytes, tuple[int, ...], str], str] = {}

    def add(self, key: str, array: Array, kind: Kind, step: str) -> None:
        """Record an array under a key of a step."""
        digest = hashlib.blake2b(np.ascontiguousarray(array).tobytes(), digest_size=16).digest()
        first = self._stored.setdefault((digest, array.shape, array.dtype.str), key)
        if first == key:
            self.recorder.add(key, array, Entry(kind, step))
        else:
            self._aliases[f"{self._dtype} {key}"] = first

    def get(self, key: str) -> Array | None:
        """An array that was recorded; None without one."""
        key = self._aliases.get(f"{self._dtype} {key}", key)
        return self.recorder.get(key) if key in self.recorder.entries else None

    def mark(self) -> Mark:
        """What is recorded now, for `rewind`."""
        return len(self.recorder.entries), len(self._stored), len(self._aliases)

    def rewind(self, mark: Mark) -> None:
        """Forget everything that was recorded after a mark."""
        entries, stored, aliases = mark
        self.recorder.forget(entries)
        for digest in list(self._stored)[stored:]:
            del self._stored[digest]
        for key in list(self._aliases)[aliases:]:
            del self._aliases[key]

    def calls(self, mode: str) -> list[tuple[str, int]]:
        """Path and number of every call of a module that was recorded in a mode, in order."""
        prefix = f"{mode}/tap/"
        own = [key for key in self._aliases if key.startswith(f"{self._dtype} ")]
        keys = [*self.recorder.entries, *(key.partition(" ")[2] for key in own)]
        heads = (key.removeprefix(prefix).partition("/")[0] for key in keys if key.startswith(prefix))
        calls = dict.fromkeys(tuple(head.rsplit(":", 1)) for head in heads)
        return [(path, int(number)) for path, number in calls]


def add_input_gradients(trial: Trial, taps: Taps, mode: str, recorded: Deduplicator) -> None:
    """Record the input gradients of modules that were watched without copies, from running each alone.

    Modules that give something else alone than in their model are left out.

    Args:
        trial: The reference, in one precision.
        taps: Its modules, which were watched.
        mode: `eval` or `train`.
        recorded: The recording of that; gets the gradients.
    """
    set_mode(trial.backend, mode)
    try:
        for path, call in recorded.calls(mode):
            trial.reset()
            for index, gradient in enumerate(_alone(trial, taps, mode, recorded, (path, call))):
                if gradient is not None:
                    recorded.add(f"{mode}/tap/{Tap(path, call, 'input_gradient', index)}", gradient, "gradient", mode)
    finally:
        trial.backend.train(False)


def _alone(
    trial: Trial, taps: Taps, mode: str, recorded: Deduplicator, call: tuple[str, int]
) -> tuple[Array | None, ...]:
    """Gradients of the inputs of one call, from the recorded gradients of its outputs; none where they are unknown."""

    def arrays(what: str) -> Iterator[Array]:
        index = 0
        while (array := recorded.get(f"{mode}/tap/{Tap(*call, what, index)}")) is not None:
            yield array
            index += 1

    inputs, outputs = list(arrays("input")), list(arrays("output"))
    gradients = [recorded.get(f"{mode}/tap/{Tap(*call, 'output_gradient', index)}") for index in range(len(outputs))]
    if not inputs or all(gradient is None for gradient in gradients):
        return ()
    try:
        alone = taps.isolate(*call, inputs, gradients, integers=list(arrays("integers")))
    except Exception:  # whatever a framework raises of a module that depends on what is around it
        return ()
    return alone.input_gradients if _same(alone, outputs, _CLOSE[trial.inputs.dtype]) else ()


def _same(alone: Isolated, outputs: list[Array], limit: float) -> bool:
    if len(alone.outputs) != len(outputs):
        return False
    return all(
        one.shape == other.shape and bool(np.linalg.norm(one - other) <= limit * np.linalg.norm(other))
        for one, other in zip(alone.outputs, outputs, strict=True)
    )


@dataclass(frozen=True)
class ReferenceModules:
    """The recordings of a reference that a candidate is compared with.

    Attributes:
        reference: The recordings.
        modules: The modules of the reference, by path.
        notes: What a reader has to know of the recording.
    """

    reference: Reference
    modules: Mapping[str, Module]
    notes: tuple[str, ...] = ()

    @classmethod
    def read(cls, folder: Path) -> ReferenceModules:
        """Open what `record` wrote."""
        modules = json.loads((folder / MODULES_FILE).read_text(encoding="utf-8"))
        aliases = json.loads((folder / ALIASES_FILE).read_text(encoding="utf-8"))
        notes = json.loads((folder / NOTES_FILE).read_text(encoding="utf-8"))
        float64, float32 = (open_recording(folder / dtype) for dtype in REFERENCE_DTYPES)
        decoded = {
            path: Module(value["kind"], tuple(value["parameters"]), value["settings"])
            for path, value in modules.items()
        }
        return cls(Reference(float64, float32, aliases), decoded, tuple(notes))
