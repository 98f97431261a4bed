"""The faults of the check points of training; those that published ports have say so."""

from __future__ import annotations

from dataclasses import replace

from alignment.selftest.faults.base import Fault
from alignment.selftest.faults.shorthand import in_training as _fault
from alignment.selftest.faults.shorthand import setting as _set

_P, _SAMPLES, _MIXED = "data/pictures", "train_data/samples", "train_data/mixing"
DATA = (
    _set("a mean of 0.4851 for 0.485", "data.mean=[0.4851,0.456,0.406]", _P, "mean or std", quick=True),
    _set("another network's mean and deviation", "data.mean=[0.5,0.5,0.5]", _P, "mean or std"),
    _set("a deviation of 0.226 for 0.225", "data.std=[0.229,0.224,0.226]", _P, "mean or std"),
    _fault("pixels of 0 to 255, normalised as if they were 0 to 1", "pixels", _P, "pixel range", change="undivided"),
    _fault("images in BGR", "pixels", _P, "channel order", change="reversed"),
    _fault("images turned on their side", "pixels", _P, "rows and columns swapped", change="turned"),
    _set("a bilinear filter for the bicubic one", "data.interpolation=bilinear", _P, "resize filter", quick=True),
    _set("a crop of 0.875 for 0.9", "data.crop=0.875", _P, "crop share"),
    _fault("the last batch dropped in validation", "last dropped", "data/images", "last batch dropped"),
    _fault(
        *("the last batch filled up in validation", "last filled", "data/images", "padded batch"),
        published="validation is padded with duplicates, so that accuracy is counted on more images than there are",
    ),
    _fault("an image left out of the list", "listing short", "data/listing", "entries missing"),
    _fault("labels counted from 1", "labels shifted", ("data/listing", "data/labels"), "labels shifted"),
)
TRAIN_DATA = (
    _set("no flip", "augmentation.flip=0.0", _SAMPLES, "flip"),
    # One of the samples falls between the two: enough to say that it is flipped, and not how often others are.
    replace(_set("a flip of 0.4 for 0.5", "augmentation.flip=0.4", "train_data/sample_15", "flip"), allowed=("flip",)),
    _set("erasing with zeros", "augmentation.erasing_mode=const", _SAMPLES, "erasing"),
    _set("erasing of 0.25 for 0.5", "augmentation.erasing=0.25", _SAMPLES, "erasing"),
    _fault("erasing before the normalisation", "erased first", _SAMPLES, "erasing before the normalisation"),
    _set("RandAugment of magnitude 8 for 9", "augmentation.auto=rand-m8-mstd0.5-inc1", _SAMPLES, "augmentation policy"),
    _set(
        "RandAugment whose strength does not increase",
        "augmentation.auto=rand-m9-mstd0.5",
        _SAMPLES,
        "augmentation policy",
    ),
    _fault(
        *("RandAugment that moves by 100 pixels", "moves by pixels", _SAMPLES, "translation"),
        published="RandAugment translates by absolute 100 pixels, where .45 of the image are meant",
    ),
    _fault(
        *("RandAugment that fills with black", "black fill", _SAMPLES, "fill colour"),
        published="RandAugment rotates with black fill",
    ),
    _set("a bilinear filter in random crops", "data.interpolation=bilinear", _SAMPLES, "resize filter"),
    _set("random crops of at least 0.2", "augmentation.scale=[0.2,1.0]", _SAMPLES, "crop scale"),
    _set("training images of another mean", "data.mean=[0.5,0.5,0.5]", _SAMPLES, "mean or std"),
    _set("mixup's alpha of 0.9 for 0.8", "mixing.mixup=0.9", _MIXED, "mixup", quick=True),
    _set("no cutmix", "mixing.cutmix=0.0", _MIXED, "cutmix"),
    _fault("cutmix's share not that of its box", "share uncorrected", _MIXED, "cutmix share"),
    _set("targets that are not smoothed", "loss.smoothing=0.0", _MIXED, "label smoothing"),
    _fault(
        *("targets of 1000 classes", "a thousand classes", _MIXED, "class count"),
        published="mixup is never told the number of classes: its targets always have 1000 columns",
    ),
    _fault(
        *("every epoch in the order of the first", "epochs alike", "train_data/order_1", "epoch ignored"),
        published="resuming resets the sampler's epoch, so that the images come in the first epoch's order again",
    ),
    _fault("no shuffling", "unshuffled", "train_data/orders", "not shuffled"),
)
_OTHER_DEFAULTS = "Linear and Conv start from Paddle's initial values, not from torch's"
_MLPS = tuple(
    f"init/transformers.{stage}.blocks.{block}.mlp.fc{layer}.weight"
    for stage, depth in enumerate((2, 3, 1))
    for block in range(depth)
    for layer in (1, 2)
)
INIT = (
    _fault(
        *("the patch embedding's bias starts at zero", "initial", "init/patch_embed.conv.bias", "constant"),
        published=_OTHER_DEFAULTS,
        change="zeros",
        names="patch_embed.conv.bias",
    ),
    _fault(
        *("a normal convolution for a uniform one", "initial", "init/patch_embed.conv.weight", "normal for uniform"),
        published=_OTHER_DEFAULTS,
        change="normal",
        names="patch_embed.conv.weight",
    ),
    _fault(
        *("a Linear of Xavier's", "initial", "init/transformers.1.blocks.0.mlp.fc1.weight", "xavier uniform"),
        published=_OTHER_DEFAULTS,
        change="xavier",
        names="transformers.1.blocks.0.mlp.fc1.weight",
        quick=True,
    ),
    _fault(
        *("MLPs that start with a deviation of 0.2", "initial", _MLPS, "normal for uniform"),
        published="MLPs start with a deviation of .2",
        change="wide",
        names="transformers.*.mlp.fc[12].weight",
    ),
    _fault(
        *("a classifier that starts at 1", "initial", "init/head.weight", "constant"),
        published="the classifier starts at a constant 1.0",
        change="ones",
        names="head.weight",
    ),
    _fault(
        "a weight that starts 1.1 times wider",
        "initial",
        "init/transformers.0.blocks.0.attn.qkv.weight",
        "scaled",
        change="wider",
        names="transformers.0.blocks.0.attn.qkv.weight",
    ),
    _fault(
        "a normal cut off at two deviations",
        "initial",
        "init/pos_embed",
        "truncated",
        change="truncated",
        names="pos_embed",
    ),
    _fault("every seed gives the same weights", "seed forgotten", "init/repeated", "seed ignored"),
)
_LR = "schedule/lr"
SCHEDULE = (
    _set("a schedule that is an epoch early", "schedule.deit_quirk=false", _LR, "schedule off by one", quick=True),
    _fault("a schedule that is an epoch late", "schedule", _LR, "schedule off by one", change="late"),
    _fault(
        *("Paddle's LinearWarmup, advanced once too often", "schedule", _LR, "warm-up advanced"),
        published="LinearWarmup(last_epoch=0): epoch 1 runs at a later epoch's rate, and the last one at 0",
        change="paddle",
    ),
    _set("no warm-up", "schedule.warmup_epochs=0", _LR, "warm-up lost"),
    _set("a warm-up of 6 epochs for 5", "schedule.warmup_epochs=6", _LR, "warm-up length"),
    _set("a warm-up from half the rate", "schedule.warmup_rate=0.00005", _LR, "warm-up rate"),
    _set("no minimum rate", "schedule.minimum_rate=0.0", _LR, "minimum rate"),
    _fault("a cosine that counts from the warm-up's end", "schedule", _LR, "cosine after warm-up", change="restarted"),
    _set("no cooldown", "schedule.cooldown_epochs=0", _LR, "cooldown lost"),
    _fault("a rate that falls linearly", "schedule", _LR, "linear", change="linear"),
    _fault("a rate that is half of what it should be", "schedule", _LR, "rate scaled", change="halved"),
)
_DECAY, _PATHS = "regularisation/decay", "regularisation/drop_path"
REGULARISATION = (
    _set(
        *("every parameter decays", "optimizer.decay_all=true", f"{_DECAY}s", "decay group"),
        published="the filter of what decays compares names of the state dict with Paddle's own: all parameters decay",
    ),
    _fault("one bias decays", "decays", f"{_DECAY}/head.bias", "decay group", parameter="head.bias", quick=True),
    _fault("the position embedding decays", "decays", f"{_DECAY}/pos_embed", "decay group", parameter="pos_embed"),
    _fault(
        "one weight does not decay", "decays", f"{_DECAY}/head.weight", "decay group", parameter="head.weight", on=False
    ),
    _set("a decay of 0.04 for 0.05", "optimizer.weight_decay=0.04", f"{_DECAY}s", "decay scaled"),
    _fault("decay through the moments", "coupled", f"{_DECAY}s", "decay coupled"),
    _set("drop paths that are never passed on", "model.drop_path_rate=0.0", f"{_PATHS}s", "drop path lost"),
    _fault("drop paths of one rate", "drop paths", f"{_PATHS}s", "drop path not growing", change="constant"),
    _fault("drop paths that fall with the depth", "drop paths", f"{_PATHS}s", "drop path reversed", change="reversed"),
)
_ALL = "optimizer/all"
OPTIMIZER = (
    _set("an epsilon of 1e-6 for 1e-8", "optimizer.epsilon=1e-6", _ALL, "epsilon", quick=True),
    _set("a beta of 0.99 for 0.999", "optimizer.betas=[0.9,0.99]", _ALL, "betas"),
    _set("a beta of 0.95 for 0.9", "optimizer.betas=[0.95,0.999]", _ALL, "betas"),
    _fault("no bias correction", "uncorrected", _ALL, "bias correction"),
    _fault("decay in the gradient", "coupled", _ALL, "decay coupled"),
    _fault("decay that is not times the rate", "decay unscaled", _ALL, "decay not times the rate"),
    _fault("one bias that decays", "decays", "optimizer/parameter/head.bias", "decay group", parameter="head.bias"),
    _set("no clipping", "optimizer.clip=null", _ALL, "clip lost"),
    _set("clipping to 0.1 for 0.05", "optimizer.clip=0.1", _ALL, "clip"),
    _fault("each gradient clipped by itself", "clipped alone", _ALL, "clip of each"),
    _set("everything decays in the optimizer", "optimizer.decay_all=true", _ALL, "decay group"),
)
_LOSS, _NORM, _EMA = "train/loss_0", "train/gradient_norm_0", "train/ema"
TRAIN = (
    _set("smoothing of 0 in a run", "loss.smoothing=0.0", (_LOSS, _NORM), "label smoothing"),
    _set(
        *("smoothing ignored without mixup", "loss.smoothing=0.0", (_LOSS, _NORM), "label smoothing"),
        published="the configured label smoothing is ignored without mixup",
        recipe="unmixed",
    ),
    _fault("a loss that is summed over the batch", "loss scaled", (_LOSS, _NORM), "reduction", share="batch"),
    _fault(
        "accumulated gradients that are not divided", "gradients scaled", _NORM, "not divided", share="accumulation"
    ),
    _set("an average of decay 0.9995 for 0.9996", "ema.decay=0.9995", _EMA, "ema decay", quick=True),
    _fault(
        *("an average that takes up micro-batches", "average", _EMA, "ema every micro-batch"),
        published="the average is updated at each micro-batch under accumulation",
        change="micro",
    ),
    _fault(
        *("an average from before the weights are loaded", "average", _EMA, "ema start"),
        published="the average is copied before the pretrained weights are loaded",
        change="fresh",
    ),
    _fault("an average taken before the step", "average", _EMA, "ema before the step", change="early"),
    _fault("an average that is never updated", "average", _EMA, "ema never updated", change="never"),
    _fault("drop paths that are not scaled up", "drop path unscaled", (_LOSS, _NORM), "drop path not scaled"),
    _set("no drop path in a run", "model.drop_path_rate=0.0", (_LOSS, _NORM), "drop path rate"),
    _set("a rate that is an epoch early", "schedule.deit_quirk=false", "train/lr_2", "schedule off by one"),
    _fault("a rate that is one step late", "rate late", "train/lr_4", "rate one step late", quick=True),
    _set(
        "everything decays in a run",
        "optimizer.decay_all=true",
        ("train/loss_1", "train/gradient_norm_1"),
        "decay group",
    ),
    _fault(
        "one bias that decays in a run",
        "decays",
        ("train/loss_1", "train/gradient_norm_1"),
        "decay group",
        parameter="head.bias",
    ),
    _set("an epsilon of 1e-6 in a run", "optimizer.epsilon=1e-6", ("train/loss_1", "train/gradient_norm_1"), "epsilon"),
    _set("a beta of 0.99 in a run", "optimizer.betas=[0.9,0.99]", ("train/loss_2", "train/gradient_norm_2"), "betas"),
    _set("no clipping in a run", "optimizer.clip=null", ("train/loss_1", "train/gradient_norm_1"), "clip"),
    _fault(
        *("soft distillation that vanishes", "teacher lost", (_LOSS, _NORM), "distillation vanishes"),
        published="soft distillation takes the divergence of logarithms without saying so: loss and gradient are 0",
        recipe="soft",
    ),
    _set("hard distillation for soft", "distillation.kind=hard", (_LOSS, _NORM), "distillation kind", recipe="soft"),
    _set(
        "a temperature of 1 for 3",
        "distillation.temperature=1.0",
        (_LOSS, _NORM),
        "distillation temperature",
        recipe="soft",
    ),
)
_CLASSES = "inference/answers"
INFERENCE = (
    _fault("logits for probabilities", "answers", "inference/probabilities", "no softmax", change="logits", quick=True),
    _fault("sigmoids for a softmax", "answers", "inference/probabilities", "sigmoid", change="sigmoid"),
    _fault("classes sorted as text", "answers", _CLASSES, "class order", change="text"),
    _set("images cropped to 0.875 for 0.9", "data.crop=0.875", _CLASSES, "crop share"),
    _set("images resized bilinearly", "data.interpolation=bilinear", _CLASSES, "resize filter"),
    _set("images of another mean", "data.mean=[0.5,0.5,0.5]", _CLASSES, "mean or std"),
)
DISTRIBUTED = (
    _fault(
        "gradients of workers added up",
        "ranks",
        "distributed/gradient_norm_0",
        "summed over the workers",
        change="summed",
    ),
    _fault(
        "workers that all take the first one's images",
        "ranks",
        ("distributed/loss_0", "distributed/gradient_norm_0"),
        "same images",
        change="alike",
    ),
    _fault(
        "gradients of workers that are not exchanged",
        "ranks",
        "distributed/gradient_norm_0",
        "not exchanged",
        change="alone",
    ),
)
TRAINING: tuple[Fault, ...] = (
    *(*DATA, *TRAIN_DATA, *INIT, *SCHEDULE, *REGULARISATION),
    *(*OPTIMIZER, *TRAIN, *INFERENCE, *DISTRIBUTED),
)
"""All of them, in the order of the check points."""
