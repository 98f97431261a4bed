"""Mistakes in the optimizer of a pair of one's own, computed with NumPy from what both sides were given.

What the optimizers say of themselves proposes; only what gives the candidate's weights, down to rounding, is named.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from alignment.arrays import Array
from alignment.hypotheses.base import Prediction, distance
from alignment.hypotheses.training.base import GROUPS
from alignment.hypotheses.training.update_rules import FLAGS, Values, simulate
from porting.names import fold

_REPRODUCED = 1e-9
"""Relative L2 to which the reference's own weights have to be computed, before mistakes are."""
_SAYS: dict[str, str] = {"epsilon": "epsilon", "beta1": "beta1", "beta2": "beta2", "alpha": "alpha (rho)"}
_TRIED: Mapping[str, tuple[float, ...]] = {
    "decay": (0.0, 1e-4, 5e-4, 1e-3, 0.01, 0.02, 0.05, 0.1),
    "epsilon": (0.0, 1e-12, 1e-10, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3),
    "beta1": (0.0, 0.8, 0.9, 0.95),
    "beta2": (0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 0.9999),
    "momentum": (0.0, 0.1, 0.5, 0.8, 0.9, 0.95, 0.99),
    "dampening": (0.0, 0.1, 0.9),
    "nesterov": (0.0, 1.0),
    "alpha": (0.9, 0.95, 0.99, 0.999),
    "centered": (0.0, 1.0),
}
"""Values to try where the candidate's optimizer does not say its own."""
_KIN: Mapping[str, tuple[str, ...]] = {"AdamW": ("Adam",), "Adam": ("AdamW",)}
_FACTORS = (10.0, 0.1, 2.0, 0.5, 5.0, 0.2, 100.0, 0.01)


@dataclass(frozen=True)
class UpdateCase:
    """All that is known of the optimizers of both sides.

    Attributes:
        kinds: Kinds of both optimizers, the reference's first; empty for one that is not known.
        expected: Settings of the reference: setting to parameter to value.
        found: What the candidate's optimizer says of itself, in the same form.
        weights: What training starts from, float64, by canonical name of the parameter.
        gradients: Those of every step.
        rates: The rate of every step.
        computed: Weights of both sides, the reference's first, by `optimizer/step_<n>/parameter/<name>`.
        differing: Parameters whose weights differ.
        batch_size: Inputs of an update.
        classes: Columns of the logits; 0 for a model that does not classify.
        shapes: Shape of every tensor, by canonical name.
    """

    kinds: tuple[str, str]
    expected: Values
    found: Values
    weights: Mapping[str, Array]
    gradients: Sequence[Mapping[str, Array]]
    rates: Sequence[float]
    computed: tuple[Mapping[str, Array], Mapping[str, Array]]
    differing: tuple[str, ...] = ()
    batch_size: int = 0
    classes: int = 0
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def run(self, kind: str, values: Values, flags: frozenset[str]) -> dict[str, Array]:
        """The weights after every step of an optimizer, by key."""
        return simulate(kind, values, flags, self.weights, self.gradients, self.rates)

    def prediction(
        self, name: str, says: str, look_at: str, kind: str, values: Values, flags: frozenset[str]
    ) -> Prediction:
        """The weights that another optimizer gives, beside those of both sides."""
        weights = self.run(kind, values, flags)
        keys = [key for key in weights if all(key in side for side in self.computed)]
        before, found = ([side[key] for key in keys] for side in self.computed)
        return Prediction(name, says, look_at, [weights[key] for key in keys], before, found)


def optimizer(case: UpdateCase) -> Iterator[Prediction]:
    """Predict another group, setting, kind or formula of the optimizer."""
    kind, _ = case.kinds
    base = next((flags for flags in _BASES if _reproduces(case, kind, flags)), None)
    if base is None:
        return
    proposals = list(_said(case))
    for says, values in proposals:
        yield case.prediction("optimizer setting", says, _place(says), kind, values, base)
    if len(proposals) > 1:
        every = "; ".join(says for says, _ in proposals)
        yield case.prediction("optimizer settings", every, "the optimizer's arguments", kind, _merged(case), base)
    yield from _other_kind(case)
    said = "".join(f"; {says}" for says, _ in proposals)
    for values, more in ((case.expected, ""), (_merged(case), said)) if proposals else ((case.expected, ""),):
        for flag, says in FLAGS[kind].items():
            yield case.prediction("formula", says + more, f"the update of {kind}", kind, values, base ^ {flag})
    yield from _tried(case, kind, base)


_BASES = (frozenset[str](), frozenset({"inside", "rate in momentum"}))
"""Formulas that a right reference may have: the usual one, and Paddle's RMSProp."""


def _reproduces(case: UpdateCase, kind: str, flags: frozenset[str]) -> bool:
    if kind not in FLAGS or (flags and kind != "RMSProp"):
        return False
    own = case.run(kind, case.expected, flags)
    return all(
        distance([array], [case.computed[0][key]]) < _REPRODUCED
        for key, array in own.items()
        if key in case.computed[0]
    )


def relative(rates: Mapping[str, float]) -> dict[str, float]:
    """Rates as multiples of that of most parameters."""
    values = list(rates.values())
    most = max(values, key=values.count, default=0.0) or 1.0
    return {name: value / most for name, value in rates.items()}


