"""Makes a report of two sides' recordings: every quantity is measured, and judged by the best evidence there is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timezone
from typing import Any

from alignment.arrays import Array
from alignment.errors import NothingComparedError, RefusedError
from alignment.judging import half_precision, reduced_precision
from alignment.judging.dtype_judge import DtypeJudge, is_float, row_of
from alignment.judging.measuring import compare
from alignment.judging.tolerance import (
    Tolerances,
    exact,
    tolerate,
)
from alignment.recordings.recording import Recorded
from alignment.recordings.reprod_check import check_key
from alignment.results.report import (
    WITHIN_TOLERANCE,
    Report,
    Row,
    overall,
)
from alignment.results.summary import identical_rows

DTYPES = ("float64", "float32")
_DIGEST = len("sha256:") + 16
"""Characters of the inputs' digest that a report shows: enough to tell inputs apart."""


def judge(
    reference: Mapping[str, Recorded],
    candidate: Mapping[str, Recorded],
    *,
    tolerances: Tolerances | None = None,
    squeeze: bool = False,
    command: str = "",
    notes: tuple[str, ...] = (),
) -> Report:
    """Judge a candidate by everything that both sides recorded.

    Args:
        reference: The reference's recordings by dtype, `float64` and `float32`, or one of them. The float64 one is the
            evidence for float32 even where the candidate has none.
        candidate: The candidate's, in at least one of the reference's dtypes.
        tolerances: Used where there is no float64 evidence; the default ones by default.
        squeeze: Let shapes differ by axes of length one.
        command: The command line, for the report.
        notes: Notes for the reader of the report.

    Raises:
        RefusedError: The sides share no dtype, or were fed different inputs.
        NothingComparedError: Neither side recorded anything.
    """
    dtypes = [dtype for dtype in dict.fromkeys((*DTYPES, *reference)) if dtype in reference and dtype in candidate]
    if not dtypes:
        sides = f"the reference in {', '.join(reference) or 'none'}, the candidate in {', '.join(candidate) or 'none'}"
        raise RefusedError(f"the two sides were recorded in no common precision: {sides}")
    _refuse_other_inputs(reference, candidate)
    tolerances = tolerances or Tolerances()
    tolerances.check({key for side in (reference, candidate) for dtype in dtypes for key in side[dtype]})
    judges = [DtypeJudge(dtype, reference, candidate, tolerances, squeeze) for dtype in dtypes]
    rows = [row for judge_of_dtype in judges for row in judge_of_dtype.rows()]
    left_out = dict.fromkeys(note for judge_of_dtype in judges for note in judge_of_dtype.left_out(rows))
    if not rows:
        raise NothingComparedError("nothing was compared: neither side recorded a single quantity")
    steps = list(dict.fromkeys(row.step for row in rows))
    rows.sort(key=lambda row: steps.index(row.step))
    manifest = candidate[dtypes[0]].manifest
    return _report(
        rows,
        model=manifest.model or reference[dtypes[0]].manifest.model,
        device=manifest.device,
        environments={"reference": _environment(reference), "candidate": _environment(candidate)},
        command=command,
        notes=(*notes, *_notes(reference, candidate, rows), *left_out),
    )


def judge_arrays(
    reference: Mapping[str, Array],
    candidate: Mapping[str, Array],
    *,
    step: str = "",
    tolerances: Tolerances | None = None,
    squeeze: bool = False,
    command: str = "",
    notes: tuple[str, ...] = (),
) -> Report:
    """Judge arrays of unknown kind: integers must be equal, floats are judged by tolerance.

    Every row also holds the result of reprod_log's own check.

    Args:
        reference: Arrays by key.
        candidate: Arrays by the same keys.
        step: The step that they belong to; by default the part of a key before the first `/`.
        tolerances: The default ones by default.
        squeeze: Let shapes differ by axes of length one.
        command: The command line, for the report.
        notes: Notes for the reader of the report.

    Raises:
        NothingComparedError: Neither side has a key.
    """
    tolerances = tolerances or Tolerances()
    tolerances.check({*reference, *candidate})
    rows = []
    for key, measured in compare(reference, candidate, squeeze=squeeze).items():
        array = (reference if key in reference else candidate)[key]
        dtype = array.dtype.name
        if is_float(array):
            kind, judgement = "output", tolerate(measured, tolerances.of(key, "output", dtype))
        else:
            kind, judgement = "integers", exact(measured, WITHIN_TOLERANCE, "integers")
        check = check_key(key, reference, candidate)
        rows.append(row_of(key, step or key.split("/")[0], kind, dtype, measured, judgement, check))
    return _report(
        rows,
        model="",
        command=command,
        notes=(
            "judged by tolerance only: these files hold no float64 evidence of what rounding explains",
            *([identical] if (identical := identical_rows(rows)) else []),
            *notes,
        ),
    )


def _report(rows: Iterable[Row], **fields: Any) -> Report:
    """Return the report of these rows, made now."""
    rows = tuple(rows)
    created = datetime.now(timezone.utc).isoformat(timespec="seconds")
    steps = tuple(dict.fromkeys(row.step for row in rows))
    return Report(overall(rows), steps=steps, rows=rows, created=created, **fields)


def _refuse_other_inputs(reference: Mapping[str, Recorded], candidate: Mapping[str, Recorded]) -> None:
    digests = {
        f"{side} ({dtype})": recording.manifest.digests["inputs"]
        for side, recordings in (("reference", reference), ("candidate", candidate))
        for dtype, recording in recordings.items()
        if "inputs" in recording.manifest.digests
    }
    if len(set(digests.values())) > 1:
        raise RefusedError(
            "the recordings were fed different inputs, so their results say nothing about the models; record both "
            "sides with the same seed, batch size and images",
            [f"inputs of the {side}: {digest}" for side, digest in digests.items()],
        )


def _environment(recordings: Mapping[str, Recorded]) -> dict[str, str]:
    manifests = [recording.manifest for recording in recordings.values()]
    first = manifests[0]
    flags = {name: str(value).lower() for name, value in first.flags.items()}
    settings = {"backend": first.backend, "device": first.device, "dtypes": ", ".join(m.dtype for m in manifests)}
    optional = {"threads": first.threads, "batch size": first.batch_size, "python": first.python or None}
    optional |= {"seed": first.seeds.get("run"), "inputs": first.digests.get("inputs", "")[:_DIGEST] or None}
    known = {name: str(value) for name, value in optional.items() if value is not None}
    return {**settings, **known, **first.versions, **flags}


def _notes(reference: Mapping[str, Recorded], candidate: Mapping[str, Recorded], rows: list[Row]) -> Iterator[str]:
    manifests = [recording.manifest for side in (reference, candidate) for recording in side.values()]
    yield from dict.fromkeys(note for manifest in manifests for note in manifest.notes)
    if any(row.verdict == WITHIN_TOLERANCE for row in rows):
        yield "some quantities are judged by tolerance only: the reference has no float64 recording of them"
    if "float64" not in candidate and "float64" in reference:
        yield "the candidate was not recorded in float64, so nothing certifies that it is the same function"
    weights = {side[dtype].manifest.digests.get("weights") for side in (reference, candidate) for dtype in side}
    if len(weights - {None}) > 1:
        yield "the sides started from different weights, by the digests in their manifests"
    yield from filter(None, [reduced_precision.note(rows)])
    yield from half_precision.notes(rows, candidate)
