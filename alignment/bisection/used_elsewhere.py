"""Parameters that are used outside of their module too, such as an embedding whose weight makes the logits.

What such a module gives its parameter, alone, is a part of the parameter's gradient, and no error.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from alignment.arrays import Array
from alignment.backends.base import Tap, Taps
from alignment.bisection.arrangements import distance
from alignment.bisection.modes import set_mode
from alignment.bisection.twins import Call
from alignment.steps.base import Trial

_PART = 1e-6
"""Relative L2 of a module's part of a gradient to all of it above which something else has a part, too."""


def used_elsewhere(
    trial: Trial, taps: Taps, weights: Mapping[str, Array], mode: str, call: Call, names: Collection[str]
) -> set[str]:
    """Canonical names of parameters of which a module is not the only user in the candidate.

    The candidate runs whole, with the reference's weights, and the module alone on what it was given then.

    Args:
        trial: The candidate.
        taps: Its modules.
        weights: The reference's weights, as the candidate's state dict.
        mode: Mode of the model, see `alignment.bisection.modes`.
        call: The only call of the module.
        names: The parameters that are asked for.
    """
    backend, seen = trial.backend, dict[str, list[Array]]()

    def keep(tap: Tap, array: Array) -> None:
        if (tap.path, tap.call) == call:
            seen.setdefault(tap.what, []).append(array)

    set_mode(backend, mode)
    backend.set_state(weights)
    with taps.watch(keep, paths=(call[0],)):
        trial.backward()
    whole = trial.some_gradients(backend.gradients, names)
    backend.set_state(weights)
    taps.isolate(*call, seen.get("input", []), seen.get("output_gradient", []), integers=seen.get("integers", []))
    alone = trial.some_gradients(backend.gradients, names)
    return {name for name in names if distance(alone[name], whole[name]) > _PART}
