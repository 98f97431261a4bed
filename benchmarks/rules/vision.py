"""Derives the rules of published pairs and proves them in float64; see `benchmarks.rules.vision_pairs`.

    python -m benchmarks.rules.vision [--model resnet50] [--mindspore-python PYTHON] [--page]

What was measured is kept in `vision.json` beside this file, from which `--page` writes the table in docs.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import click
import numpy as np

from alignment.backends.base import Runtime
from alignment.backends.building import build_model, in_finest
from alignment.pair import Origin
from alignment.pair.contract import Contract
from alignment.pair.inputs import random_inputs
from alignment.processes.settings import Settings
from alignment.rules.in_process import derive_here
from alignment.rules.settle import settle
from alignment.running.run import align
from benchmarks.rules.vision_page import write_page
from benchmarks.rules.vision_pairs import PAIRS, declared
from porting.checkpoint.tensor import LazyTensor
from porting.errors import ExpectedError
from porting.rules import Rule
from porting.saved_rules import write_table
from porting.synthetic import random_weights

RESULTS = Path(__file__).with_name("vision.json")
_SAME = 1e-8
"""Relative L2 of the outputs up to which two models are one function: Paddle keeps some constants in float32."""


@dataclass(frozen=True)
class Outcome:
    """What came of a pair.

    Attributes:
        rules: What the rules were derived from, or how many lines the refusal has.
        verdict: Of a forward pass with the same weights; empty where no rules were found.
        error: Relative L2 of the outputs; None where there are none.
        seconds: To derive the rules.
        lines: Of the refusal.
    """

    rules: str
    verdict: str = ""
    error: float | None = None
    seconds: float = 0.0
    lines: tuple[str, ...] = ()


def measure(name: str, pythons: Mapping[str, str] | None = None, saved: Path | None = None) -> Outcome:
    """Derive the rules of a pair, and run both models with the same weights.

    Args:
        name: Name of the pair.
        pythons: Framework to interpreter, for pairs with MindSpore, which needs an environment of its own.
        saved: Folder where the rules are written, as `NAME.json`.
    """
    start = time.perf_counter()
    try:
        if PAIRS[name].framework == "paddle":
            return _here(name, saved)
        return _with_workers(name, pythons or {}, saved)
    except ExpectedError as error:
        lines = (error.summary, *error.details)
        return Outcome(f"refused, {len(error.details)} lines", seconds=time.perf_counter() - start, lines=lines)


def _here(name: str, saved: Path | None) -> Outcome:
    """Both models in this process, their outputs in float64."""
    pair, start = declared(name), time.perf_counter()
    reference, candidate = (build_model(pair.side(role), Runtime(threads=1)) for role in ("reference", "candidate"))
    contract = derive_here(pair, reference, candidate, [rule for rule in pair.rules if isinstance(rule, Rule)])
    seconds = time.perf_counter() - start
    _save(contract, name, saved)
    weights = random_weights(contract.architecture(pair.name, pair.picture), 0)
    port = contract.saved.plan("reference").apply({key: LazyTensor.of(array) for key, array in weights.items()})
    inputs = random_inputs(pair.input_shape, 2, pair.tokens, seed=0).astype(np.float64)
    outputs = []
    for backend, state in ((reference, weights), (candidate, {key: one.load() for key, one in port.items()})):
        backend.set_state(state)
        with in_finest(backend):
            outputs.append(np.asarray(backend.forward(inputs, None).logits, np.float64))
    error = float(np.linalg.norm(outputs[0] - outputs[1]) / np.linalg.norm(outputs[0]))
    return Outcome(contract.summary, "same function" if error <= _SAME else "differs", error, seconds)


def _with_workers(name: str, pythons: Mapping[str, str], saved: Path | None) -> Outcome:
    """Each model in its own process; MindSpore's float32 is held against the reference's float64."""
    pair = replace(declared(name), origin=Origin("benchmarks.rules.vision_pairs:declared", {"name": name}))
    settings = Settings(steps=("forward",), dtypes=("float32", "float64"), batch_size=2, threads=1, pythons=pythons)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "workers").mkdir()
        settled = settle(pair, Path(folder), settings)
        seconds, contract = time.perf_counter() - start, settled.contract
        assert contract is not None
        _save(contract, name, saved)
        report = align(settled, Path(folder) / "run", settings)
        error = max((row.rel_l2 or 0.0 for row in report.rows), default=0.0)
        return Outcome(contract.summary, "differs" if report.failures else report.verdict, error, seconds)


def _save(contract: Contract, name: str, folder: Path | None) -> None:
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        write_table(contract.saved, folder / f"{name}.json")


def results() -> dict[str, Outcome]:
    """Name of a pair to what was measured last."""
    found = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    return {name: Outcome(**{**one, "lines": tuple(one["lines"])}) for name, one in found.items()}


def _keep(name: str, outcome: Outcome) -> None:
    known = {**results(), name: outcome}
    value = {name: asdict(known[name]) for name in PAIRS if name in known}
    RESULTS.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


@click.command()
@click.option("--model", "names", multiple=True, type=click.Choice([*PAIRS]), help="These pairs only.")
@click.option(
    "--mindspore-python", help="Interpreter that has MindSpore and MindCV; without it their pairs are left out."
)
@click.option("--save", type=click.Path(file_okay=False, path_type=Path), help="Write the rules of each pair here.")
@click.option("--page", is_flag=True, help="Measure nothing, and write the table in docs from what was measured.")
def main(names: tuple[str, ...], mindspore_python: str | None, save: Path | None, page: bool) -> None:
    """Derive the rules of published pairs, run both models, and keep what came of it."""
    pythons = {"mindspore": mindspore_python} if mindspore_python else {}
    chosen = names or [name for name, pair in PAIRS.items() if pair.framework == "paddle" or mindspore_python]
    for name in () if page else chosen:
        outcome = measure(name, pythons, save)
        _keep(name, outcome)
        error = "-" if outcome.error is None else f"{outcome.error:.1e}"
        click.echo(f"{name}: {outcome.rules}; {outcome.verdict} {error}; {outcome.seconds:.0f} s")
        for line in outcome.lines[:5]:
            click.echo(f"    {line[:240]}")
    click.echo(f"wrote {write_page({name: (one.rules, one.verdict, one.error) for name, one in results().items()})}")


if __name__ == "__main__":
    main()
