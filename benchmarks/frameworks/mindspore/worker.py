"""The process that runs cases in MindSpore: it reads torch's weights from a folder, and writes what comes of each."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.frameworks.case import Outcome
from benchmarks.frameworks.tables import TABLES

_PARTS = ("quantities", "gradients", "buffers")
DONE = "done.txt"
"""The file that is there once every job was begun."""


@dataclass(frozen=True)
class Job:
    """One run.

    Attributes:
        group: The kind of layer.
        position: The case's place among those of the kind.
        text: MindSpore's text.
        dtype: `float64` or `float32`.
        training: Whether the layer is in training mode.
    """

    group: str
    position: int
    text: str
    dtype: str
    training: bool


def write_jobs(folder: Path, jobs: dict[int, Job]) -> None:
    """Write what the process is to do: the jobs by number."""
    (folder / "jobs.json").write_text(json.dumps({number: asdict(job) for number, job in jobs.items()}))


def write_weights(folder: Path, job: Job, weights: dict[str, npt.NDArray[Any]]) -> None:
    """Write torch's weights of a case in one mode."""
    np.savez(_weights(folder, job), **weights)  # type: ignore[arg-type] # the arrays by name


def read_outcome(folder: Path, number: int) -> Outcome | None:
    """Return what came of a job; None where the process ended in it."""
    try:
        with np.load(folder / f"outcome-{number}.npz") as saved:
            parts: dict[str, dict[str, npt.NDArray[Any]]] = {part: {} for part in _PARTS}
            for key in saved.files:
                part, _, name = key.partition("/")
                if part in parts:
                    parts[part][name] = saved[key]
            return Outcome(parts["quantities"], {}, parts["gradients"], parts["buffers"], str(saved["error"]))
    except FileNotFoundError:
        return None


def main(folder: Path) -> None:
    """Run the jobs of a folder that are not done, in the order of their numbers."""
    from benchmarks.frameworks.mindspore.side import run

    for number, values in json.loads((folder / "jobs.json").read_text()).items():
        if (folder / f"begun-{number}").exists():
            continue  # done, or what ended the process before this one
        (folder / f"begun-{number}").touch()
        job = Job(**values)
        with np.load(_weights(folder, job)) as weights:
            outcome = run(TABLES[job.group][job.position], job.text, job.dtype, job.training, dict(weights))
        arrays = {f"{part}/{name}": array for part in _PARTS for name, array in getattr(outcome, part).items()}
        np.savez(folder / f"outcome-{number}.npz", error=outcome.error, **arrays)
    (folder / DONE).touch()


def _weights(folder: Path, job: Job) -> Path:
    return folder / f"weights-{[*TABLES].index(job.group)}-{job.position}-{job.training:d}.npz"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
