"""The entries of a checkpoint about the run that wrote it, and whether a configuration may resume it."""

from __future__ import annotations

import platform
import shlex
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from paddle_impl.training.parallel import World
from paddle_impl.training.state import plain
from porting.checkpoint.formats.nested import Nested, Tree
from recipe.config import Config
from recipe.errors import ConfigError
from recipe.runs.resuming import changed_settings

_PACKAGES = ("paddlepaddle", "paddlepaddle-gpu", "numpy", "pillow", "pit-port")


def about(config: Config, world: World, fingerprint: str) -> dict[str, Tree]:
    """The configuration, the global batch, the images' digest and the origin of a run that starts now.

    Nothing depends on the machine or the time, so that the same run writes the same bytes anywhere.
    """
    return {
        "config": plain(asdict(config)),
        "global_batch": {
            "micro_batches": world.size * config.run.accumulation,
            "batch_size": config.data.batch_size,
            "seed": config.run.seed,
            "images": fingerprint,
        },
        "provenance": [_origin()],
    }


def continued(checkpoint: Nested, config: Config, world: World, fingerprint: str) -> dict[str, Tree]:
    """The entries of a run that resumes a checkpoint, which must be of the same configuration.

    Settings of `recipe.runs.resuming.FREE` may differ.

    Raises:
        ConfigError: Settings, the global batch or the images differ; the details name each.
    """
    own = about(config, world, fingerprint)
    saved = checkpoint.tree
    if not isinstance(saved.get("config"), dict):  # PaddleViT's, which does not hold its configuration
        return own
    problems = list(_differences(saved, own, config))
    if problems:
        raise ConfigError(
            f"{checkpoint.path}: was written by a run of another configuration, which cannot go on as this one; "
            "undo the changes, or start a new run from it with model.weights",
            problems,
        )
    origins = saved.get("provenance")
    own["provenance"] = _origins(origins if isinstance(origins, list) else [])
    return own


def _differences(saved: Mapping[str, Any], own: Mapping[str, Any], config: Config) -> Iterator[str]:
    yield from changed_settings(saved["config"], config)
    then, now = saved.get("global_batch") or {}, own["global_batch"]
    if then.get("micro_batches") != now["micro_batches"]:
        yield (
            f"devices x run.accumulation: {then.get('micro_batches')} then, {now['micro_batches']} now; "
            "the product has to stay"
        )
    if then.get("images") != now["images"]:
        yield "the training images: other names, labels or order than then"


def _origins(origins: list[Any]) -> list[Any]:
    """The origins so far, and that of this process if its versions differ from the last ones."""
    origin = _origin()
    known = origins and isinstance(origins[-1], dict) and origins[-1].get("versions") == origin["versions"]
    return origins if known else [*origins, origin]


def _origin() -> dict[str, Any]:
    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    return {"command": command, "versions": {"python": platform.python_version(), **dict(_versions())}}


def _versions() -> Iterator[tuple[str, str]]:
    for package in _PACKAGES:
        with suppress(PackageNotFoundError):
            yield package, version(package)
