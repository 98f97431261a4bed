"""Mistakes in AdamW, computed with NumPy from the gradients that both sides were given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from alignment.arrays import Array
from alignment.hypotheses.base import Prediction
from alignment.hypotheses.training.base import FILTER, GROUPS, RecipeCase, RecipeHypotheses, of_all

_CLIP = 1e-6
"""Added to the norm that gradients are clipped by, as torch does."""


@dataclass(frozen=True, slots=True)
class _AdamW:
    """torch's AdamW after timm's clipping, with a knob for every known mistake."""

    rate: float
    decay: float
    betas: tuple[float, float]
    epsilon: float
    clip: float | None
    decaying: frozenset[str]
    corrected: tuple[bool, bool] = (True, True)
    inside: bool = False
    coupled: bool = False
    scaled: bool = True
    after: bool = False
    alone: bool = False
    values: bool = False
    epsilon_uncorrected: bool = False

    def run(self, weights: Mapping[str, Array], gradients: list[Mapping[str, Array]]) -> dict[str, Array]:
        """Return what the check point records of each step, by key."""
        state = {name: array.astype(np.float64) for name, array in weights.items()}
        first = {name: np.zeros_like(array) for name, array in state.items()}
        second = {name: np.zeros_like(array) for name, array in state.items()}
        recorded: dict[str, Array] = {}
        for number, step in enumerate(gradients, 1):
            clipped = self._clipped({name: step[name].astype(np.float64) for name in state})
            for name, gradient in clipped.items():
                state[name] = self._step(name, number, state[name], gradient, first, second)
            for kind, arrays in (("parameter", state), ("first_moment", first), ("second_moment", second)):
                recorded |= {f"optimizer/step_{number}/{kind}/{name}": array.copy() for name, array in arrays.items()}
        return recorded

    def _clipped(self, gradients: dict[str, Array]) -> dict[str, Array]:
        if self.clip is None:
            return gradients
        if self.values:
            return {name: np.clip(gradient, -self.clip, self.clip) for name, gradient in gradients.items()}
        norms = {name: float(np.linalg.norm(gradient)) for name, gradient in gradients.items()}
        if self.alone:
            return {
                name: gradient * min(1.0, self.clip / max(norms[name], 1e-300)) for name, gradient in gradients.items()
            }
        share = min(1.0, self.clip / (float(np.linalg.norm(list(norms.values()))) + _CLIP))
        return {name: gradient * share for name, gradient in gradients.items()}

    def _step(
        self, name: str, number: int, weight: Array, gradient: Array, first: dict[str, Array], second: dict[str, Array]
    ) -> Array:
        decays = name in self.decaying
        if self.coupled and decays:
            gradient = gradient + self.decay * weight
        decay = 0.0 if self.coupled or not decays else (self.rate if self.scaled else 1.0) * self.decay
        if not self.after:
            weight = weight * (1 - decay)
        one, two = self.betas
        first[name] = one * first[name] + (1 - one) * gradient
        second[name] = two * second[name] + (1 - two) * gradient**2
        large, small = (1 - beta**number if on else 1.0 for beta, on in zip(self.betas, self.corrected, strict=True))
        if self.inside:
            root = np.sqrt(second[name] / small + self.epsilon)
        elif self.epsilon_uncorrected:
            root = (np.sqrt(second[name]) + self.epsilon) / np.sqrt(small)
        else:
            root = np.sqrt(second[name] / small) + self.epsilon
        weight = weight - self.rate * (first[name] / large) / root
        return weight * (1 - decay) if self.after else weight


def adamw(case: RecipeCase) -> Iterator[Prediction]:
    """Predict another epsilon or beta, no correction, decay or clipping of another kind."""
    settings = case.config.optimizer
    trained = {name: array for name, array in case.weights.items() if name not in case.buffers}
    correct = _AdamW(
        settings.learning_rate,
        settings.weight_decay,
        settings.betas,
        settings.epsilon,
        settings.clip,
        _decaying(case, trained),
    )
    steps = max(int(key.split("/")[1].removeprefix("step_")) for key in case.expected)
    gradients = [case.gradients(number) for number in range(1, steps + 1)]
    for name, says, place, wrong in _wrong(correct, case, trained):
        arrays = wrong.run(trained, gradients)
        shaped = {key: array.reshape(case.found[key].shape) for key, array in arrays.items()}
        yield of_all(case, name, says, place, shaped, shaped)


def _wrong(correct: _AdamW, case: RecipeCase, trained: Mapping[str, Array]) -> Iterator[tuple[str, str, str, _AdamW]]:
    place = "epsilon of AdamW"
    for epsilon in (0.0, 1e-10, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3):
        if epsilon != correct.epsilon:
            says = f"epsilon is {epsilon:g}, not {correct.epsilon:g}"
            yield "epsilon", says, place, replace(correct, epsilon=epsilon)
    yield "epsilon", "epsilon is added under the root", place, replace(correct, inside=True)
    says = "epsilon is added before the bias of the second moment is corrected"
    yield "epsilon", says, place, replace(correct, epsilon_uncorrected=True)
    for one in dict.fromkeys((correct.betas[0], 0.9, 0.95, 0.8, 0.0)):
        for two in dict.fromkeys((correct.betas[1], 0.99, 0.98, 0.95, 0.999, 0.9999)):
            if (one, two) != correct.betas:
                says = f"the betas are {one:g} and {two:g}"
                yield "betas", says, "beta1 and beta2", replace(correct, betas=(one, two))
    for corrected in ((False, False), (False, True), (True, False)):
        which = "neither moment" if not any(corrected) else f"the {'second' if corrected[0] else 'first'} moment not"
        place = "the division by 1 - beta^step"
        says = f"the bias of {which} is corrected" if not any(corrected) else f"of {which}, the bias is corrected"
        yield "bias correction", says, place, replace(correct, corrected=corrected)
    says = "the decay is added to the gradient, and goes through the moments, as in Adam with L2"
    yield "decay coupled", says, "Adam for AdamW", replace(correct, coupled=True)
    says = "the decay is not multiplied by the rate"
    yield "decay not times the rate", says, "the factor 1 - rate * decay", replace(correct, scaled=False)
    yield "decay after the step", "the weights decay after the step", "the order in AdamW", replace(correct, after=True)
    yield from _other_groups(correct, case, trained)
    yield from _other_clips(correct)


def _other_groups(
    correct: _AdamW, case: RecipeCase, trained: Mapping[str, Array]
) -> Iterator[tuple[str, str, str, _AdamW]]:
    yield "decay group", "every parameter decays", FILTER, replace(correct, decaying=frozenset(trained))
    yield "decay lost", "nothing decays", "weight_decay", replace(correct, decaying=frozenset())
    differing = frozenset(key.split("/", 3)[3] for key in case.keys)
    if len(differing) < len(trained):
        says = f"the decay of {', '.join(sorted(differing)[:4])} is that of the other group"
        yield "decay group", says, GROUPS, replace(correct, decaying=correct.decaying ^ differing)
    for decay in (0.0001, 0.01, 0.02, 0.04, 0.1):
        yield "decay scaled", f"the decay is {decay:g}", "weight_decay", replace(correct, decay=decay)


def _other_clips(correct: _AdamW) -> Iterator[tuple[str, str, str, _AdamW]]:
    place = "how gradients are clipped"
    if correct.clip is not None:
        yield "clip lost", "gradients are not clipped", place, replace(correct, clip=None)
        yield "clip of each", "each gradient is clipped by its own norm", place, replace(correct, alone=True)
        yield "clip by value", "gradients are clipped value by value", place, replace(correct, values=True)
    for limit in (0.05, 0.1, 0.5, 1.0, 2.0, 5.0):
        yield "clip", f"gradients are clipped to a norm of {limit:g}", place, replace(correct, clip=limit)


def _decaying(case: RecipeCase, trained: Mapping[str, Array]) -> frozenset[str]:
    """Return the names of what decays by timm's rule: vectors, tokens and position embeddings are exempt."""
    if case.config.optimizer.decay_all:
        return frozenset(trained)
    return frozenset(
        name
        for name, array in trained.items()
        if array.ndim > 1 and not name.endswith((".bias", "pos_embed", "cls_token", "dist_token"))
    )


OPTIMIZER: tuple[RecipeHypotheses, ...] = (adamw,)
