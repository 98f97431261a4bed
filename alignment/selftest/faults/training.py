"""The faults of the check points of training, and the small recipes that they are put into."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from alignment.selftest.faults.base import initial, setting, training


@dataclass(frozen=True, slots=True)
class Recipe:
    """A recipe that faults in training are put into: small, and with every option switched on.

    Attributes:
        model: The model that is trained.
        settings: `section.setting=value` each, which replace those of the configuration shipped for the model.
        teacher: The model of the teacher; empty without distillation.
        classes: Number of classes of the model.
    """

    model: str
    settings: tuple[str, ...]
    teacher: str = ""
    classes: int = 12


_EVERYTHING = (
    "mixing.mixup=0.8",
    "mixing.cutmix=1.0",
    "mixing.probability=1.0",
    "mixing.switch=0.5",
    "augmentation.auto=rand-m9-mstd0.5-inc1",
    "augmentation.erasing=0.5",
    "augmentation.flip=0.5",
    "model.drop_path_rate=0.2",
    "loss.smoothing=0.1",
    "optimizer.clip=0.05",
    "optimizer.weight_decay=0.05",
    "optimizer.learning_rate=0.01",
    "optimizer.base_batch=0",
    "schedule.epochs=20",
    "schedule.warmup_epochs=5",
    "schedule.warmup_rate=0.0001",
    "schedule.minimum_rate=0.0005",
    "schedule.cooldown_epochs=3",
    "ema.decay=0.9996",
    "run.accumulation=2",
    "data.mean=[0.485,0.456,0.406]",
    "data.std=[0.229,0.224,0.225]",
    "data.crop=0.9",
    "augmentation.scale=[0.08,1.0]",
    "augmentation.ratio=[0.75,1.3333333333333333]",
)
_TAUGHT = ("distillation.weights=to be drawn", "distillation.teacher=pit_micro", "distillation.temperature=3.0")
RECIPES: Mapping[str, Recipe] = {
    "mixed": Recipe("pit_micro", _EVERYTHING),
    "unmixed": Recipe("pit_micro", (*_EVERYTHING, "mixing.probability=0.0")),
    "soft": Recipe("pit_micro_distilled", (*_EVERYTHING, *_TAUGHT, "distillation.kind=soft"), "pit_micro"),
}
"""Recipes by name. The learning rate is high, so that the loss after an update shows what the update did."""

_POLICY = "augmentation policy"
_P, _SAMPLES, _SAMPLE = "data/pictures", "train_data/samples", "train_data/sample_15"
_MIXED = "train_data/mixing"
DATA = (
    setting("a mean of 0.4851 for 0.485", "data.mean=[0.4851,0.456,0.406]", _P, "mean or std", quick=True),
    setting("another network's mean and deviation", "data.mean=[0.5,0.5,0.5]", _P, "mean or std"),
    setting("a deviation of 0.226 for 0.225", "data.std=[0.229,0.224,0.226]", _P, "mean or std"),
    training("pixels of 0 to 255, normalised as if they were 0 to 1", "pixels", _P, "pixel range", "undivided"),
    training("images in BGR", "pixels", _P, "channel order", "reversed"),
    training("images turned on their side", "pixels", _P, "rows and columns swapped", "turned"),
    setting("a bilinear filter for the bicubic one", "data.interpolation=bilinear", _P, "resize filter", quick=True),
    setting("a crop of 0.875 for 0.9", "data.crop=0.875", _P, "crop share"),
    training("the last batch dropped in validation", "last dropped", "data/images", "last batch dropped"),
    training("the last batch filled up in validation", "last filled", "data/images", "padded batch"),
    training("an image left out of the list", "listing short", "data/listing", "entries missing"),
    training("labels counted from 1", "labels shifted", ("data/listing", "data/labels"), "labels shifted"),
)
TRAIN_DATA = (
    setting("no flip", "augmentation.flip=0.0", _SAMPLES, "flip"),
    # One of the samples falls between the two shares: enough to say that it is flipped, not how often others are.
    replace(setting("a flip of 0.4 for 0.5", "augmentation.flip=0.4", _SAMPLE, "flip"), allowed=("flip",)),
    setting("erasing with zeros", "augmentation.erasing_mode=const", _SAMPLES, "erasing"),
    setting("erasing of 0.25 for 0.5", "augmentation.erasing=0.25", _SAMPLES, "erasing"),
    training("erasing before the normalisation", "erased first", _SAMPLES, "erasing before the normalisation"),
    setting("RandAugment of magnitude 8 for 9", "augmentation.auto=rand-m8-mstd0.5-inc1", _SAMPLES, _POLICY),
    setting("RandAugment whose strength does not increase", "augmentation.auto=rand-m9-mstd0.5", _SAMPLES, _POLICY),
    training("RandAugment that moves by 100 pixels", "moves by pixels", _SAMPLES, "translation"),
    training("RandAugment that fills with black", "black fill", _SAMPLES, "fill colour"),
    setting("a bilinear filter in random crops", "data.interpolation=bilinear", _SAMPLES, "resize filter"),
    setting("random crops of at least 0.2", "augmentation.scale=[0.2,1.0]", _SAMPLES, "crop scale"),
    setting("training images of another mean", "data.mean=[0.5,0.5,0.5]", _SAMPLES, "mean or std"),
    setting("mixup's alpha of 0.9 for 0.8", "mixing.mixup=0.9", _MIXED, "mixup", quick=True),
    setting("no cutmix", "mixing.cutmix=0.0", _MIXED, "cutmix"),
    training("cutmix's share not that of its box", "share uncorrected", _MIXED, "cutmix share"),
    setting("targets that are not smoothed", "loss.smoothing=0.0", _MIXED, "label smoothing"),
    training("targets of 1000 classes", "a thousand classes", _MIXED, "class count"),
    training("every epoch in the order of the first", "epochs alike", "train_data/order_1", "epoch ignored"),
    training("no shuffling", "unshuffled", "train_data/orders", "not shuffled"),
)
INIT = (
    initial("the patch embedding's bias starts at zero", "zeros", "patch_embed.conv.bias", "constant"),
    initial("a normal convolution for a uniform one", "normal", "patch_embed.conv.weight", "normal for uniform"),
    initial("a Linear of Xavier's", "xavier", "transformers.1.blocks.0.mlp.fc1.weight", "xavier uniform", quick=True),
    initial(
        "MLPs that start with a deviation of 0.2", "wide", "transformers.*.mlp.fc[12].weight", "normal for uniform"
    ),
    initial("a classifier that starts at 1", "ones", "head.weight", "constant"),
    initial("a weight that starts 1.1 times wider", "wider", "transformers.0.blocks.0.attn.qkv.weight", "scaled"),
    initial("a normal cut off at two deviations", "truncated", "pos_embed", "truncated"),
    training("every seed gives the same weights", "seed forgotten", "init/repeated", "seed ignored"),
)
_LR = "schedule/lr"
SCHEDULE = (
    setting("a schedule that is an epoch early", "schedule.deit_quirk=false", _LR, "schedule off by one", quick=True),
    training("a schedule that is an epoch late", "schedule", _LR, "schedule off by one", "late"),
    training("Paddle's LinearWarmup, advanced once too often", "schedule", _LR, "warm-up advanced", "paddle"),
    setting("no warm-up", "schedule.warmup_epochs=0", _LR, "warm-up lost"),
    setting("a warm-up of 6 epochs for 5", "schedule.warmup_epochs=6", _LR, "warm-up length"),
    setting("a warm-up from half the rate", "schedule.warmup_rate=0.00005", _LR, "warm-up rate"),
    setting("no minimum rate", "schedule.minimum_rate=0.0", _LR, "minimum rate"),
    training("a cosine that counts from the warm-up's end", "schedule", _LR, "cosine after warm-up", "restarted"),
    setting("no cooldown", "schedule.cooldown_epochs=0", _LR, "cooldown lost"),
    training("a rate that falls linearly", "schedule", _LR, "linear", "linear"),
    training("a rate that is half of what it should be", "schedule", _LR, "rate scaled", "halved"),
)
_DECAY, _PATHS = "regularisation/decay", "regularisation/drop_path"
REGULARISATION = (
    setting("every parameter decays", "optimizer.decay_all=true", f"{_DECAY}s", "decay group"),
    training("one bias decays", "decays", f"{_DECAY}/head.bias", "decay group", parameter="head.bias", quick=True),
    training("the position embedding decays", "decays", f"{_DECAY}/pos_embed", "decay group", parameter="pos_embed"),
    training(
        "one weight does not decay", "decays", f"{_DECAY}/head.weight", "decay group", parameter="head.weight", on=False
    ),
    setting("a decay of 0.04 for 0.05", "optimizer.weight_decay=0.04", f"{_DECAY}s", "decay scaled"),
    training("decay through the moments", "coupled", f"{_DECAY}s", "decay coupled"),
    setting("drop paths that are never passed on", "model.drop_path_rate=0.0", f"{_PATHS}s", "drop path lost"),
    training("drop paths of one rate", "drop paths", f"{_PATHS}s", "drop path not growing", "constant"),
    training("drop paths that fall with the depth", "drop paths", f"{_PATHS}s", "drop path reversed", "reversed"),
)
_STEPS = "optimizer/all"
OPTIMIZER = (
    setting("an epsilon of 1e-6 for 1e-8", "optimizer.epsilon=1e-6", _STEPS, "epsilon", quick=True),
    setting("a beta of 0.99 for 0.999", "optimizer.betas=[0.9,0.99]", _STEPS, "betas"),
    setting("a beta of 0.95 for 0.9", "optimizer.betas=[0.95,0.999]", _STEPS, "betas"),
    training("no bias correction", "uncorrected", _STEPS, "bias correction"),
    training("decay in the gradient", "coupled", _STEPS, "decay coupled"),
    training("decay that is not times the rate", "decay unscaled", _STEPS, "decay not times the rate"),
    training("one bias that decays", "decays", "optimizer/parameter/head.bias", "decay group", parameter="head.bias"),
    setting("no clipping", "optimizer.clip=null", _STEPS, "clip lost"),
    setting("clipping to 0.1 for 0.05", "optimizer.clip=0.1", _STEPS, "clip"),
    training("each gradient clipped by itself", "clipped alone", _STEPS, "clip of each"),
    setting("everything decays in the optimizer", "optimizer.decay_all=true", _STEPS, "decay group"),
)
_UPDATE_0, _UPDATE_1, _UPDATE_2 = ((f"train/loss_{at}", f"train/gradient_norm_{at}") for at in range(3))
_NORM, _EMA = "train/gradient_norm_0", "train/ema"
TRAIN = (
    setting("smoothing of 0 in a run", "loss.smoothing=0.0", _UPDATE_0, "label smoothing"),
    setting("smoothing ignored without mixup", "loss.smoothing=0.0", _UPDATE_0, "label smoothing", recipe="unmixed"),
    training("a loss that is summed over the batch", "loss scaled", _UPDATE_0, "reduction", share="batch"),
    training(
        "accumulated gradients that are not divided", "gradients scaled", _NORM, "not divided", share="accumulation"
    ),
    setting("an average of decay 0.9995 for 0.9996", "ema.decay=0.9995", _EMA, "ema decay", quick=True),
    training("an average that takes up micro-batches", "average", _EMA, "ema every micro-batch", "micro"),
    training("an average from before the weights are loaded", "average", _EMA, "ema start", "fresh"),
    training("an average taken before the step", "average", _EMA, "ema before the step", "early"),
    training("an average that is never updated", "average", _EMA, "ema never updated", "never"),
    training("drop paths that are not scaled up", "drop path unscaled", _UPDATE_0, "drop path not scaled"),
    setting("no drop path in a run", "model.drop_path_rate=0.0", _UPDATE_0, "drop path rate"),
    setting("a rate that is an epoch early", "schedule.deit_quirk=false", "train/lr_2", "schedule off by one"),
    training("a rate that is one step late", "rate late", "train/lr_4", "rate one step late", quick=True),
    setting("everything decays in a run", "optimizer.decay_all=true", _UPDATE_1, "decay group"),
    training("one bias that decays in a run", "decays", _UPDATE_1, "decay group", parameter="head.bias"),
    setting("an epsilon of 1e-6 in a run", "optimizer.epsilon=1e-6", _UPDATE_1, "epsilon"),
    setting("a beta of 0.99 in a run", "optimizer.betas=[0.9,0.99]", _UPDATE_2, "betas"),
    setting("no clipping in a run", "optimizer.clip=null", _UPDATE_1, "clip"),
    training("soft distillation that vanishes", "teacher lost", _UPDATE_0, "distillation vanishes", recipe="soft"),
    setting("hard distillation for soft", "distillation.kind=hard", _UPDATE_0, "distillation kind", recipe="soft"),
    setting(
        "a temperature of 1 for 3", "distillation.temperature=1.0", _UPDATE_0, "distillation temperature", recipe="soft"
    ),
)
_CLASSES = "inference/answers"
INFERENCE = (
    training("logits for probabilities", "answers", "inference/probabilities", "no softmax", "logits", quick=True),
    training("sigmoids for a softmax", "answers", "inference/probabilities", "sigmoid", "sigmoid"),
    training("classes sorted as text", "answers", _CLASSES, "class order", "text"),
    setting("images cropped to 0.875 for 0.9", "data.crop=0.875", _CLASSES, "crop share"),
    setting("images resized bilinearly", "data.interpolation=bilinear", _CLASSES, "resize filter"),
    setting("images of another mean", "data.mean=[0.5,0.5,0.5]", _CLASSES, "mean or std"),
)
_SHARED_LOSS, _SHARED_NORM = "distributed/loss_0", "distributed/gradient_norm_0"
DISTRIBUTED = (
    training("gradients of workers added up", "ranks", _SHARED_NORM, "summed over the workers", "summed"),
    training(
        "workers that all take the first one's images", "ranks", (_SHARED_LOSS, _SHARED_NORM), "same images", "alike"
    ),
    training("gradients of workers that are not exchanged", "ranks", _SHARED_NORM, "not exchanged", "alone"),
)
_OTHER_DEFAULTS = "Linear and Conv start from Paddle's initial values, not from torch's"
_PUBLISHED = {
    "the last batch filled up in validation": (
        "validation is padded with duplicates, so that accuracy is counted on more images than there are"
    ),
    "RandAugment that moves by 100 pixels": (
        "RandAugment translates by absolute 100 pixels, where .45 of the image are meant"
    ),
    "RandAugment that fills with black": "RandAugment rotates with black fill",
    "targets of 1000 classes": "mixup is never told the number of classes: its targets always have 1000 columns",
    "every epoch in the order of the first": (
        "resuming resets the sampler's epoch, so that the images come in the first epoch's order again"
    ),
    "the patch embedding's bias starts at zero": _OTHER_DEFAULTS,
    "a normal convolution for a uniform one": _OTHER_DEFAULTS,
    "a Linear of Xavier's": _OTHER_DEFAULTS,
    "MLPs that start with a deviation of 0.2": "MLPs start with a deviation of .2",
    "a classifier that starts at 1": "the classifier starts at a constant 1.0",
    "Paddle's LinearWarmup, advanced once too often": (
        "LinearWarmup(last_epoch=0): epoch 1 runs at a later epoch's rate, and the last one at 0"
    ),
    "every parameter decays": (
        "the filter of what decays compares names of the state dict with Paddle's own: all parameters decay"
    ),
    "smoothing ignored without mixup": "the configured label smoothing is ignored without mixup",
    "an average that takes up micro-batches": "the average is updated at each micro-batch under accumulation",
    "an average from before the weights are loaded": "the average is copied before the pretrained weights are loaded",
    "soft distillation that vanishes": (
        "soft distillation takes the divergence of logarithms without saying so: loss and gradient are 0"
    ),
}
"""How a mistake shows in published ports, by the fault's name."""
_ALL = (*(*DATA, *TRAIN_DATA, *INIT, *SCHEDULE, *REGULARISATION), *(*OPTIMIZER, *TRAIN, *INFERENCE, *DISTRIBUTED))
TRAINING = tuple(replace(fault, published=_PUBLISHED.get(fault.name, "")) for fault in _ALL)
"""All of them, in the order of the check points."""
