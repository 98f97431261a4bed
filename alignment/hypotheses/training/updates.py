"""Mistakes that a training run shows: in its loss, its gradients, its rate, its average, its workers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from alignment.arrays import Array
from alignment.hypotheses.base import Prediction, predictions
from alignment.hypotheses.training.augmentation import CUTMIX, MIXUP, SMOOTHING
from alignment.hypotheses.training.base import (
    GROUPS,
    Change,
    RecipeCase,
    RecipeHypotheses,
    Setting,
    mistaken,
    of_all,
    rerun,
)
from alignment.hypotheses.training.rates import EQUAL, Rates, curves, rates_of
from alignment.steps.distributed import WORLD

_AT_ONCE = (SMOOTHING, MIXUP, CUTMIX)
_DISTILLATION = (
    Setting("distillation kind", "distillation.kind", ("hard", "soft"), "the distillation loss",
            "the distillation is {}"),
    Setting("distillation temperature", "distillation.temperature", ("0.5", "1.0", "2.0", "3.0", "4.0", "5.0"),
            "the distillation loss, which divides both sides' logits by it", "the temperature is {}"),
    Setting("distillation alpha", "distillation.alpha", ("0.0", "0.1", "0.3", "0.5", "0.7", "0.9", "1.0"),
            "how the teacher's part and the labels' are weighted", "the teacher's share is {}"),
)  # fmt: skip
_DROPS = (
    Setting("drop path rate", "model.drop_path_rate", ("0.0", "0.05", "0.1", "0.2"), "drop_path of the blocks",
            "the drop path rises to {}"),
    mistaken("drop path not scaled", "drop path unscaled", "forward of DropPath",
             "what drop path keeps is not divided by the share that it keeps"),
)  # fmt: skip
_LATER = (
    Setting("epsilon", "optimizer.epsilon", ("1e-10", "1e-7", "1e-6", "1e-5"), "epsilon of AdamW", "epsilon is {}"),
    Setting("betas", "optimizer.betas", ("[0.9,0.99]", "[0.9,0.98]", "[0.9,0.95]", "[0.95,0.999]", "[0.8,0.999]"),
            "beta1 and beta2 of AdamW", "the betas are {}"),
    Setting("clip", "optimizer.clip", ("null", "0.05", "0.1", "0.5", "1.0", "2.0", "5.0"), "how gradients are clipped",
            "gradients are clipped to a norm of {}"),
    Setting("decay group", "optimizer.decay_all", ("true",), GROUPS, "every parameter decays"),
    Setting("decay scaled", "optimizer.weight_decay", ("0.0", "0.01", "0.02", "0.04", "0.1"), "weight_decay",
            "the decay is {}"),
)  # fmt: skip


def losses(case: RecipeCase) -> Iterator[Prediction]:
    """Predict a loss or a gradient that differs from the first update on."""
    if not case.has.startswith(("loss", "gradient")):
        return
    yield from predictions((reductions, distillation, *_AT_ONCE, *_DROPS), case)
    if int(case.has.rpartition("_")[2]):  # the number of the update
        yield from predictions((*_LATER, decays_of_one), case)


def reductions(case: RecipeCase) -> Iterator[Prediction]:
    """Predict losses and gradients that are whole numbers of times what they should be."""
    config = case.config
    batch, micro = config.data.batch_size, config.run.accumulation
    classes = config.model.num_classes
    tried = [
        ("reduction", batch, f"summed over the batch of {batch}, not averaged"),
        ("reduction", 1 / batch, f"divided by the batch of {batch} once too often"),
        ("reduction", 1 / classes, f"averaged over the {classes} classes as well"),
        ("not divided", micro, f"not divided by the {micro} micro-batches of an update"),
        ("reduction", 1 / micro, f"divided by the {micro} micro-batches of an update once too often"),
    ]
    if case.finding.path.startswith("distributed/"):
        tried.insert(0, ("summed over the workers", WORLD, f"added up over the {WORLD} workers, not averaged"))
    what = "the loss" if any("loss" in key for key in case.keys) else "the gradient"
    place = "reduction of the loss, and what it is divided by before backward()"
    for name, factor, says in tried:
        if factor != 1:
            arrays = [case.expected[key] * factor for key in case.keys]
            yield Prediction(name, f"{what} is {says}", place, arrays)


def distillation(case: RecipeCase) -> Iterator[Prediction]:
    """Predict another kind, share or temperature; a divergence that vanishes."""
    if case.config.distillation.kind != "none":
        yield from predictions((vanishing, *_DISTILLATION), case)


def vanishing(case: RecipeCase) -> Iterator[Prediction]:
    """Predict a teacher's part that is always zero."""
    alone = case.rerun(Change(("distillation.alpha=0.0",)))
    if all(key in alone for key in case.keys):
        says = "the teacher's part is zero: a divergence of logarithms that does not say log_target, or no gradient"
        arrays = [alone[key] * (1 - case.config.distillation.alpha) for key in case.keys]
        yield Prediction("distillation vanishes", says, "kl_div of the soft distillation", arrays)


def rates(case: RecipeCase) -> Iterator[Prediction]:
    """Predict rates of the updates that follow another schedule: one mistake must explain them all."""
    if not case.has.startswith("lr_"):
        return
    step = case.finding.path.partition("/")[0]
    keys = [f"{step}/lr_{number}" for number in range(sum(key.startswith(f"{step}/lr_") for key in case.expected))]
    expected, actual = (np.array([float(side[key]) for key in keys]) for side in (case.expected, case.found))
    says = "each update runs at the rate of the one before it"
    late = np.concatenate((expected[:1], expected[:-1]))
    place = "whether the scheduler steps before the optimizer"
    yield Prediction("rate one step late", says, place, [late], [expected], [actual])
    config = case.config.schedule
    correct = rates_of(config, case.config.optimizer.learning_rate)
    known = Rates.of(case.config, correct, expected, actual, config.epochs + config.cooldown_epochs)
    for epochs in _epochs(expected, correct):
        for name, says, place, curve in curves(known):
            predicted = np.array([curve[min(epoch, len(curve) - 1)] for epoch in epochs])
            yield Prediction(name, says, place, [predicted], [expected], [actual])


