"""Alignment of many models one after the other, which can be interrupted and shared out among machines.

Every model has a folder of its own with its `report.json`. A model whose report passed is not run again as long as
nothing changed that its result depends on: settings, the toolkit's code, and the versions that the interpreters of both
sides have installed. `cell.json` beside the report holds a digest of these.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, TypeAlias

from alignment.errors import AlignmentError, FileError, HeldError, NothingComparedError
from alignment.pair import Pair, published
from alignment.processes import fingerprint
from alignment.processes.needs import require
from alignment.processes.processes import Progress
from alignment.processes.settings import Settings
from alignment.results.report import DIVERGENCE, Report, read_report
from alignment.results.summary import headline
from alignment.running.prepare import CELL_FILE, RECORDINGS, REPORT_FILE, held
from alignment.running.run import align as run_pair
from alignment.text_files import write_text
from porting.errors import ExpectedError
from porting.names import unknown

Announce: TypeAlias = Callable[[str], None]
Align: TypeAlias = Callable[..., Report]

SUMMARY_FILE = "matrix.json"
_LOCK_FILE = ".matrix.lock"
_BULKY = (RECORDINGS, "weights", "inputs.safetensors", "*_torch.npy", "*_paddle.npy")
_DIVERGED, _COULD_NOT_RUN, _NOTHING = 1, 3, 5


@dataclass(frozen=True)
class Matrix:
    """The models to align, and how.

    Attributes:
        models: Names as `alignment.pair.published.build` takes them, in the order in which they run.
        settings: Steps, precisions, device and so on for all models; weights are random.
        form: Keyword arguments of `alignment.pair.published.build`: `image_size`, `num_classes`, `candidate`.
        keep: Keep recordings and weights, which take gigabytes; reports and logs are always kept.
        fresh: Run what has passed before, too.
    """

    models: tuple[str, ...]
    settings: Settings = field(default_factory=Settings)
    form: Mapping[str, Any] = field(default_factory=dict)
    keep: bool = False
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """Outcome of one model.

    Attributes:
        model: Name of the model.
        report: Its report; None where it could not run.
        problem: Why it could not run; empty where it ran.
        seconds: Duration of the run in seconds.
        reused: True if the report is that of an earlier call.
        applies: True if any of the steps applies to the model.
        held: True if another run holds its folder, in which nothing was touched then.
    """

    model: str
    report: Report | None
    problem: str = ""
    seconds: float = 0.0
    reused: bool = False
    applies: bool = True
    held: bool = False


def chosen(patterns: Sequence[str], form: Mapping[str, Any] | None = None) -> tuple[str, ...]:
    """The models that match any of some shell patterns, in the toolkit's order; without a pattern, all published ones.

    Args:
        patterns: `pit_*`, `deit_base@384`.
        form: As in `Matrix`; an image size in it leaves out the models that are the same but for theirs.

    Raises:
        UnknownNameError: A pattern matches no model; the message names the nearest one.
    """
    names = published.NAMES if (form or {}).get("image_size") else published.PUBLISHED
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise unknown("model", pattern, names)
    return tuple(name for name in names if not patterns or any(fnmatchcase(name, pattern) for pattern in patterns))


def shard(models: Sequence[str], which: str, form: Mapping[str, Any]) -> tuple[str, ...]:
    """The models that one of several machines runs, such that all machines take about as long.

    Args:
        models: All models.
        which: `2/3` for the second of three.
        form: As in `Matrix`.

    Raises:
        AlignmentError: `which` does not have this form.
        NothingComparedError: There are fewer models than machines, and none is left for this one.
    """
    match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", which)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise AlignmentError(f"--shard {which}: expected I/N with I from 1 to N, such as 1/3")
    number = int(match[1])
    loads = [0.0] * min(int(match[2]), len(models))
    if number > len(loads):
        raise NothingComparedError(f"--shard {which}: there is no model for it, with {len(models)} in all")
    places: dict[str, int] = {}
    costs = {model: _cost(published.build(model, **form)) for model in models}
    for model in sorted(models, key=costs.__getitem__, reverse=True):
        places[model] = loads.index(min(loads))
        loads[places[model]] += costs[model]
    return tuple(model for model in models if places[model] == number - 1)


def align_all(
    matrix: Matrix,
    out: Path,
    *,
    progress: Progress | None = None,
    announce: Announce = lambda line: None,
    command: str = "",
    align: Align | None = None,
) -> list[Result]:
    """Align every model that has not passed before; a model that cannot run does not stop the others.

    Args:
        matrix: The models to align.
        out: Folder for a folder of each model, and `matrix.json`.
        progress: Called as the sides of a model report.
        announce: Called with a line when a model begins and when it is done.
        command: The command line, for the reports.
        align: Function that aligns one pair; `alignment.running.run.align` by default.
    """
    built = {model: published.build(model, **matrix.form) for model in matrix.models}
    for pair in built.values():  # what is missing is told once, not for every model
        require(pair, matrix.settings)
    code = fingerprint.digest_of_code()
    installed = {
        framework: fingerprint.versions_in(matrix.settings.python(framework), framework)
        for framework in {side.framework for pair in built.values() for side in (pair.reference, pair.candidate)}
    }
    keys = {model: _key(pair, matrix.settings, code, installed) for model, pair in built.items()}
    results = {model: _before(out / model, keys[model], model) for model in built if not matrix.fresh}
    left = [model for model in built if results.get(model) is None]
    clock = _Clock(sum(_cost(built[model]) for model in left))
    for number, model in enumerate(left, 1):
        announce(f"[{number}/{len(left)}] {model}{clock.remaining()}")
        results[model] = _run(built[model], out / model, matrix, keys[model], align or run_pair, progress, command)
        clock.done(_cost(built[model]))
        _write_summary(results, out)
    _write_summary(results, out)
    return [result for model in matrix.models if (result := results.get(model)) is not None]


def exit_code(results: Iterable[Result]) -> int:
    """0 if all aligned, 1 if one diverges, 3 if one could not run, 5 if nothing was compared."""
    results = list(results)
    if any(result.report is not None and result.report.verdict == DIVERGENCE for result in results):
        return _DIVERGED
    if any(result.report is None and result.applies for result in results):
        return _COULD_NOT_RUN
    return 0 if any(result.report is not None for result in results) else _NOTHING


def to_json(results: Iterable[Result]) -> dict[str, Any]:
    """The outcomes as a JSON value, by model."""
    return {
        result.model: {
            "verdict": None if result.report is None else result.report.verdict,
            "headline": result.problem if result.report is None else headline(result.report),
            "applies": result.applies,
            "seconds": round(result.seconds, 1),
            "reused": result.reused,
        }
        for result in results
    }


class _Clock:
    """Estimate of the remaining time, from the cost and duration of what is done."""

    def __init__(self, cost: float) -> None:
        self._left, self._done, self._start = cost, 0.0, time.monotonic()

    def done(self, cost: float) -> None:
        self._left -= cost
        self._done += cost

    def remaining(self) -> str:
        if not self._done:
            return ""
        seconds = (time.monotonic() - self._start) * self._left / self._done
        return f", about {math.ceil(seconds)} s left" if seconds < 100 else f", about {seconds / 60:.0f} min left"


def _cost(pair: Pair) -> float:
    """Rough cost of running a model, without a unit: its number of parameters times that of its input's pixels."""
    weights = sum(math.prod(tensor.shape) for tensor in pair.architecture.tensors.values())
    return float(weights) * pair.input_shape[1] * pair.input_shape[2]


