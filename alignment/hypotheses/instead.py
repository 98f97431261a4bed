"""A module that is called once too often, in the place of another one: layers that are shared, or not shared."""

from __future__ import annotations

from collections.abc import Iterator

from alignment.hypotheses.base import Case, Prediction
from alignment.hypotheses.bench import Adjustable, OutOfTimeError

_MOST = 8
"""Modules that are tried in the place of one."""


def instead(case: Case) -> Iterator[Prediction]:
    """Predict what the module gives if another module in it took a call that the reference's does not have."""
    if case.finding.direction != "forward" or case.bench is None:
        return
    pairs = [(path, call, other) for path, call in _surplus(case) for other in _others(case, path)]
    bench: object = case.bench() if pairs else None
    if not isinstance(bench, Adjustable):
        return
    for path, call, other in pairs[:_MOST]:
        try:
            result = bench.run_instead(path, call, other)
        except OutOfTimeError:
            return
        except Exception:  # whatever a framework raises of a tensor that does not fit
            result = None
        if result is not None:
            says = f"{path} is called where {other} is meant, in its call {call + 1}"
            place = case.place(f"where {path} is called", "in")
            yield Prediction("called instead", says, place, result.outputs, case.found, case.expected)


def _surplus(case: Case) -> Iterator[tuple[str, int]]:
    """Yield path and number of each call that the reference's module of that name does not have."""
    for name in case.children:
        path, _, rest = name.partition(":")
        call, _, what = rest.partition("/")
        known = f"{path}:0/{what}" in case.reference_children
        if what == "output/0" and call != "0" and known and name not in case.reference_children:
            yield path, int(call)


def _others(case: Case, path: str) -> Iterator[str]:
    """Yield the modules beside one, those that are never called first."""
    called = dict.fromkeys(name.partition(":")[0] for name in case.children)
    idle = [name.partition(":")[0] for name in case.reference_children if name.partition(":")[0] not in called]
    beside = [other for other in dict.fromkeys((*idle, *called)) if other != path]
    yield from (other for other in beside if other.rpartition(".")[0] == path.rpartition(".")[0])
