"""The held-out faults of the check points of training; `held_out_models` says what they are."""

from __future__ import annotations

from alignment.selftest.faults.base import NO_KNOWN_CAUSE, Cause, Fault
from alignment.selftest.faults.shorthand import in_training, setting

_P, _SAMPLES, _MIXED = "data/pictures", "train_data/samples", "train_data/mixing"
_LISTED = ("data/listing", "data/labels")
DATA = (
    setting("CLIP's mean", "data.mean=[0.48145466,0.4578275,0.40821073]", _P, "mean or std"),
    setting("deviations of BGR", "data.std=[0.225,0.224,0.229]", _P, "mean or std"),
    setting("a crop of 0.95 for 0.9", "data.crop=0.95", _P, "crop share"),
    setting("a crop of half the image", "data.crop=0.5", _P, "crop share"),
    in_training("the size before the crop rounded up", "pictures", _P, NO_KNOWN_CAUSE, change="size rounded"),
    in_training("images squashed to a square", "pictures", _P, NO_KNOWN_CAUSE, change="squashed"),
    in_training("the crop's corner rounded down", "pictures", _P, NO_KNOWN_CAUSE, change="floor centred"),
    in_training("a Lanczos filter for the bicubic one", "pictures", _P, "resize filter", change="lanczos"),
    in_training("images turned as their tags say", "pictures", _P, NO_KNOWN_CAUSE, change="turned by tag"),
    in_training("transparency on white", "pictures", _P, NO_KNOWN_CAUSE, change="on white"),
    in_training("pixels in float16", "pictures", _P, ("lower precision", "rounded"), change="half precision"),
    in_training("pixels over 256", "pictures", _P, ("pixel range", "mean or std"), change="of 256"),
    in_training("the deviation before the mean", "pictures", _P, "mean or std", change="std first"),
    in_training("folders in another order", "classes reversed", _LISTED, "class order"),
    in_training("validation in another order", "batches shuffled", (_P, "data/labels"), NO_KNOWN_CAUSE),
)
TRAIN_DATA = (
    setting("crops of other shapes", "augmentation.ratio=[0.5,2.0]", _SAMPLES, "crop ratio"),
    setting("crops of at least 0.35", "augmentation.scale=[0.35,1.0]", _SAMPLES, "crop scale"),
    setting("erasing with one colour", "augmentation.erasing_mode=rand", _SAMPLES, "erasing"),
    setting("up to three erased parts", "augmentation.erasing_count=3", _SAMPLES, "erasing"),
    setting("three operations an image", "augmentation.auto=rand-m9-n3-mstd0.5-inc1", _SAMPLES, "augmentation policy"),
    setting(
        "operations of probability 0.7", "augmentation.auto=rand-m9-p0.7-mstd0.5-inc1", _SAMPLES, "augmentation policy"
    ),
    setting("a spread of 0.3 for 0.5", "augmentation.auto=rand-m9-mstd0.3-inc1", _SAMPLES, "augmentation policy"),
    in_training("colour jitter beside RandAugment", "augmented", _SAMPLES, "colour jitter", change="jitter left on"),
    in_training("a fill colour cut off, not rounded", "augmented", _SAMPLES, "fill colour", change="fill cut off"),
    in_training(
        "rotations by the nearest pixel", "augmented", _SAMPLES, "resize filter", change="nearest in operations"
    ),
    in_training("the flip after RandAugment", "augmented", _SAMPLES, NO_KNOWN_CAUSE, change="flip last"),
    in_training("images flipped upside down", "augmented", _SAMPLES, NO_KNOWN_CAUSE, change="flipped upside down"),
    in_training("rotations of 10 degrees for 30", "operations", _SAMPLES, NO_KNOWN_CAUSE, change="rotation"),
    in_training("operations in one direction", "operations", _SAMPLES, NO_KNOWN_CAUSE, change="no signs"),
    in_training("SolarizeAdd below 127 for 128", "operations", _SAMPLES, NO_KNOWN_CAUSE, change="solarize"),
    setting("cutmix at 0.4 for 0.5", "mixing.switch=0.4", _MIXED, ("mixing switch", "cutmix share")),
    setting("batches mixed at 0.9", "mixing.probability=0.9", _MIXED, "mixing probability"),
    setting("mixed targets smoothed by 0.137", "loss.smoothing=0.137", _MIXED, "label smoothing"),
    in_training("mixup with the next image", "mixed", _MIXED, NO_KNOWN_CAUSE, change="next image"),
    in_training("the shares of the targets exchanged", "mixed", _MIXED, NO_KNOWN_CAUSE, change="targets exchanged"),
    in_training("a box of the share that is kept", "mixed", _MIXED, NO_KNOWN_CAUSE, change="box"),
    setting("images repeated three times", "augmentation.repeats=3", "train_data/orders", "repeated augmentation"),
    in_training("epochs from the end", "order reversed", "train_data/orders", NO_KNOWN_CAUSE),
)


