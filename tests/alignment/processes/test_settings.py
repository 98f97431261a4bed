"""How an alignment is to run."""

import sys
from typing import Any

import pytest

from alignment.errors import AlignmentError
from alignment.processes.settings import Settings
from porting.errors import UnknownNameError


def test_order_of_given_steps_and_precisions_is_ignored() -> None:
    settings = Settings(steps=("bp", "forward"), dtypes=("float64", "float32"))
    assert settings.steps == ("forward", "bp")
    assert settings.dtypes == ("float32", "float64")
    assert Settings().steps == ("forward", "metric", "loss", "bp", "batchnorm", "train_mode", "other_inputs")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": ("forwards",)}, "unknown step 'forwards'; did you mean forward"),
        ({"dtypes": ("float23",)}, "unknown dtype 'float23'; did you mean float"),
        ({"device": "cuda"}, "unknown device 'cuda'; known: cpu, gpu"),
        ({"pythons": {"pytorch": "python"}}, "unknown framework 'pytorch'"),
    ],
)
def test_a_misspelt_name_gets_a_hint(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UnknownNameError, match=message):
        Settings(**change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": ()}, "no step is given"),
        ({"batch_size": 0}, "the batch size is 0, expected 1 or more"),
        ({"seed": -1}, "the seed is -1, expected 0 or more"),
        ({"threads": 0}, "the threads is 0, expected 1 or more"),
        ({"candidate_weights": "ported.pdparams"}, "give --weights"),
    ],
)
def test_invalid_setting_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(AlignmentError, match=message):
        Settings(**change)


def test_a_side_runs_in_this_interpreter_unless_another_one_is_named() -> None:
    settings = Settings(pythons={"paddle": "/opt/paddle/bin/python"})
    assert settings.python("paddle") == "/opt/paddle/bin/python"
    assert settings.python("torch") == sys.executable


def test_the_environment_is_deterministic_and_without_tf32_unless_asked() -> None:
    strict = Settings(threads=3).environment(2)
    assert strict["OMP_NUM_THREADS"] == strict["FLAGS_paddle_num_threads"] == "3"
    assert strict["FLAGS_cudnn_deterministic"] == "1"
    assert strict["NVIDIA_TF32_OVERRIDE"] == "0"
    loose = Settings(deterministic=False, tf32=True).environment(2)
    assert loose["FLAGS_cudnn_deterministic"] is loose["CUBLAS_WORKSPACE_CONFIG"] is None
    assert loose["NVIDIA_TF32_OVERRIDE"] is None
