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

_PACKAGES = ("paddlepaddle", "paddlepaddle-gpu", "numpy", "pillow", "pit-port")
FREE = frozenset(
    {
        "model.weights",
        "data.path",
        "data.workers",
        "distillation.weights",
        "schedule.cooldown_epochs",
        "run.output",
        "run.accumulation",
        "run.device",
        "run.save_every",
        "run.save_updates",
        "run.validate_every",
        "run.log_every",
        "run.tracker",
    }
)
"""Settings that may change when a run is resumed: paths, devices, logging, and what `global_batch` checks."""


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
    """The entries of a run that resumes a checkpoint, which must be of the same configuration but for `FREE`.

    Raises:
        ConfigError: Settings, the global batch or the images differ; the details name each.
    """
    own = about(config, world, fingerprint)
    saved = checkpoint.tree
    if not isinstance(saved.get("config"), dict):  # PaddleViT's, which does not hold its configuration
        return own
    problems = list(_differences(saved, own))
    if problems:
        raise ConfigError(
            f"{checkpoint.path}: was written by a run of another configuration, which cannot go on as this one; "
            "undo the changes, or start a new run from it with model.weights",
            problems,
        )
    origins = saved.get("provenance")
    own["provenance"] = _origins(origins if isinstance(origins, list) else [])
    return own


def _differences(saved: Mapping[str, Any], own: Mapping[str, Any]) -> Iterator[str]:
    # A setting that is younger than the checkpoint had its default there.
    theirs, ours = _flat(plain(asdict(Config()))) | _flat(saved["config"]), _flat(own["config"])
    for name in sorted((theirs.keys() | ours.keys()) - FREE):
        if theirs.get(name) != ours.get(name):
            yield f"{name}: {theirs.get(name)!r} then, {ours.get(name)!r} now"
    then, now = saved.get("global_batch") or {}, own["global_batch"]
    if then.get("micro_batches") != now["micro_batches"]:
        yield (
            f"devices x run.accumulation: {then.get('micro_batches')} then, {now['micro_batches']} now; "
            "the product has to stay"
        )
    if then.get("images") != now["images"]:
        yield "the training images: other names, labels or order than then"


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(tree, Mapping):
        return {prefix: tree}
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        flat |= _flat(value, f"{prefix}.{name}" if prefix else str(name))
    return flat


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
