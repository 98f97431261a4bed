"""Settings of a module that are others than those of the reference's: it is run again with each of the reference's.

Any class whose modules have plain attributes of the same names on both sides can be tried, one of the user's own too:
a stride, a window, a scale, the number of experts. What the module gives then is the module's own answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from alignment.hypotheses.base import Case, Prediction
from alignment.hypotheses.bench import Adjustable, OutOfTimeError

_ALIASES: Mapping[str, tuple[str, ...]] = {
    "epsilon": ("eps", "variance_epsilon", "layer_norm_eps"),
    "axis": ("dim",),
    "p": ("p", "drop_prob"),
    "return_mask": ("return_indices",),
    "exclusive": (),
    "momentum": (),
}
"""Name of a setting in Paddle to its names in torch; none where the two mean different things by it."""
_MOST = 8


def settings(case: Case) -> Iterator[Prediction]:
    """Predict what the module gives with a setting of the reference's, or with all of those that are others."""
    differing = dict(_differing(case.candidate_settings, case.settings))
    if case.finding.direction != "forward" or not 0 < len(differing) <= _MOST or case.bench is None:
        return
    bench: object = case.bench()
    if not isinstance(bench, Adjustable):
        return
    single = [{name: right} for name, (_, right) in differing.items()]
    together = [{name: right for name, (_, right) in differing.items()}] if len(differing) > 1 else []
    for changed in (*single, *together):
        try:
            result = bench.run_with(changed)
        except OutOfTimeError:
            return
        except Exception:  # whatever a framework raises of a setting that does not fit
            result = None
        if result is not None:
            parts = [
                f"its {name} is {_text(differing[name][0])}, not {_text(right)}" for name, right in changed.items()
            ]
            passed = ", ".join(f"{name}={_text(right)}" for name, right in changed.items())
            says, place = f"{', and '.join(parts)}: give it {passed}", case.place(next(iter(changed)))
            yield Prediction("setting", says, place, result.outputs, case.found, case.expected)


def _differing(own: Mapping[str, Any], reference: Mapping[str, Any]) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Yield the settings that both have with other values: the candidate's name, its value, and the reference's."""
    for name, value in own.items():
        theirs = next((one for one in _ALIASES.get(name, (name,)) if one in reference), None)
        if theirs is not None and _is_other(value, reference[theirs]):
            yield name, (value, reference[theirs])


def _is_other(value: Any, right: Any) -> bool:
    """True for two values of one kind that are not the same; a number stands for a pair of it."""
    if isinstance(value, bool) or isinstance(right, bool):
        return isinstance(value, bool) and isinstance(right, bool) and value != right
    if isinstance(value, str) or isinstance(right, str):
        return isinstance(value, str) and isinstance(right, str) and value != right
    ours, theirs = ([*one] if isinstance(one, list | tuple) else [one] for one in (value, right))
    count = max(len(ours), len(theirs))
    ours, theirs = (one * count if len(one) == 1 else one for one in (ours, theirs))
    return len(ours) == len(theirs) and ours != theirs


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else repr(value)
