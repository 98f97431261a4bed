"""Mistakes that a training run shows: in its loss, its gradients, its rate, its average, its workers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from alignment.backends.base import Array
from alignment.hypotheses.base import Prediction
from alignment.hypotheses.training.augmentation import CUTMIX, MIXUP, SMOOTHING
from alignment.hypotheses.training.base import Change, RecipeCase, RecipeHypotheses, Setting, rerun
from alignment.steps.distributed import WORLD

_EQUAL = 1e-9
"""Relative; two losses that are no farther apart are the same."""
_GROUPS = "the parameter groups: by which names, of which objects, they are told apart"
_AT_ONCE = (SMOOTHING, MIXUP, CUTMIX)
_DROPS = Setting("drop path rate", "model.drop_path_rate", ("0.0", "0.05", "0.1", "0.2"), "drop_path of the blocks",
                 "the drop path rises to {}")  # fmt: skip
_LATER = (
    Setting("epsilon", "optimizer.epsilon", ("1e-10", "1e-7", "1e-6", "1e-5"), "epsilon of AdamW", "epsilon is {}"),
    Setting("betas", "optimizer.betas", ("[0.9,0.99]", "[0.9,0.98]", "[0.9,0.95]", "[0.95,0.999]", "[0.8,0.999]"),
            "beta1 and beta2 of AdamW", "the betas are {}"),
    Setting("clip", "optimizer.clip", ("null", "0.05", "0.1", "0.5", "1.0", "2.0", "5.0"), "how gradients are clipped",
            "gradients are clipped to a norm of {}"),
    Setting("decay group", "optimizer.decay_all", ("true",), _GROUPS, "every parameter decays"),
    Setting("decay scaled", "optimizer.weight_decay", ("0.0", "0.01", "0.02", "0.04", "0.1"), "weight_decay",
            "the decay is {}"),
)  # fmt: skip
_RATES = (
    Setting("schedule off by one", "schedule.deit_quirk", ("true", "false"),
            "the scheduler: when it is stepped, and with which epoch",
            "the schedule is off by one epoch (schedule.deit_quirk={})"),
    Setting("warm-up length", "schedule.warmup_epochs", ("0", "1", "3", "5", "10", "20"), "the scheduler's warm-up",
            "the warm-up takes {} epochs"),
    Setting("minimum rate", "schedule.minimum_rate", ("0.0", "1e-5", "1e-6"), "the scheduler's minimum",
            "the rate falls to {}"),
)  # fmt: skip


def _number(case: RecipeCase) -> int:
    """The update that the case is about."""
    return int(case.has.rpartition("_")[2])


def losses(case: RecipeCase) -> Iterator[Prediction]:
    """A loss or a gradient that differs from the first update on."""
    if not case.has.startswith(("loss", "gradient")):
        return
    yield from reductions(case)
    yield from distillation(case)
    for each in (*_AT_ONCE, _DROPS):
        yield from each(case)
    says = "what drop path keeps is not divided by the share that it keeps"
    yield from rerun(case, "drop path not scaled", says, "forward of DropPath", Change(slip="drop path unscaled"))
    if _number(case):
        for each in _LATER:
            yield from each(case)
        yield from decays_of_one(case)


def reductions(case: RecipeCase) -> Iterator[Prediction]:
    """Losses and gradients that are whole numbers of times what they should be."""
    config = case.config
    batch, micro = config.data.batch_size, config.run.accumulation
    workers = WORLD if case.finding.path.startswith("distributed/") else 0
    for factor, says in (
        (workers, f"added up over the {workers} workers, not averaged"),
        (batch, f"summed over the batch of {batch}, not averaged"),
        (1 / batch, f"divided by the batch of {batch} once too often"),
        (1 / config.model.num_classes, f"averaged over the {config.model.num_classes} classes as well"),
        (micro, f"not divided by the {micro} micro-batches of an update"),
        (1 / micro, f"divided by the {micro} micro-batches of an update once too often"),
    ):
        if not factor:
            continue
        arrays = [case.expected[key] * factor for key in case.keys]
        name = "summed over the workers" if factor == workers else "not divided" if factor == micro else "reduction"
        what = "the loss" if any("loss" in key for key in case.keys) else "the gradient"
        place = "reduction of the loss, and what it is divided by before backward()"
        yield Prediction(name, f"{what} is {says}", place, arrays)


def distillation(case: RecipeCase) -> Iterator[Prediction]:
    """Another kind, share or temperature; a divergence that vanishes."""
    given = case.config.distillation
    if given.kind == "none":
        return
    alone = case.rerun(Change(("distillation.alpha=0.0",)))
    if all(key in alone for key in case.keys):
        says = "the teacher's part is zero: a divergence of logarithms that does not say log_target, or no gradient"
        arrays = [alone[key] * (1 - given.alpha) for key in case.keys]
        yield Prediction("distillation vanishes", says, "kl_div of the soft distillation", arrays)
    for setting, values in (
        ("kind", ("hard", "soft")),
        ("temperature", ("0.5", "1.0", "2.0", "3.0", "4.0", "5.0")),
        ("alpha", ("0.0", "0.1", "0.3", "0.5", "0.7", "0.9", "1.0")),
    ):
        yield from Setting("distillation", f"distillation.{setting}", values, "the distillation loss")(case)


def rates(case: RecipeCase) -> Iterator[Prediction]:
    """A rate that is another one at some update."""
    if not case.has.startswith("lr_"):
        return
    at, step = _number(case), case.finding.path.partition("/")[0]
    if at:
        says = "each update runs at the rate of the one before it"
        late = [case.expected[f"{step}/lr_{at - 1}"]]
        yield Prediction("rate one step late", says, "whether the scheduler is stepped before the optimizer", late)
    for each in _RATES:
        yield from each(case)
    factor = float(case.found[case.keys[0]]) / float(case.expected[case.keys[0]])
    says = f"the rate is {factor:.6g} times what it should be"
    yield Prediction("rate scaled", says, "how the rate follows the batch", [case.expected[case.keys[0]] * factor])


def decays_of_one(case: RecipeCase) -> Iterator[Prediction]:
    """One parameter that is in the other group: each is tried."""
    for name in case.weights:
        if name not in case.buffers:
            says = f"the decay of {name} is that of the other group"
            yield from rerun(case, "decay group", says, _GROUPS, Change(slip=f"other decay {name}"))


def averages(case: RecipeCase) -> Iterator[Prediction]:
    """An average of another decay, of other moments, or from another start."""
    if case.has != "ema":
        return
    names = [key.partition("/ema/")[2] for key in case.keys]
    course = list(_course(case, names))
    start, decay, micro = course[0], case.config.ema.decay, case.config.run.accumulation
    place = "where the average is updated"

    def averaged(kept: float, taken: list[dict[str, Array]], first: Mapping[str, Array] = start) -> list[Array]:
        state = dict(first)
        for weights in taken:
            state = {name: kept * state[name] + (1 - kept) * weights[name] for name in names}
        return [state[name] for name in names]

    yield Prediction("ema never updated", "the average is never updated", place, averaged(decay, []))
    says = "the average takes up the weights before the step, not after it"
    yield Prediction("ema before the step", says, place, averaged(decay, course[:-1]))
    if micro > 1:
        says = f"the average is updated at each of the {micro} micro-batches, not once an update"
        taken = [weights for after in course[1:] for weights in [after] * micro]
        yield Prediction("ema every micro-batch", says, place, averaged(decay, taken))
    for other in (0.9, 0.99, 0.995, 0.999, 0.9995, 0.9996, 0.9998, 0.9999, 0.99996, 0.99999, 0.0, 1 - decay):
        if other != decay:
            says = f"the average keeps {other:g}, not {decay:g}"
            yield Prediction("ema decay", says, "the decay of the average", averaged(other, course[1:]))
    yield _another_start(case, names, averaged(decay, course[1:]), decay ** (len(course) - 1), start)


def _course(case: RecipeCase, names: list[str]) -> Iterator[dict[str, Array]]:
    """The weights before the first update and after each, from runs of as many updates."""
    step = case.finding.path.partition("/")[0]
    total = sum(key.startswith(f"{step}/loss_") for key in case.expected)
    yield {name: case.weights[name].astype(np.float64) for name in names}
    for updates in range(1, total + 1):
        recorded = case.rerun(Change(updates=updates))
        yield {name: recorded[f"{step}/weights/{name}"].astype(np.float64) for name in names}


def _another_start(
    case: RecipeCase, names: list[str], right: list[Array], share: float, start: Mapping[str, Array]
) -> Prediction:
    """An average that did not start from the weights: what it shows where a fresh model has zeros and ones.

    Only those tensors are predicted whose first values are not random.
    """
    predicted, found = [], []
    for name, key, array in zip(names, case.keys, right, strict=True):
        fresh = 1.0 if "norm" in name and name.endswith(".weight") else 0.0 if "norm" in name else None
        if fresh is not None:
            predicted.append(array + share * (fresh - start[name]))
            found.append(case.found[key])
    says = "the average was copied from a fresh model, before the weights were loaded"
    place = "the order of loading the weights and making the average"
    expected = [array for name, array in zip(names, right, strict=True) if "norm" in name]
    return Prediction("ema start", says, place, predicted, expected, found)


def same_images(case: RecipeCase) -> Iterator[Prediction]:
    """Workers that read the same images, or do not tell each other of their gradients."""
    share = Change((f"run.accumulation={case.config.run.accumulation // WORLD}",))
    if not case.has.startswith(("loss_0", "gradient_norm_0")):
        return
    place = "the rank that is given to the sampler and to what draws at random"
    says = f"all {WORLD} workers train on the first one's images"
    loss = "distributed/loss_0"
    if not np.isclose(case.expected[loss], case.found[loss], rtol=_EQUAL, atol=0):
        yield from rerun(case, "same images", says, place, share)
    else:
        alone = case.rerun(share)
        says = "the first worker's gradients are its own: they are not exchanged"
        arrays = [alone[key] for key in case.keys if key in alone]
        yield Prediction("not exchanged", says, "all_reduce of the gradients", arrays)


def others(case: RecipeCase) -> Iterator[Prediction]:
    """Weights that end otherwise although all losses agree: the last update's doing."""
    if case.has == "weights":
        for each in _LATER:
            yield from each(case)
        yield from decays_of_one(case)


COURSE: tuple[RecipeHypotheses, ...] = (rates, losses, averages, others)
DISTRIBUTED: tuple[RecipeHypotheses, ...] = (same_images, *COURSE)
