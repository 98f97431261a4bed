"""Ports whose training has the mistakes that ports make: loaded by the workers, by name."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from alignment.pair import Pair, published

RIGHT = published.build("pit_micro")
DISTILLED = published.build("pit_micro_distilled")
UNTRAINED = replace(RIGHT, name="untrained", candidate=replace(RIGHT.candidate, training=""))


def pair(name: str, distilled: bool = False) -> Pair:
    """The pair whose candidate's trainer is the function of this name."""
    base = DISTILLED if distilled else RIGHT
    pair = replace(base, candidate=replace(base.candidate, training=f"{Path(__file__)}:{name}"))
    return replace(pair, origin=None)


def _trainer(side: Any, config: Any, **sections: dict[str, Any]) -> Any:
    """The right trainer of a configuration that some settings of are taken for others."""
    from alignment.backends.trainers.paddle import create

    changed = {name: replace(getattr(config, name), **settings) for name, settings in sections.items()}
    return create(side, replace(config, **changed))


def right(side: Any, config: Any) -> Any:
    return _trainer(side, config)


def late_by_an_epoch(side: Any, config: Any) -> Any:
    return _trainer(side, config, schedule={"deit_quirk": False})


def without_minimum_rate(side: Any, config: Any) -> Any:
    return _trainer(side, config, schedule={"minimum_rate": 0.0})


def decays_everything(side: Any, config: Any) -> Any:
    """What a filter by names does that looks at Paddle's own: it exempts nothing."""
    return _trainer(side, config, optimizer={"decay_all": True})


def decays_one_bias(side: Any, config: Any) -> Any:
    trainer = _trainer(side, config)
    assemble = trainer._assemble

    def wrong(model: Any) -> Any:
        parts = assemble(model)
        parts.optimizer._decaying.append(model.head.bias)
        return parts

    trainer._assemble = wrong
    trainer.parts = wrong(trainer.parts.model)
    return trainer


def without_drop_path(side: Any, config: Any) -> Any:
    return _trainer(side, config, model={"drop_path_rate": 0.0})


def with_a_wide_epsilon(side: Any, config: Any) -> Any:
    return _trainer(side, config, optimizer={"epsilon": 1e-6})


def with_other_betas(side: Any, config: Any) -> Any:
    return _trainer(side, config, optimizer={"betas": (0.9, 0.99)})


def without_bias_correction(side: Any, config: Any) -> Any:
    """The powers of the betas are taken to be zero, as if many steps were done."""
    import paddle

    trainer = _trainer(side, config)
    apply = trainer.apply

    def wrong(gradients: Any, rate: float) -> None:
        optimizer = trainer.parts.optimizer
        state = {name: tensor for name, tensor in optimizer.named_state().items() if "pow_acc" in name}
        if not state:
            named = dict(trainer.parts.model.named_parameters())
            zeros = {name: paddle.zeros_like(each).numpy() for name, each in named.items()}
            optimizer.set_named_state({f"moment1/{name}": each for name, each in zeros.items()})
        for name, tensor in optimizer.named_state().items():
            if "pow_acc" in name:
                tensor.set_value(tensor * 0)
        apply(gradients, rate)

    trainer.apply = wrong
    return trainer


def without_smoothing(side: Any, config: Any) -> Any:
    return _trainer(side, config, loss={"smoothing": 0.0})


def with_another_average(side: Any, config: Any) -> Any:
    return _trainer(side, config, ema={"decay": config.ema.decay + 0.0001})


def averages_micro_batches(side: Any, config: Any) -> Any:
    """Takes up the weights at each micro-batch, not once an update."""
    trainer = _trainer(side, config)
    start = trainer.start

    def wrong(weights: Any) -> None:
        start(weights)
        update = trainer.parts.average.update
        trainer.parts.average.update = lambda: [update() for _ in range(config.run.accumulation)]

    trainer.start = wrong
    return trainer


def with_other_mixing(side: Any, config: Any) -> Any:
    return _trainer(side, config, mixing={"mixup": config.mixing.mixup + 0.1})


