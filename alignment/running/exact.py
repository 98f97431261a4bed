"""A run that differs, once more with exact versions of the frameworks' own kernels that lose precision in float64.

What a framework does is not the port's fault: where the models agree once these kernels are out of the way, they are
the same function, and the report names the kernels.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from alignment.errors import AlignmentError
from alignment.judging.compare_paths import compare_paths, open_side
from alignment.judging.measuring import compare_key
from alignment.judging.other_inputs import causes_of
from alignment.pair import ROLES
from alignment.processes.processes import Progress
from alignment.recordings.kernels import CAST, KERNELS_FILE, Kernel, read_kernels
from alignment.results.report import DIVERGENCE, Report, Row, write_report
from alignment.running.prepare import REPORT_FILE, WORKER, Prepared

_EXPLAINED = 1e-3
"""Relative L2 of a forward pass that no kernel's float32 constant explains."""
_ROUNDED = 1e-5
"""Relative L2 by which casts to float32 that are nothing but rounding move the outputs of a model, at most."""
_CONTINUOUS = ("output", "gradient", "loss")
_OF_TRAINING = (*_CONTINUOUS, "weights", "setting")
_RUNNING = "batchnorm/running/"
"""Beginning of the names of running statistics."""
_UPDATING = ("regularisation", "optimizer", "train", "distributed")
"""Check points of training in which an optimizer runs."""


def without_kernels(prepared: Prepared, report: Report, progress: Progress | None = None) -> Report:
    """The report of a second run with exact kernels, where that leaves fewer differences; else the report itself.

    Args:
        prepared: A run of both sides, with its report written.
        report: That report.
        progress: Called as the sides report.

    Raises:
        AlignmentError: A side could not run again.
    """
    if report.verdict != DIVERGENCE or prepared.settings.strict or not _could_be(report):
        return report
    statistics = any(row.key.startswith(_RUNNING) for row in report.failures)
    again = replace(prepared, exact="statistics" if statistics else "kernels")
    second = _run_again(again, report, _CONTINUOUS, progress)
    if not _places(second) < _places(report) and _moved(report, second):
        again = replace(prepared, exact="kernels")
        second = _run_again(again, report, _CONTINUOUS, progress)
    if not _places(second) < _places(report):  # what explains a difference takes some away, and makes none
        return _kept(report, second, prepared)
    meant = list(_meant(prepared, again.recorded, second))
    if meant:
        return _kept(report, replace(report, notes=(*report.notes, *meant)), prepared)
    write_report(second, prepared.folder / REPORT_FILE)
    return second


def training_without_kernels(
    prepared: Prepared, report: Report, module: str, arguments: Sequence[str], progress: Progress | None = None
) -> Report:
    """The same for a run of check points of training, whose optimizers have exact versions too.

    A mistake may differ in the very quantities in which a kernel does: the second report is taken where it has no
    difference that the first has not, so that the mistake stands there alone.

    Args:
        prepared: A run of both sides, with its report written.
        report: That report.
        module: The program of a side.
        arguments: What it is given beside its request.
        progress: Called as the sides report.
    """
    wanted = any(row.kind in _OF_TRAINING and row.step in _UPDATING for row in report.failures)
    if not wanted or prepared.settings.strict:
        return report
    again = replace(prepared, exact="statistics")
    second = _run_again(again, report, _OF_TRAINING, progress, module, arguments)
    if not (second.kernels and _places(second) <= _places(report)):
        return _kept(report, second, prepared)
    write_report(second, prepared.folder / REPORT_FILE)
    return second


def _run_again(
    again: Prepared,
    report: Report,
    kinds: Sequence[str],
    progress: Progress | None,
    module: str = WORKER,
    arguments: Sequence[str] = (),
) -> Report:
    """The report of a run with exact versions; without any kernels where none was used, or a side could not run."""
    again.recorded.mkdir(exist_ok=True)
    try:
        again.run_sides(_once_more(progress), module, arguments)
    except AlignmentError as error:
        return replace(report, notes=(*report.notes, f"no run with exact kernels: {error.summary}"))
    kernels = [kernel for role in ROLES for kernel in _used(again, again.pair.label(role))]
    if not any(kernel.calls for kernel in kernels):
        return report
    second = compare_paths(again.recorded, again.recorded, command=report.command)
    refused = [
        f"the exact version of {kernel.name} was not used in {kernel.unused} calls: it is {kernel.apart:.1e} away"
        for kernel in kernels
        if kernel.unused
    ]
    wide = any(row.dtype == "float64" for row in second.rows)
    sized = {row.key for row in second.rows if (row.dtype == "float64") is wide and _is_sized(row, wide=wide)}
    apart = _apart(again.folder, again.recorded, kinds, sized)
    return replace(second, kernels=tuple(kernels), apart=apart, notes=(*notes_of_both(report, second), *refused))


