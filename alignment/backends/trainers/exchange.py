"""Request and results of processes that train together: files in a folder, for any framework."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

from safetensors.numpy import load_file, save_file

from alignment.arrays import Array
from alignment.backends.trainers.base import Updated
from alignment.errors import AlignmentError
from alignment.pair import Side
from porting.fields import encode
from recipe.config import Config
from recipe.loading import dump, load


def write_request(
    folder: Path, side: Side, config: Config, weights: Mapping[str, Array], updates: int, world: int
) -> None:
    """Write what every rank reads.

    Args:
        folder: Folder of the files.
        side: How the model is built.
        config: Configuration of a single process; the accumulation is divided by the number of processes.
        weights: The state dict to start from.
        updates: Number of updates.
        world: Number of processes.

    Raises:
        AlignmentError: The micro-batches cannot be shared out evenly.
    """
    accumulation, rest = divmod(config.run.accumulation, world)
    if rest:
        raise AlignmentError(f"{config.run.accumulation} micro-batches cannot be shared out among {world} processes")
    shared = replace(config, run=replace(config.run, accumulation=accumulation))
    (folder / "config.yaml").write_text(dump(shared), encoding="utf-8")
    request = {"side": encode(side), "updates": updates}
    (folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
    save_file(dict(weights), folder / "start.safetensors")


def read_request(folder: Path) -> tuple[Side, Config, dict[str, Array], int]:
    """The side, whose options are tuples again, its configuration, the weights to start from, the updates to do."""
    request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    config, weights = load(folder / "config.yaml"), load_file(folder / "start.safetensors")
    options = request["side"]["options"]
    options = {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
    return Side(**{**request["side"], "options": options}), config, weights, request["updates"]


def write_results(
    folder: Path, done: list[Updated], weights: Mapping[str, Array], average: Mapping[str, Array]
) -> None:
    """Write the updates and both state dicts after training; only the first rank calls this."""
    save_file(dict(weights), folder / "weights.safetensors")
    save_file(dict(average), folder / "average.safetensors")
    (folder / "updates.json").write_text(json.dumps([asdict(update) for update in done]), encoding="utf-8")


def read_results(folder: Path) -> tuple[list[Updated], dict[str, Array], dict[str, Array]]:
    """The updates, and the state dicts of the model and of its average."""
    done = [Updated(**update) for update in json.loads((folder / "updates.json").read_text(encoding="utf-8"))]
    return done, load_file(folder / "weights.safetensors"), load_file(folder / "average.safetensors")