_BLOCKS = tuple(f"{stage}.blocks.{block}" for stage, depth in enumerate((2, 3, 1)) for block in range(depth))


def _initial(name: str, change: str, tensors: str, cause: Cause) -> Fault:
    places = tuple(f"init/{tensors.replace('*', block)}" for block in _BLOCKS) if "*" in tensors else f"init/{tensors}"
    return in_training(name, "initial", places, cause, change=change, names=tensors)


_BLOCK = "transformers.1.blocks.0"
INIT = (
    _initial("positions that start half as wide", "half as wide", "pos_embed", "scaled"),
    _initial("a normal by the fan-out", "fan out", "patch_embed.conv.weight", ("normal for uniform", "kaiming normal")),
    _initial("an MLP's biases start at zero", "zeros", "transformers.*.mlp.fc1.bias", "constant"),
    _initial("norms that start at zero", "zeros", "transformers.*.norm2.weight", "constant"),
    _initial("Kaiming's gain forgotten", "kaiming", f"{_BLOCK}.mlp.fc2.weight", "scaled"),
    _initial("an orthogonal projection", "orthogonal", f"{_BLOCK}.attn.proj.weight", NO_KNOWN_CAUSE),
    _initial("a heavy-tailed start", "heavy tailed", "pos_embed", NO_KNOWN_CAUSE),
    _initial(
        "a weight that starts 1.03 times wider", "slightly wider", "transformers.2.blocks.0.mlp.fc1.weight", "scaled"
    ),
    in_training("blocks that are copies of one", "twins", "init/alike", NO_KNOWN_CAUSE),
)
_LR = "schedule/lr"
SCHEDULE = (
    in_training("a cosine that falls at every update", "scheduled", _LR, NO_KNOWN_CAUSE, change="every update"),
    in_training("a polynomial of power 0.9", "scheduled", _LR, NO_KNOWN_CAUSE, change="power"),
    in_training("a tenth every seven epochs", "scheduled", _LR, NO_KNOWN_CAUSE, change="steps"),
    in_training("a cosine over the cooldown too", "scheduled", _LR, "cooldown lost", change="cooldown within"),
    in_training("a cosine that starts again", "scheduled", _LR, NO_KNOWN_CAUSE, change="restarts"),
    in_training(
        "a warm-up that is a step up",
        "scheduled",
        _LR,
        ("warm-up lost", "warm-up length", "warm-up rate"),
        change="warm-up a step up",
    ),
    in_training("a warm-up by powers", "scheduled", _LR, NO_KNOWN_CAUSE, change="warm-up by powers"),
    setting("a rate times 1.25", "optimizer.learning_rate=0.0125", _LR, "rate scaled"),
    setting("a minimum rate of 0.00037", "schedule.minimum_rate=0.00037", _LR, "minimum rate"),
    setting("a warm-up of 3 epochs for 5", "schedule.warmup_epochs=3", _LR, "warm-up length"),
    setting("a cooldown of 5 epochs for 3", "schedule.cooldown_epochs=5", _LR, "cooldown lost"),
)
_DECAY, _PATHS = "regularisation/decay", "regularisation/drop_path"
REGULARISATION = (
    in_training("the last norm decays", "decays", f"{_DECAY}/norm.weight", "decay group", parameter="norm.weight"),
    in_training("the class token decays", "decays", f"{_DECAY}/cls_token", "decay group", parameter="cls_token"),
    in_training("all biases decay", "decayed", f"{_DECAY}s", "decay group", change="biases"),
    in_training(
        "less decay in the first stage", "decayed", f"{_DECAY}s", NO_KNOWN_CAUSE, change="less in the first stage"
    ),
    setting("a decay of 0.0731 for 0.05", "optimizer.weight_decay=0.0731", f"{_DECAY}s", "decay scaled"),
    setting("drop paths up to 0.15 for 0.2", "model.drop_path_rate=0.15", f"{_PATHS}s", "drop path rate"),
    in_training(
        "drop paths that reach their rate", "paths dropped", f"{_PATHS}s", "drop path rate", change="rate reached"
    ),
    in_training(
        "drop paths of attentions only", "paths dropped", f"{_PATHS}s", "drop path rate", change="attention only"
    ),
    setting("dropout that should not be", "model.drop_rate=0.1", "regularisation/dropout", "dropout left on"),
)
_ALL = "optimizer/all"
OPTIMIZER = (
    setting("an epsilon of 1e-7 for 1e-8", "optimizer.epsilon=1e-7", _ALL, "epsilon"),
    setting("a second beta of 0.95", "optimizer.betas=[0.9,0.95]", _ALL, "betas"),
    setting("a second beta of 0.9985", "optimizer.betas=[0.9,0.9985]", _ALL, "betas"),
    setting("clipping to 0.0613 for 0.05", "optimizer.clip=0.0613", _ALL, "clip"),
    in_training("clipping by value", "gradients", _ALL, "clip by value", change="by value"),
    in_training("clipping without 1e-6", "gradients", _ALL, "clip", change="Paddle's own"),
    in_training("centred gradients", "gradients", _ALL, NO_KNOWN_CAUSE, change="centred"),
    in_training("AMSGrad", "updated", _ALL, NO_KNOWN_CAUSE, change="largest variance"),
    in_training("epsilon within the root", "updated", _ALL, "epsilon", change="epsilon within"),
    in_training("epsilon beside the uncorrected root", "updated", _ALL, "epsilon", change="epsilon uncorrected"),
    in_training("Nesterov's momentum", "updated", _ALL, NO_KNOWN_CAUSE, change="nesterov"),
    in_training("momentum without a variance", "updated", _ALL, NO_KNOWN_CAUSE, change="momentum only"),
    in_training("LAMB's trust ratio", "updated", _ALL, NO_KNOWN_CAUSE, change="trust ratio"),
    in_training("twice the rate for biases", "updated", _ALL, NO_KNOWN_CAUSE, change="biases twice"),
    in_training("updates in float32", "updated", _ALL, ("lower precision", "rounded"), change="in float32"),
    in_training("decay by the square of the rate", "decayed", _ALL, NO_KNOWN_CAUSE, change="square of the rate"),
    in_training(
        "the last norm decays in the optimizer",
        "decays",
        "optimizer/parameter/norm.weight",
        "decay group",
        parameter="norm.weight",
    ),
)
_FIRST, _SECOND = (("train/loss_0", "train/gradient_norm_0"), ("train/loss_1", "train/gradient_norm_1"))
_THIRD, _NORM, _EMA = ("train/loss_3", "train/gradient_norm_3"), "train/gradient_norm_0", "train/ema"
TRAIN = (
    setting("smoothing of 0.137 in a run", "loss.smoothing=0.137", _FIRST, "label smoothing"),
    setting("an average of decay 0.9731", "ema.decay=0.9731", _EMA, "ema decay"),
    in_training("an average whose decay warms up", "averaged", _EMA, "ema decay", change="warmed up"),
    in_training("an average of every second update", "averaged", _EMA, NO_KNOWN_CAUSE, change="every second"),
    in_training("an average in float32", "averaged", _EMA, ("lower precision", "rounded"), change="in float32"),
    in_training("clipping by value in a run", "gradients", _SECOND, "clip by value", change="by value"),
    setting("three micro-batches for two", "run.accumulation=3", _FIRST, "not divided"),
    in_training("only the last micro-batch's gradients", "last micro-batch only", _NORM, NO_KNOWN_CAUSE),
    in_training("a loss scale that is left on", "loss scale left", _NORM, "gradient scaled", factor=1024.0),
    setting("a rate times 1.25 in a run", "optimizer.learning_rate=0.0125", "train/lr_4", "rate scaled"),
    in_training("paths dropped for whole batches", "paths dropped", _FIRST, NO_KNOWN_CAUSE, change="batch"),
    in_training("paths scaled up twice", "paths dropped", _FIRST, "drop path rate", change="scaled twice"),
    in_training("a fresh optimizer every epoch", "moments forgotten", _THIRD, NO_KNOWN_CAUSE),
    in_training(
        "micro-batches that mix alike", "mixing repeated", ("train/loss_0", "train/gradient_norm_0"), NO_KNOWN_CAUSE
    ),
    setting("a share of 0.3 for the teacher", "distillation.alpha=0.3", _FIRST, "distillation alpha", recipe="soft"),
    in_training(
        "the temperature not squared",
        "distilled",
        _FIRST,
        "distillation temperature",
        change="temperature not squared",
        recipe="soft",
    ),
    in_training(
        "the divergence reversed",
        "distilled",
        _FIRST,
        "divergence for entropy",
        change="reversed divergence",
        recipe="soft",
    ),
    in_training(
        "distillation over the batch, not the logits",
        "distilled",
        _FIRST,
        "reduction",
        change="over the batch",
        recipe="soft",
    ),
    in_training(
        "the heads of the losses exchanged",
        "distilled",
        _FIRST,
        NO_KNOWN_CAUSE,
        change="heads exchanged",
        recipe="soft",
    ),
    in_training(
        "a teacher that sees mirrored images",
        "distilled",
        _FIRST,
        NO_KNOWN_CAUSE,
        change="teacher sees a mirror",
        recipe="soft",
    ),
)
_SHARES = "inference/probabilities"
INFERENCE = (
    in_training("probabilities at a temperature of 2", "answered", _SHARES, NO_KNOWN_CAUSE, change="tempered"),
    in_training("a softmax over the batch", "answered", "inference/answers", "softmax axis", change="over the batch"),
    in_training("logarithms of probabilities", "answered", _SHARES, "no softmax", change="logarithms"),
    in_training(
        "classes off by one", "answered", "inference/answers", ("class order", "labels shifted"), change="rolled"
    ),
    in_training(
        "probabilities in float16", "answered", _SHARES, ("lower precision", "rounded"), change="half precision"
    ),
    in_training(
        "the mean of an image and its mirror", "predicted", "inference/answers", NO_KNOWN_CAUSE, change="both ways"
    ),
    in_training(
        "images to predict turned by their tags", "predicted", "inference/answers", NO_KNOWN_CAUSE, change="turned"
    ),
    setting("deviations of BGR in inference", "data.std=[0.225,0.224,0.229]", _SHARES, "mean or std"),
)
_WORKERS = ("distributed/loss_0", "distributed/gradient_norm_0")
DISTRIBUTED = (
    in_training(
        "gradients divided by the workers twice", "workers", _WORKERS[1], NO_KNOWN_CAUSE, change="divided twice"
    ),
    in_training("a rate for each worker", "workers", "distributed/lr_0", "rate scaled", change="rate times workers"),
    in_training(
        "workers that start from other weights", "workers", _WORKERS, NO_KNOWN_CAUSE, change="weights not shared"
    ),
    in_training("images dealt out one by one", "workers", _WORKERS, NO_KNOWN_CAUSE, change="images dealt out"),
)
HELD_OUT_TRAINING = (
    *(*DATA, *TRAIN_DATA, *INIT, *SCHEDULE, *REGULARISATION),
    *(*OPTIMIZER, *TRAIN, *INFERENCE, *DISTRIBUTED),
)
"""All of them, in the order of the check points."""