def _moved(report: Report, second: Report) -> bool:
    """True if running statistics differ more beside a reference that takes up Paddle's variance."""
    first = {(row.key, row.dtype): row.rel_l2 for row in report.rows if row.key.startswith(_RUNNING)}
    return any(
        (row.rel_l2 or 0.0) > (first[row.key, row.dtype] or 0.0)
        for row in second.failures
        if (row.key, row.dtype) in first
    )


def notes_of_both(first: Report, second: Report) -> Iterator[str]:
    """Yield the notes of a run, without what only kernels made it look like, and with what their absence shows.

    Args:
        first: The report of the run; what was added to its notes later stands there alone.
        second: The same run with exact kernels, as its recordings were judged.
    """
    before, after = ([*_causes(report)] for report in (first, second))
    yield from (note for note in first.notes if note not in before or note in after)
    yield from (cause for cause in after if cause not in first.notes)


def _causes(report: Report) -> Iterator[str]:
    """Yield the notes of a report that rest on its rows of further inputs."""
    for dtype in dict.fromkeys(row.dtype for row in report.failures):
        yield from causes_of([row.key for row in report.failures if row.dtype == dtype])


def _once_more(progress: Progress | None) -> Progress | None:
    """Return what shows the progress of a second run as such."""
    if progress is None:
        return None
    return lambda side, what, done, total: progress(side, f"{what}, with exact kernels", done, total)


def _meant(prepared: Prepared, exact: Path, second: Report) -> Iterator[str]:
    """Yield which sides compute something else without their casts than float32 rounds: these casts are meant.

    Args:
        prepared: The first run.
        exact: Folder of the recordings of the second.
        second: Its report.
    """
    if not any(kernel.calls and kernel.name.startswith(CAST) for kernel in second.kernels):
        return
    for role in ROLES:
        with ExitStack() as stack:
            both = [open_side(folder, role, stack).get("float64") for folder in (prepared.folder, exact)]
            if both[0] is None or both[1] is None:
                continue
            kinds = both[0].manifest.entries
            keys = [key for key in both[0] if kinds[key].step == "forward" and kinds[key].kind == "output"]
            measured = [compare_key(key, both[0], both[1], infinities=True) for key in keys if key in both[1]]
            moved, norm = (math.hypot(*sums) for sums in ([m.l2 for m in measured], [m.reference_l2 for m in measured]))
        if not moved <= _ROUNDED * norm:
            yield (
                f"the casts in the {role} are part of what it computes: without them its outputs are "
                f"{moved / norm if norm else math.inf:.1e} off, so the run without them is not used"
            )


def _kept(report: Report, second: Report, prepared: Prepared) -> Report:
    """The first report, with the note of a second run that failed."""
    if second.kernels or second.notes == report.notes:
        return report
    noted = replace(report, notes=second.notes)
    write_report(noted, prepared.folder / REPORT_FILE)
    return noted


def _places(report: Report) -> set[tuple[str, str]]:
    return {(row.key, row.dtype) for row in report.failures}


def _could_be(report: Report) -> bool:
    """Whether a kernel may explain some of what diverges: something is off by little, and nothing by much in forward.

    What no kernel explains (weights, counts, a dtype, a lost output) may stand beside it.
    """
    off = [row for row in report.failures if row.kind in _CONTINUOUS and row.rel_l2 is not None]
    return bool(off) and all(row.step != "forward" or (row.rel_l2 or 0.0) < _EXPLAINED for row in off)


def _is_sized(row: Row, *, wide: bool) -> bool:
    """Whether a quantity is more than what its own rounding makes of it, in float64 or in float32."""
    return row.floor is None if wide else row.floor is not None and row.floor < _ROUNDED


def _used(again: Prepared, label: str) -> tuple[Kernel, ...]:
    return read_kernels(again.recorded / f"{label}-{KERNELS_FILE}")


def _apart(plain: Path, exact: Path, of_kinds: Sequence[str], sized: Container[str]) -> float | None:
    """Largest relative L2 between the candidate's results with its own kernels and with exact ones.

    They are those in float64, or in float32 where the framework has no float64.

    Args:
        plain: Folder of the first run's recordings.
        exact: That of the second's.
        of_kinds: Kinds of the quantities that count.
        sized: Those that are more than rounding, of which a relative difference says something.
    """
    with ExitStack() as stack:
        sides = [open_side(folder, "candidate", stack) for folder in (plain, exact)]
        both = [side.get("float64") or side.get("float32") for side in sides]
        if both[0] is None or both[1] is None:
            return None
        kinds = both[0].manifest.entries
        keys = [key for key in both[0] if kinds[key].kind in of_kinds and key in both[1] and key in sized]
        return max((compare_key(key, both[0], both[1], squeeze=False).rel_l2 for key in keys), default=None)
