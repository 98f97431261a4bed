"""Writes the official reprod_log files and reports of two recordings: `python -m alignment.recordings.reprod_write`.

Run by the Paddle side's Python, because `import reprod_log` imports Paddle; nothing else in `alignment` imports either.

For every step that both sides recorded, `OUT/<step>_<label>.npy` is what `ReprodLogger` saves and `OUT/<step>_diff.log`
what `ReprodDiffHelper` reports with its default threshold (mean absolute difference of 1e-6). Keys are as users of the
format have them, without the step: `logits`, `acc_top1`, `loss_0`, `gradient/norm.weight`. Weights and inputs stay in
the recordings; booleans are written as uint8 and bfloat16 as float32, since reprod_log can subtract neither.

The reports are there because reviewers ask for them, and decide nothing; `report.json` does. reprod_log passes NaN on
either side, broadcasts and transposes arrays to fit, averages one large error away, lets integers wrap around, compares
float64 with float16, and knows absolute differences only: a correct port can fail in float32, and a lost gradient of
9e-7 passes.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from alignment.arrays import Array
from alignment.errors import AlignmentError, NothingComparedError
from alignment.recordings.recording import Recording, open_recording
from porting.installing import install_command

LEFT_OUT = ("parameter", "input", "weights", "sample", "remark")
"""Kinds of quantities that no official file holds."""
_STAND_INS = {"bool": "uint8", "bfloat16": "float32"}


def write_files(sides: Mapping[str, Path], out: Path) -> list[Path]:
    """Write the official files of two recordings.

    Args:
        sides: Two labels, such as `torch` and `paddle`, each with its recording's directory; the reference first.
        out: Folder of the files.

    Returns:
        Paths of the files.

    Raises:
        AlignmentError: reprod_log is not installed.
        FileError: A recording cannot be read.
        NothingComparedError: The recordings share no step.
    """
    reprod_log = _import_reprod_log()
    quantities = {}
    for label, path in sides.items():
        with open_recording(path) as recording:
            quantities[label] = {step: dict(_quantities(recording, step)) for step in recording.manifest.steps}
    first, second = sides
    steps = [step for step, arrays in quantities[first].items() if arrays and quantities[second].get(step)]
    if not steps:
        raise NothingComparedError(f"{sides[first]} and {sides[second]} share no step, so there is nothing to write")
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for step in steps:
        name = {"bp": "bp_align", "train": "train_align"}.get(step, step)
        logs = [_save(reprod_log, out / f"{name}_{label}.npy", quantities[label][step]) for label in (first, second)]
        written += [*logs, _write_log(reprod_log, logs[0], logs[1], out / f"{name}_diff.log")]
    return written


def _import_reprod_log() -> Any:
    try:
        import reprod_log
    except ImportError as error:
        raise AlignmentError(
            f"{sys.executable} cannot import reprod_log ({error}): {install_command('paddle')}"
        ) from None
    return reprod_log


def _quantities(recording: Recording, step: str) -> Iterator[tuple[str, Array]]:
    for key, entry in recording.manifest.entries.items():
        if entry.step == step and entry.kind not in LEFT_OUT:
            yield key.removeprefix(f"{step}/"), recording[key]


def _save(reprod_log: Any, path: Path, arrays: Mapping[str, Array]) -> Path:
    logger = reprod_log.ReprodLogger()
    for key, array in arrays.items():
        logger.add(key, array.astype(_STAND_INS.get(array.dtype.name, array.dtype)))
    logger.save(str(path))
    return path


def _write_log(reprod_log: Any, reference: Path, candidate: Path, path: Path) -> Path:
    """Write reprod_log's report; if it cannot compare the files at all (a missing key), its error instead."""
    path.unlink(missing_ok=True)
    helper = reprod_log.ReprodDiffHelper()
    with _quiet_logging(), contextlib.redirect_stdout(io.StringIO()):
        try:
            helper.compare_info(helper.load_info(str(reference)), helper.load_info(str(candidate)))
            helper.report(path=str(path))
        except (AssertionError, ValueError, TypeError, NotImplementedError) as error:
            what = str(error) or type(error).__name__
            path.write_text(f"diff check failed: reprod_log cannot compare the two files: {what}\n", encoding="utf-8")
    return path


@contextlib.contextmanager
def _quiet_logging() -> Iterator[None]:
    """Restore the root logger, to which reprod_log adds two handlers at every report."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    root.handlers.clear()
    try:
        yield
    finally:
        for handler in root.handlers:
            handler.close()
        root.handlers[:] = handlers
        root.setLevel(level)


def main(arguments: list[str] | None = None) -> int:
    """Write the files that the command line asks for, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m alignment.recordings.reprod_write", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--pair", action="append", required=True, metavar="LABEL=DIR", help="a recording; give two")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the files go")
    options = parser.parse_args(arguments)
    sides = {label: Path(path) for label, _, path in (pair.partition("=") for pair in options.pair)}
    if len(sides) != 2 or not all(sides):
        parser.error("--pair LABEL=DIR is needed twice, with two different labels")
    try:
        for path in write_files(sides, options.out):
            print(path)
    except AlignmentError as error:
        print(f"error: {error}", file=sys.stderr)
        return 5 if isinstance(error, NothingComparedError) else 3
    except OSError as error:
        print(f"error: {options.out}: cannot be written: {error.strerror or error}", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