def _run(
    pair: Pair, folder: Path, matrix: Matrix, key: str, align: Align, progress: Progress | None, command: str
) -> Result:
    start = time.monotonic()
    try:
        with held(folder, _LOCK_FILE):
            report = _aligned(pair, folder, matrix, align, progress, command)
            seconds = time.monotonic() - start
            write_text(json.dumps({"key": key, "seconds": seconds}) + "\n", folder / CELL_FILE)
    except ExpectedError as error:
        kinds = {"applies": not isinstance(error, NothingComparedError), "held": isinstance(error, HeldError)}
        return Result(pair.name, None, str(error), time.monotonic() - start, **kinds)
    return Result(pair.name, report, seconds=seconds)


def _aligned(pair: Pair, folder: Path, matrix: Matrix, align: Align, progress: Progress | None, command: str) -> Report:
    """Align a pair, and remove what is large, but not what another run holds."""
    refused = False
    try:
        return align(pair, folder, matrix.settings, progress=progress, command=command)
    except HeldError:
        refused = True
        raise
    finally:
        if not (matrix.keep or refused):
            for path in (path for pattern in _BULKY for path in folder.glob(pattern)):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _before(folder: Path, key: str, model: str) -> Result | None:
    """Outcome of an earlier run, if it passed and nothing has changed since; else None."""
    try:
        cell = json.loads((folder / CELL_FILE).read_text(encoding="utf-8"))
        report = read_report(folder / REPORT_FILE)
    except (OSError, ValueError, FileError):
        return None
    if not isinstance(cell, dict) or cell.get("key") != key or not report.passed:
        return None
    seconds = cell.get("seconds")
    return Result(model, report, seconds=float(seconds) if isinstance(seconds, int | float) else 0.0, reused=True)


def _key(pair: Pair, settings: Settings, code: str, installed: Mapping[str, str]) -> str:
    """SHA-256 of all that a result depends on."""
    origin = None if pair.origin is None else asdict(pair.origin)
    values = {field.name: getattr(settings, field.name) for field in fields(settings)}
    sides = [installed[side.framework] for side in (pair.reference, pair.candidate)]
    text = json.dumps([pair.name, origin, values, code, sides], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _write_summary(results: Mapping[str, Result | None], out: Path) -> None:
    known = to_json(result for result in results.values() if result is not None and not result.held)
    if known:
        write_text(json.dumps(known, indent=2) + "\n", out / SUMMARY_FILE)
