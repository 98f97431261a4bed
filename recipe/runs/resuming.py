"""Whether a run may go on from a state that a run of another configuration wrote."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from porting.fields import encode
from recipe.config import Config
from recipe.errors import TrainingError

_LATEST = ("latest.pdparams", "latest.pth", "latest.ckpt")
"""Names of the latest state of a run in each framework."""

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
"""Settings that may change when a run is resumed: paths, devices, logging, and what the global batch checks."""


def require_no_other_run(folder: Path, latest: str) -> None:
    """Refuse to begin in a folder that holds a run of another framework, whose log would be overwritten.

    Args:
        folder: Folder of the run that begins.
        latest: Name of the file with its own latest state.

    Raises:
        TrainingError: It holds such a run.
    """
    other = next((name for name in _LATEST if name != latest and (folder / name).exists()), None)
    if other is not None:
        raise TrainingError(
            f"{folder}: holds a run of another framework, {other}, whose log a new one would overwrite; "
            "choose another run.output"
        )


def require_regular(state: Path) -> None:
    """Refuse a state that is no regular file, such as a FIFO, which would hold the command up when it is opened.

    Raises:
        TrainingError: It is none.
    """
    if not state.is_file():
        raise TrainingError(f"{state}: is no regular file, expected the state of a run")


def changed_settings(saved: Mapping[str, Any], config: Config, free: frozenset[str] = FREE) -> Iterator[str]:
    """Yield each setting that a run may not change when it is resumed and that differs, with both values.

    Args:
        saved: The configuration of the run that wrote the state, as plain values by section.
        config: The configuration to go on with.
        free: Settings that may differ.
    """
    # A setting that is younger than the state had its default there.
    then, now = _flat(encode(Config())) | _flat(saved), _flat(encode(config))
    for name in sorted((then.keys() | now.keys()) - free):
        if then.get(name) != now.get(name):
            yield f"{name}: {then.get(name)!r} then, {now.get(name)!r} now"


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(tree, Mapping):
        return {prefix: tree}
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        flat |= _flat(value, f"{prefix}.{name}" if prefix else str(name))
    return flat