def settings_that_differ(expected: Values, found: Values) -> Iterator[tuple[str, dict[str, tuple[float, float]]]]:
    """Setting, and parameter to its value in the reference and in the candidate, where both say one and they differ."""
    for setting in expected.keys() & found.keys():
        ours, theirs = expected[setting], found[setting]
        if setting == "rate":
            ours, theirs = relative(ours), relative(theirs)
        pairs = {name: (value, theirs[name]) for name, value in ours.items() if name in theirs}
        differing = {name: pair for name, pair in pairs.items() if not np.isclose(*pair, rtol=1e-9, atol=0)}
        if differing:
            yield setting, differing


def sentences(setting: str, differing: Mapping[str, tuple[float, float]], parameters: int) -> str:
    """What differs in a setting, with the values of both sides."""
    by_values: dict[tuple[float, float], list[str]] = {}
    for name, pair in differing.items():
        by_values.setdefault(pair, []).append(name)
    return "; ".join(_sentence(setting, pair, names, parameters) for pair, names in by_values.items())


def _sentence(setting: str, pair: tuple[float, float], names: list[str], parameters: int) -> str:
    ours, theirs = pair
    of = "" if len(names) == parameters else f" of {', '.join(fold(names))}"
    if setting == "rate":
        return rate_sentence(", ".join(fold(names)), ours, theirs)
    if setting in ("nesterov", "centered"):
        word = {"nesterov": "Nesterov's momentum", "centered": "centering"}[setting]
        return f"{word}{of} is {'on' if theirs else 'off'}, not {'on' if ours else 'off'}"
    articles = {"decay": "the decay", "momentum": "the momentum", "dampening": "the dampening"}
    more = f", which is 1 - {ours:g}" if setting in ("momentum", "alpha") and np.isclose(theirs, 1 - ours) else ""
    return f"{(articles | _SAYS).get(setting, setting)}{of} is {theirs:g}, not {ours:g}{more}"


def rate_sentence(name: str, ours: float, theirs: float) -> str:
    """What differs in the rate of a group, as multiples of that of most parameters."""
    right = "and should be the same" if ours == 1 else f"not {ours:g} times"
    return f"the rate of {name} is {theirs:g} times that of most parameters, {right}"


def _said(case: UpdateCase) -> Iterator[tuple[str, Values]]:
    """Each setting that the candidate's optimizer says otherwise, with the reference's settings and that one."""
    for setting, differing in settings_that_differ(case.expected, case.found):
        says = sentences(setting, differing, len(case.weights))
        yield says, {**case.expected, setting: _with(case.expected[setting], setting, differing)}


def _with(own: Mapping[str, float], setting: str, differing: Mapping[str, tuple[float, float]]) -> dict[str, float]:
    if setting == "rate":
        own = relative(own)
    return {**own, **{name: theirs for name, (_, theirs) in differing.items()}}


def decays(case: UpdateCase) -> Iterator[tuple[str, dict[str, float]]]:
    """What one update at a rate of one takes of one without a gradient, by the candidate's settings, in a sentence."""
    kind = case.kinds[1] or case.kinds[0]
    for says, values in (*_said(case), (f"it is {kind}, where the reference has {case.kinds[0]}", _merged(case))):
        names = [name for name in case.shapes if name in values["rate"]]
        ones, zeros = ({name: np.full(1, number) for name in names} for number in (1.0, 0.0))
        share = relative(values["rate"])
        after = simulate(kind, values, frozenset(), ones, [zeros], [1.0])
        lost = {key.split("/", 3)[3]: 1 - float(weight[0]) for key, weight in after.items()}
        yield says, {name: value / (share[name] or 1.0) for name, value in lost.items()}


def _merged(case: UpdateCase) -> Values:
    """The reference's settings with all that the candidate's optimizer says otherwise."""
    merged = dict(case.expected)
    for setting, differing in settings_that_differ(case.expected, case.found):
        merged[setting] = _with(case.expected[setting], setting, differing)
    return merged


def _other_kind(case: UpdateCase) -> Iterator[Prediction]:
    ours, theirs = case.kinds
    for kind in [theirs] if theirs else _KIN.get(ours, ()):  # of an unknown class, what has the same settings
        if kind == ours or kind not in FLAGS:
            continue
        says = f"it is {kind}, where the reference has {ours}"
        if {ours, kind} == {"Adam", "AdamW"}:
            way = "goes through the moments, as L2" if kind == "Adam" else "is taken off the weights by itself"
            says = f"{says}: the decay {way}"
        for values in (_merged(case), {**case.expected, **case.found}):
            yield case.prediction("optimizer kind", says, "the class of the optimizer", kind, values, frozenset())


def _tried(case: UpdateCase, kind: str, base: frozenset[str]) -> Iterator[Prediction]:
    """Values that the candidate does not say, in the parameters that differ."""
    merged = _merged(case)
    for setting, own in case.expected.items():
        for value in _TRIED.get(setting, ()):
            yield from _one(case, kind, base, merged, setting, dict.fromkeys(case.differing, value), own)
    ours = relative(case.expected["rate"])
    for factor in _FACTORS:
        wrong = {name: ours[name] * factor for name in case.differing if name in ours}
        yield from _one(case, kind, base, merged, "rate", wrong, ours)


def _one(
    case: UpdateCase,
    kind: str,
    base: frozenset[str],
    merged: Values,
    setting: str,
    wrong: Mapping[str, float],
    own: Mapping[str, float],
) -> Iterator[Prediction]:
    differing = {name: (own[name], value) for name, value in wrong.items() if name in own and own[name] != value}
    if differing:
        says = sentences(setting, differing, len(case.weights))
        values = {**merged, setting: _with(merged[setting], setting, differing)}
        yield case.prediction("optimizer setting", says, _place(says), kind, values, base)


def _place(says: str) -> str:
    return GROUPS if " of " in says else "the optimizer's arguments"
