"""The catalogue of faults holds together, and the simple checks are what they stand for."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from alignment.selftest.baselines import allclose_check, mean_check
from alignment.selftest.faults import FAULTS, Fault
from alignment.selftest.faults.arrays import FILE_FAULTS, WEIGHT_FAULTS
from alignment.selftest.faults.functions import ACCURACIES, LOSSES, RANKINGS
from alignment.selftest.results import slug
from alignment.selftest.run import MODELS, SelftestPlan, pair_of
from alignment.steps import STEPS
from alignment.steps.training import TRAINING_STEPS
from porting.errors import UnknownNameError

KINDS = {
    "weights": {*WEIGHT_FAULTS, "swapped"},
    "function": {*LOSSES, *ACCURACIES, *RANKINGS},
    "files": {*FILE_FAULTS, "missing", "extra"},
}


def test_catalogue_has_unique_faults_for_every_step() -> None:
    assert len(FAULTS) >= 60
    steps = {*STEPS, *TRAINING_STEPS, "files"} - {"other_inputs"}  # see steps/test_other_inputs.py
    assert set(Counter(fault.step for fault in FAULTS)) == steps
    assert len({slug(fault.name) for fault in FAULTS}) == len(FAULTS)


@pytest.mark.parametrize(
    "fault", [fault for fault in FAULTS if fault.place != "training"], ids=lambda fault: fault.name
)
def test_fault_of_the_catalogue_is_well_formed(fault: Fault) -> None:
    assert fault.model in MODELS
    assert fault.cause
    assert fault.kind in KINDS.get(fault.place, {fault.kind})
    if fault.place == "weights":
        assert {fault.path, *fault.expected} <= set(pair_of(fault.model).architecture.tensors)


def test_plan_of_steps_keeps_their_faults_and_refuses_unknown_steps() -> None:
    assert {fault.step for fault in SelftestPlan().of_steps(("train", "bp")).faults} == {"train", "bp"}
    with pytest.raises(UnknownNameError, match="unknown step 'trian'"):
        SelftestPlan().of_steps(("trian",))


def test_mean_check_accepts_what_reprod_log_accepts() -> None:
    ones = {"a": np.ones((2, 3), np.float32)}
    assert not mean_check(ones, {"a": np.full((2, 3), np.nan, np.float32)})
    assert not mean_check(ones, {"a": np.ones((3, 2), np.float32)})
    assert not mean_check(ones, {"a": np.ones((1, 3), np.float32)})
    assert mean_check(ones, {"a": ones["a"] + 1e-5})
    assert mean_check(ones, {})
    assert mean_check(ones, {"a": np.ones((5, 7), np.float32)})


def test_allclose_check_equals_numpys() -> None:
    ones = {"a": np.ones(3, np.float32)}
    assert not allclose_check(ones, {"a": ones["a"] + 9e-6})
    assert allclose_check(ones, {"a": ones["a"] + 1e-4})
    assert allclose_check(ones, {"a": np.full(3, np.nan)})