def bilinear(side: Any, config: Any) -> Any:
    return _trainer(side, config, data={"interpolation": "bilinear"})


def with_a_rounded_mean(side: Any, config: Any) -> Any:
    return _trainer(side, config, data={"mean": tuple(each + 1e-4 for each in config.data.mean)})


def with_another_crop(side: Any, config: Any) -> Any:
    return _trainer(side, config, data={"crop": 0.875})


def reads_blue_first(side: Any, config: Any) -> Any:
    trainer = _trainer(side, config)
    validation = trainer.validation
    trainer.validation = lambda: ((images[:, ::-1].copy(), labels) for images, labels in validation())
    return trainer


def skips_the_last_image(side: Any, config: Any) -> Any:
    from alignment.backends.trainers.base import Listing

    trainer = _trainer(side, config)
    listing = trainer.listing
    trainer.listing = lambda form: Listing(listing(form).names[:-1], listing(form).labels[:-1])
    return trainer


def erases_black(side: Any, config: Any) -> Any:
    return _trainer(side, config, augmentation={"erasing_mode": "const"})


def augments_less(side: Any, config: Any) -> Any:
    return _trainer(side, config, augmentation={"auto": "rand-m8-mstd0.5-inc1"})


def _initial(side: Any, config: Any, name: str, change: Any) -> Any:
    trainer = _trainer(side, config)
    initial = trainer.initial

    def wrong(seed: int) -> Any:
        state = initial(seed)
        state[name] = change(state[name]).astype(state[name].dtype)
        return state

    trainer.initial = wrong
    return trainer


def starts_with_paddles_bias(side: Any, config: Any) -> Any:
    """Zero, as Paddle's convolutions have it, for torch's uniform."""
    return _initial(side, config, "patch_embed.conv.bias", lambda array: array * 0)


def starts_with_other_bounds(side: Any, config: Any) -> Any:
    """Normal values of the right mean and deviation, for uniform ones."""
    import numpy as np

    def normal(array: Any) -> Any:
        return np.random.default_rng(abs(hash(array.tobytes())) % 2**32).normal(array.mean(), array.std(), array.shape)

    return _initial(side, config, "patch_embed.conv.weight", normal)


def starts_wider(side: Any, config: Any) -> Any:
    return _initial(side, config, "transformers.1.blocks.0.mlp.fc1.weight", lambda array: array * 1.1)


def forgets_the_seed(side: Any, config: Any) -> Any:
    trainer = _trainer(side, config)
    initial = trainer.initial
    trainer.initial = lambda seed: initial(0)
    return trainer


def starts_as_copies(side: Any, config: Any) -> Any:
    """As `copy.deepcopy` of one block does."""
    trainer = _trainer(side, config)
    initial = trainer.initial

    def wrong(seed: int) -> Any:
        state = initial(seed)
        return {name: state[name.replace("blocks.1.", "blocks.0.")] for name in state}

    trainer.initial = wrong
    return trainer


def answers_in_logits(side: Any, config: Any) -> Any:
    import numpy as np

    trainer = _trainer(side, config)
    probabilities = trainer.probabilities
    trainer.probabilities = lambda images, weights: np.log(probabilities(images, weights))
    return trainer


def sums_over_workers(side: Any, config: Any) -> Any:
    """The gradients of workers are added up and not averaged, which clipping and Adam's moments let show."""
    trainer = _trainer(side, config)
    train = trainer.train

    def wrong(updates: int, world: int = 1) -> Any:
        if world == 1:
            return train(updates)
        loss = trainer._loss
        trainer.parts = replace(trainer.parts, loss=loss)
        trainer._loss = lambda *given: loss(*given) * world
        return trainer._train(updates)

    trainer.train = wrong
    return trainer


def with_soft_targets_of_logits(side: Any, config: Any) -> Any:
    """Kullback-Leibler divergence that is always zero, as a published port has it."""
    trainer = _trainer(side, config)
    trainer._loss._distil = lambda logits, images: (logits * 0).sum()
    return trainer
