"""The verdict of each tool on the pairs of `benchmarks.wrong_arrays`, asked by its own interface in `ask`.

Each function imports only its own tool, so that this module runs in an environment that has no other tool.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from benchmarks.wrong_arrays import RIGHT_PAIRS, WRONG_PAIRS, Arrays

Judge: TypeAlias = Callable[[Arrays, Arrays], "bool | None"]

TOLERANCE = 1e-5
"""Absolute and relative tolerance of tools that need one: Polygraphy's default, and near torch's."""
NO_FILES = ("key missing", "key extra", "both files empty")
"""Pairs that only a tool for files or dictionaries can judge."""
_WORDS = {True: "accepts", False: "refuses", None: "no verdict"}
_MESSAGE_LENGTH = 200


def reprod_log() -> Judge:
    """reprod_log's own files, compared and reported by its own helper, at its default mean of 1e-6."""
    from reprod_log import ReprodDiffHelper, ReprodLogger

    def judge(reference: Arrays, candidate: Arrays) -> bool:
        helper, infos = ReprodDiffHelper(), []
        with tempfile.TemporaryDirectory() as folder:
            for name, arrays in (("reference.npy", reference), ("candidate.npy", candidate)):
                logger = ReprodLogger()
                for key, array in arrays.items():
                    logger.add(key, array)
                logger.save(str(Path(folder, name)))
                infos.append(helper.load_info(str(Path(folder, name))))
            helper.compare_info(*infos)
            helper.report(path=str(Path(folder, "diff.log")))
            logging.shutdown()
            return "diff check passed" in Path(folder, "diff.log").read_text()

    return judge


def padiff() -> Judge:
    """`assert_tensor_equal` with its defaults: relative 1e-7, of the means."""
    from padiff.utils import assert_tensor_equal

    def judge(reference: Arrays, candidate: Arrays) -> bool:
        options = {"atol": 0, "rtol": 1e-7, "compare_mode": "mean"}
        for key in reference:
            assert_tensor_equal(candidate[key], reference[key], options)
        return True

    return judge


def msprobe() -> Judge:
    """The checks and metrics of msprobe for two tensors, and the "Accuracy Reached or Not" that follows from them.

    There is no such verdict for a tensor of one element.
    """
    from msprobe.core.common.const import CompareConst
    from msprobe.core.compare.multiprocessing_compute import check_accuracy
    from msprobe.core.compare.npy_compare import CompareResult, ValidateTensor, compare_ops_apply

    def judge(reference: Arrays, candidate: Arrays) -> bool | None:
        reached = []
        for key in reference:
            checked = ValidateTensor().check_tensor(CompareResult(candidate[key].copy(), reference[key].copy()))
            metrics, _ = compare_ops_apply(checked.n_value, checked.b_value, checked.error_flag, checked.err_msg)
            named = dict(zip(CompareConst.BUILTIN_COMPARE_COLUMNS, metrics, strict=True))
            reached.append(check_accuracy(named["Cosine"], named["MaxAbsErr"]))
        if CompareConst.NONE in reached:
            return None
        return all(word == CompareConst.ACCURACY_CHECK_YES for word in reached)

    return judge


def polygraphy() -> Judge:
    """`Comparator.compare_accuracy` with its defaults: 1e-5 both, element by element."""
    from polygraphy.comparator import Comparator, IterationResult, RunResults

    def judge(reference: Arrays, candidate: Arrays) -> bool:
        results = RunResults()
        for name, arrays in (("candidate", candidate), ("reference", reference)):
            results.append((name, [IterationResult(arrays, runner_name=name)]))
        return bool(Comparator.compare_accuracy(results))

    return judge


def allclose() -> Judge:
    """`np.allclose` over the reference's keys."""

    def judge(reference: Arrays, candidate: Arrays) -> bool:
        return all(np.allclose(candidate[key], reference[key], TOLERANCE, TOLERANCE) for key in reference)

    return judge


def assert_allclose() -> Judge:
    """`np.testing.assert_allclose` over the reference's keys."""

    def judge(reference: Arrays, candidate: Arrays) -> bool:
        for key in reference:
            np.testing.assert_allclose(candidate[key], reference[key], TOLERANCE, TOLERANCE)
        return True

    return judge


def assert_close() -> Judge:
    """`torch.testing.assert_close` of the two dictionaries."""
    import torch

    def judge(reference: Arrays, candidate: Arrays) -> bool:
        one, other = ({key: torch.tensor(array) for key, array in side.items()} for side in (candidate, reference))
        torch.testing.assert_close(one, other, rtol=TOLERANCE, atol=TOLERANCE)
        return True

    return judge


def pit_align() -> Judge:
    """The verdict of `pit-align compare` on two files: no float64 evidence, default tolerances."""
    from alignment.judging.judge import judge_arrays

    return lambda reference, candidate: judge_arrays(reference, candidate).passed


TOOLS: Mapping[str, tuple[str, Callable[[], Judge], tuple[str, ...]]] = {
    "reprod_log": ("reprod_log", reprod_log, ()),
    "PaDiff": ("padiff", padiff, NO_FILES),
    "msprobe": ("mindstudio-probe", msprobe, NO_FILES),
    "Polygraphy": ("polygraphy", polygraphy, ()),
    "np.allclose": ("numpy", allclose, ()),
    "np.testing": ("numpy", assert_allclose, ()),
    "torch.testing": ("torch", assert_close, ()),
    "pit-align compare": ("", pit_align, ()),
}
"""Distribution of each tool, the function that makes its judge, and the pairs that it cannot judge."""


def ask(tool: str) -> dict[str, Any]:
    """A tool's verdict on every pair, by the name of the pair.

    An exception counts as a refusal: its user sees that something is wrong. Its message stands under `raised`.

    Raises:
        ImportError: The tool is not installed here.
    """
    distribution, make, cannot = TOOLS[tool]
    judge = make()
    verdicts, raised = {}, {}
    for name, (reference, candidate) in (WRONG_PAIRS | RIGHT_PAIRS).items():
        if name in cannot:
            verdicts[name] = "not applicable"
            continue
        try:
            verdicts[name] = _WORDS[judge(dict(reference), dict(candidate))]
        except Exception as error:
            verdicts[name], raised[name] = "refuses", f"{type(error).__name__}: {error}"[:_MESSAGE_LENGTH]
    return {"version": version(distribution) if distribution else "", "said": verdicts, "raised": raised}


def main() -> None:
    """Print one tool's answers as the last line of stdout; the tool's own output goes to stderr."""
    answer = os.dup(1)
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    with np.errstate(all="ignore"):
        answers = ask(sys.argv[1])
    sys.stdout.flush()
    os.write(answer, json.dumps(answers).encode())


if __name__ == "__main__":
    main()
