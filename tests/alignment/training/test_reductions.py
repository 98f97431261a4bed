"""Losses and gradients that are whole numbers of times too large: each factor has its own name."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from alignment.hypotheses.training import RecipeCase
from alignment.hypotheses.training.regularisation import decays
from alignment.hypotheses.training.updates import reductions
from alignment.results.findings import Finding
from alignment.training.explain import _cause
from recipe.config import Config


def case(path: str, right: dict[str, float], found: dict[str, float], batch: int, micro: int) -> RecipeCase:
    config = Config()
    data, run = replace(config.data, batch_size=batch), replace(config.run, accumulation=micro)
    finding = Finding("quantity", path, path, "train", "forward", ())
    expected, candidate = ({key: np.asarray(value) for key, value in side.items()} for side in (right, found))
    changed = replace(config, data=data, run=run)
    return RecipeCase(finding, tuple(found), expected, candidate, changed, lambda change: {})


@pytest.mark.parametrize(
    ("path", "factor", "batch", "micro", "name", "says"),
    [
        ("train/loss_0", 4, 4, 4, "reduction", "summed over the batch of 4"),
        ("train/loss_0", 2, 4, 2, "not divided", "not divided by the 2 micro-batches"),
        ("train/loss_0", 0.25, 4, 4, "reduction", "divided by the batch of 4 once too often"),
        ("distributed/loss_0", 2, 2, 2, "summed over the workers", "added up over the 2 workers"),
    ],
)
def test_factor_of_a_loss_has_a_name_of_its_own(
    path: str, factor: float, batch: int, micro: int, name: str, says: str
) -> None:
    given = case(path, {path: 1.5}, {path: 1.5 * factor}, batch, micro)
    found = [cause for each in reductions(given) if (cause := _cause(given, each)) is not None]
    assert found[0].name == name
    assert says in found[0].says


def test_wrong_decay_of_one_parameter_is_not_blamed_on_all() -> None:
    prefix = "regularisation/decay"
    right = {f"{prefix}/{name}": 0.05 for name in ("head.weight", "fc.weight", "qkv.weight")}
    one = case(f"{prefix}/head.weight", right, {f"{prefix}/head.weight": 0.025}, 4, 1)
    everything = case(f"{prefix}s", right, dict.fromkeys(right, 0.025), 4, 1)
    for given, names in ((one, []), (everything, ["decay scaled"])):
        assert [cause.name for each in decays(given) if (cause := _cause(given, each)) is not None] == names
