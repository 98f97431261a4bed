"""Several Paddle processes that train together, for the trainer of one: `python -m alignment.backends.paddle_ranks`.

`paddle.distributed.launch` starts one process a rank, each of which trains with its share of every update; the first
writes what came of it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import paddle
from safetensors.numpy import load_file, save_file

from alignment.backends.base import Array
from alignment.backends.paddle_training import PaddleTrainer
from alignment.backends.trainer import Updated
from alignment.errors import AlignmentError
from alignment.pair import Side
from paddle_impl.training.parallel import join
from recipe.config import Config
from recipe.loading import dump, load

_BOOTSTRAP = Path(__file__).resolve().parents[1] / "bootstrap.py"
_PATIENCE = 1800
_TAIL = 20


def train_in_ranks(
    side: Side, config: Config, weights: Mapping[str, Array], updates: int, world: int
) -> tuple[list[Updated], dict[str, Array], dict[str, Array]]:
    """Train in several processes, which share the micro-batches of an update.

    Args:
        side: How the model is built.
        config: Of one process; the accumulation is divided by the processes.
        weights: The state dict to start from.
        updates: How many.
        world: Processes.

    Returns:
        The updates, and the state dicts of the model and of its average.

    Raises:
        AlignmentError: The micro-batches cannot be shared out evenly, or a process failed.
    """
    accumulation, rest = divmod(config.run.accumulation, world)
    if rest:
        raise AlignmentError(f"{config.run.accumulation} micro-batches cannot be shared out among {world} processes")
    with tempfile.TemporaryDirectory(prefix="pit-align-") as name:
        folder = Path(name)
        shared = replace(config, run=replace(config.run, accumulation=accumulation))
        (folder / "config.yaml").write_text(dump(shared), encoding="utf-8")
        words = {each.name: getattr(side, each.name) for each in fields(side)}
        request = {"side": {**words, "options": dict(side.options)}, "updates": updates}
        (folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
        save_file(dict(weights), folder / "start.safetensors")
        _launch(folder, world)
        done = [Updated(**each) for each in json.loads((folder / "updates.json").read_text(encoding="utf-8"))]
        return done, load_file(folder / "weights.safetensors"), load_file(folder / "average.safetensors")


def _launch(folder: Path, world: int) -> None:
    launcher = ("-m", "paddle.distributed.launch", "--nproc_per_node", str(world), "--log_dir", str(folder / "logs"))
    known = {name: value for name, value in os.environ.items() if not name.startswith("PADDLE_")}
    done = subprocess.run(  # noqa: S603
        [sys.executable, *launcher, str(_BOOTSTRAP), "first", __name__, str(folder)],
        env=known,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_PATIENCE,
    )
    if done.returncode:
        logs = [path.read_text(errors="replace") for path in sorted(folder.glob("logs/workerlog.*"))]
        lines = [line for log in (*logs, done.stdout) for line in log.splitlines()[-_TAIL:] if line.strip()]
        raise AlignmentError(f"{world} Paddle processes could not train together", lines)


def main(arguments: list[str]) -> int:
    """Train as one of the ranks; the first writes the results into the folder that is named."""
    folder = Path(arguments[0])
    request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    config = load(folder / "config.yaml")
    paddle.set_device("cpu" if config.run.device == "cpu" else f"gpu:{paddle.distributed.ParallelEnv().device_id}")
    world = join()
    trainer = PaddleTrainer(_side(request["side"]), config, world)
    trainer.start(load_file(folder / "start.safetensors"))
    done = trainer.train(request["updates"], world.size)
    if world.leads:
        save_file(trainer.weights(), folder / "weights.safetensors")
        save_file(trainer.average(), folder / "average.safetensors")
        (folder / "updates.json").write_text(json.dumps([asdict(each) for each in done]), encoding="utf-8")
    return 0


def _side(words: Mapping[str, Any]) -> Side:
    """A side that was written as JSON, which makes lists of tuples."""
    options = {name: tuple(each) if isinstance(each, list) else each for name, each in words["options"].items()}
    return Side(**{**words, "options": options})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
