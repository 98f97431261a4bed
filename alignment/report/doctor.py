"""The answer of `pit-align doctor`, at a terminal and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from alignment.processes.doctor import Environment, healthy
from alignment.results.summary import plural
from porting.fields import encode

_STYLES = {"missing": "bold red", "bad": "bold red", "note": "yellow"}


def print_doctor(environments: Sequence[Environment], console: Console, *, verbose: bool = False) -> None:
    """Print one paragraph a framework, and a remedy below each of its problems.

    Problems of a framework that is neither usable nor needed are printed with `verbose` only.
    """
    for environment in environments:
        for line in _lines(environment, verbose):
            console.print(line, soft_wrap=True)
    ready, missing = ("ready to align", "bold green"), ("something that is needed is missing", "bold red")
    console.print(Text.assemble(ready if healthy(environments) else missing))


def to_json(environments: Sequence[Environment]) -> dict[str, Any]:
    """Return the same as a JSON value."""
    return {
        "healthy": healthy(environments),
        "frameworks": [{**encode(environment), "usable": environment.usable} for environment in environments],
    }


def _lines(environment: Environment, verbose: bool) -> Iterator[Text]:
    word, style = _state(environment)
    interpreter = f"Python {environment.version}, {environment.python}" if environment.version else environment.python
    yield Text.assemble((f"{environment.framework:<10}", "bold"), (word, style), f"  {interpreter}")
    if environment.versions:
        yield Text(f"  packages  {', '.join(f'{name} {version}' for name, version in environment.versions.items())}")
    if environment.devices:
        yield Text(f"  runs on   {'; '.join(_facts(environment))}")
    if environment.usable or environment.needed or verbose:
        for problem in environment.problems:
            yield Text.assemble(f"  {problem.level:<8}  ", (problem.summary, _STYLES[problem.level]))
            if problem.fix:
                yield Text(f"            {problem.fix}")


def _state(environment: Environment) -> tuple[str, str]:
    if environment.usable:
        return "usable", "green"
    return ("NOT USABLE", "bold red") if environment.needed else ("not installed, not needed", "dim")


def _facts(environment: Environment) -> Iterator[str]:
    yield ", ".join(environment.devices)
    if environment.threads is not None:
        yield f"{plural(environment.threads, 'thread')} by default"
    if environment.blas:
        yield f"BLAS {environment.blas}"
    if environment.tf32:
        yield ", ".join(f"TF32 {name} {'on' if value else 'off'}" for name, value in environment.tf32.items())
    whole = [dtype for dtype, lacking in environment.half.items() if not {*lacking} - {"autocast"}]
    if environment.half:
        yield f"half precision: {', '.join(whole) or 'none'}"