def _epochs(expected: Array, correct: list[float]) -> Iterator[list[int]]:
    """Yield the epochs of the updates that fit the rates of the reference."""
    for length in range(1, len(expected) + 1):
        epochs = [update // length for update in range(len(expected))]
        if epochs[-1] < len(correct) and np.allclose(
            [correct[epoch] for epoch in epochs], expected, rtol=EQUAL, atol=0
        ):
            yield epochs


def decays_of_one(case: RecipeCase) -> Iterator[Prediction]:
    """Predict one parameter that is in the other group, for each parameter."""
    for name in case.weights:
        if name not in case.buffers:
            says = f"the decay of {name} is that of the other group"
            yield from rerun(case, "decay group", says, GROUPS, Change(mistake=f"other decay {name}"))


def averages(case: RecipeCase) -> Iterator[Prediction]:
    """Predict an average of another decay, of other moments, or from another start."""
    if case.has != "ema":
        return
    prefix = f"{case.finding.path}/"
    keys = [key for key in case.expected if key.startswith(prefix)]
    names = [key.removeprefix(prefix) for key in keys]
    states = list(_states(case, names))
    start, decay, micro = states[0], case.config.ema.decay, case.config.run.accumulation
    place = "where the average is updated"

    def averaged(kept: float, taken: list[dict[str, Array]]) -> dict[str, Array]:
        state = dict(start)
        for weights in taken:
            state = {name: kept * state[name] + (1 - kept) * weights[name] for name in names}
        return {key: state[name] for key, name in zip(keys, names, strict=True)}

    def prediction(name: str, says: str, averages: dict[str, Array], look_at: str = place) -> Prediction:
        return of_all(case, name, says, look_at, averages, keys)

    yield prediction("ema never updated", "the average is never updated", averaged(decay, []))
    says = "the average takes up the weights before the step, not after it"
    yield prediction("ema before the step", says, averaged(decay, states[:-1]))
    if micro > 1:
        says = f"the average is updated at each of the {micro} micro-batches, not once an update"
        taken = [weights for after in states[1:] for weights in [after] * micro]
        yield prediction("ema every micro-batch", says, averaged(decay, taken))
    for other in (0.9, 0.99, 0.995, 0.999, 0.9995, 0.9996, 0.9998, 0.9999, 0.99996, 0.99999, 0.0, 1 - decay):
        if other != decay:
            says = f"the average keeps {other:g}, not {decay:g}"
            yield prediction("ema decay", says, averaged(other, states[1:]), "the decay of the average")
    yield _another_start(case, keys, averaged(decay, states[1:]), decay ** (len(states) - 1), start)


def _states(case: RecipeCase, names: list[str]) -> Iterator[dict[str, Array]]:
    """Yield the weights before the first update and after each, from runs of as many updates."""
    step = case.finding.path.partition("/")[0]
    total = sum(key.startswith(f"{step}/loss_") for key in case.expected)
    yield {name: case.weights[name].astype(np.float64) for name in names}
    for updates in range(1, total + 1):
        recorded = case.rerun(Change(updates=updates))
        yield {name: recorded[f"{step}/weights/{name}"].astype(np.float64) for name in names}


def _another_start(
    case: RecipeCase, keys: list[str], correct: Mapping[str, Array], share: float, start: Mapping[str, Array]
) -> Prediction:
    """Predict an average that starts from a fresh model: what it shows where that has zeros and ones.

    Only those tensors are predicted whose first values are not random.
    """
    predicted = {}
    for key in keys:
        name = key.partition("/ema/")[2]
        if "norm" in name:
            fresh = 1.0 if name.endswith(".weight") else 0.0
            predicted[key] = correct[key] + share * (fresh - start[name])
    says = "the average was copied from a fresh model, before the weights were loaded"
    place = "the order of loading the weights and making the average"
    return of_all(case, "ema start", says, place, predicted, predicted)


def same_images(case: RecipeCase) -> Iterator[Prediction]:
    """Predict workers that read the same images, or do not exchange their gradients."""
    share = Change((f"run.accumulation={case.config.run.accumulation // WORLD}",))
    if not case.has.startswith(("loss_0", "gradient_norm_0")):
        return
    place = "the rank that is given to the sampler and to what draws at random"
    says = f"all {WORLD} workers train on the first one's images"
    loss = "distributed/loss_0"
    if not np.isclose(case.expected[loss], case.found[loss], rtol=EQUAL, atol=0):
        yield from rerun(case, "same images", says, place, share)
    else:
        alone = case.rerun(share)
        says = "the first worker's gradients are its own: they are not exchanged"
        arrays = [alone[key] for key in case.keys if key in alone]
        yield Prediction("not exchanged", says, "all_reduce of the gradients", arrays)


def others(case: RecipeCase) -> Iterator[Prediction]:
    """Predict weights that end otherwise although all losses agree, because of the last update."""
    if case.has == "weights":
        yield from predictions((*_LATER, decays_of_one), case)


TRAIN: tuple[RecipeHypotheses, ...] = (rates, losses, averages, others)
DISTRIBUTED: tuple[RecipeHypotheses, ...] = (same_images, *TRAIN)
