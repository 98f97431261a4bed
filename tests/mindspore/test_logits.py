"""The recorded logits are still those of the torch models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest


@pytest.mark.parametrize("model", ["pit_ti", "regnety_160"])
def test_recorded_logits_are_those_of_torch(
    model: str, recorder: Mapping[str, Any], recorded: Mapping[str, Any]
) -> None:
    pytest.importorskip("torch", reason="torch is not installed here; `make test` has it")
    assert set(recorded) == set(recorder["MODELS"])
    np.testing.assert_allclose(recorder["logits"](model), recorded[model], rtol=1e-5, atol=1e-6)
