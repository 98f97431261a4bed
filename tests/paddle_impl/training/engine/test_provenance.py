from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from paddle_impl.training import provenance
from paddle_impl.training.parallel import World
from paddle_impl.training.provenance import about, continued
from paddle_impl.training.run import Result
from porting.checkpoint.formats.nested import Nested, write_nested
from recipe.config import Config
from recipe.errors import ConfigError

Run = Callable[..., Result]


def _saved(path: Path, config: Config, world: World, images: str = "images") -> Nested:
    write_nested(path, about(config, world, images))
    return Nested(path)


def test_checkpoint_of_another_configuration_is_refused_with_each_difference(tmp_path: Path) -> None:
    config = Config()
    changed = replace(
        config,
        optimizer=replace(config.optimizer, learning_rate=1e-3),
        run=replace(config.run, seed=1, output="elsewhere", log_every=1),
        data=replace(config.data, path="elsewhere", workers=1),
    )
    with _saved(tmp_path / "a.pdparams", config, World()) as checkpoint, pytest.raises(ConfigError) as caught:
        continued(checkpoint, changed, World(), "others")
    assert caught.value.details == (
        "optimizer.learning_rate: 0.0005 then, 0.001 now",
        "run.seed: 0 then, 1 now",
        "the training images: other names, labels or order than then",
    )


def test_setting_that_is_younger_than_the_checkpoint_had_its_default(tmp_path: Path) -> None:
    tree: Any = about(Config(), World(), "images")
    for name in ("ahead", "decay_epochs", "per_update", "scaled"):
        del tree["config"]["schedule"][name]
    write_nested(tmp_path / "a.pdparams", tree)
    with Nested(tmp_path / "a.pdparams") as checkpoint:
        continued(checkpoint, Config(), World(), "images")
        changed = replace(Config(), schedule=replace(Config().schedule, per_update=True))
        with pytest.raises(ConfigError) as caught:
            continued(checkpoint, changed, World(), "images")
    assert caught.value.details == ("schedule.per_update: False then, True now",)


def test_global_batch_of_other_ranks_and_accumulation_is_accepted(tmp_path: Path) -> None:
    config = Config()
    accumulating = replace(config, run=replace(config.run, accumulation=4))
    with _saved(tmp_path / "a.pdparams", config, World(0, 4)) as checkpoint:
        continued(checkpoint, accumulating, World(), "images")
        with pytest.raises(ConfigError) as caught:
            continued(checkpoint, accumulating, World(0, 4), "images")
    assert caught.value.details == ("devices x run.accumulation: 4 then, 16 now; the product has to stay",)


def test_provenance_grows_with_another_version_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with _saved(tmp_path / "a.pdparams", Config(), World()) as checkpoint:
        before: Any = continued(checkpoint, Config(), World(), "images")["provenance"]
        monkeypatch.setattr(provenance, "version", lambda package: "99")
        after: Any = continued(checkpoint, Config(), World(), "images")["provenance"]
    assert len(before) == 1
    assert [origin["versions"]["numpy"] == "99" for origin in after] == [False, True]


def test_changed_configuration_is_refused_before_anything_is_written(
    run_tiny: Run, tmp_path: Path, tiny_run: ModuleType
) -> None:
    run_tiny()
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    with pytest.raises(ConfigError, match="was written by a run of another configuration"):
        run_tiny(resume="auto", optimizer={"learning_rate": 1.0})
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before
