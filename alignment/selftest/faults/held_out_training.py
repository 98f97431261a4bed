"""The held-out faults of the check points of training; `held_out_models` says what they are."""

from __future__ import annotations

from functools import partial

from alignment.selftest.faults.base import NO_CAUSE, initial, setting, training

_P, _SAMPLES, _MIXED = "data/pictures", "train_data/samples", "train_data/mixing"
_ROUNDED = ("lower precision", "rounded")
_LISTED, _POLICY = ("data/listing", "data/labels"), "augmentation policy"
DATA = (
    setting("CLIP's mean", "data.mean=[0.48145466,0.4578275,0.40821073]", _P, "mean or std"),
    setting("deviations of BGR", "data.std=[0.225,0.224,0.229]", _P, "mean or std"),
    setting("a crop of 0.95 for 0.9", "data.crop=0.95", _P, "crop share"),
    setting("a crop of half the image", "data.crop=0.5", _P, "crop share"),
    training("the size before the crop rounded up", "pictures", _P, NO_CAUSE, "size rounded"),
    training("images squashed to a square", "pictures", _P, NO_CAUSE, "squashed"),
    training("the crop's corner rounded down", "pictures", _P, NO_CAUSE, "floor centred"),
    training("a Lanczos filter for the bicubic one", "pictures", _P, "resize filter", "lanczos"),
    training("images turned as their tags say", "pictures", _P, NO_CAUSE, "turned by tag"),
    training("transparency on white", "pictures", _P, NO_CAUSE, "on white"),
    training("pixels in float16", "pictures", _P, _ROUNDED, "half precision"),
    training("pixels over 256", "pictures", _P, ("pixel range", "mean or std"), "of 256"),
    training("the deviation before the mean", "pictures", _P, "mean or std", "std first"),
    training("folders in another order", "classes reversed", _LISTED, "class order"),
    training("validation in another order", "batches shuffled", (_P, "data/labels"), NO_CAUSE),
)
TRAIN_DATA = (
    setting("crops of other shapes", "augmentation.ratio=[0.5,2.0]", _SAMPLES, "crop ratio"),
    setting("crops of at least 0.35", "augmentation.scale=[0.35,1.0]", _SAMPLES, "crop scale"),
    setting("erasing with one colour", "augmentation.erasing_mode=rand", _SAMPLES, "erasing"),
    setting("up to three erased parts", "augmentation.erasing_count=3", _SAMPLES, "erasing"),
    setting("three operations an image", "augmentation.auto=rand-m9-n3-mstd0.5-inc1", _SAMPLES, _POLICY),
    setting("operations of probability 0.7", "augmentation.auto=rand-m9-p0.7-mstd0.5-inc1", _SAMPLES, _POLICY),
    setting("a spread of 0.3 for 0.5", "augmentation.auto=rand-m9-mstd0.3-inc1", _SAMPLES, _POLICY),
    training("colour jitter beside RandAugment", "augmented", _SAMPLES, "colour jitter", "jitter left on"),
    training("a fill colour cut off, not rounded", "augmented", _SAMPLES, "fill colour", "fill cut off"),
    training("rotations by the nearest pixel", "augmented", _SAMPLES, "resize filter", "nearest in operations"),
    training("the flip after RandAugment", "augmented", _SAMPLES, NO_CAUSE, "flip last"),
    training("images flipped upside down", "augmented", _SAMPLES, NO_CAUSE, "flipped upside down"),
    training("rotations of 10 degrees for 30", "operations", _SAMPLES, NO_CAUSE, "rotation"),
    training("operations in one direction", "operations", _SAMPLES, NO_CAUSE, "no signs"),
    training("SolarizeAdd below 127 for 128", "operations", _SAMPLES, NO_CAUSE, "solarize"),
    setting("cutmix at 0.4 for 0.5", "mixing.switch=0.4", _MIXED, ("mixing switch", "cutmix share")),
    setting("batches mixed at 0.9", "mixing.probability=0.9", _MIXED, "mixing probability"),
    setting("mixed targets smoothed by 0.137", "loss.smoothing=0.137", _MIXED, "label smoothing"),
    training("mixup with the next image", "mixed", _MIXED, NO_CAUSE, "next image"),
    training("the shares of the targets exchanged", "mixed", _MIXED, NO_CAUSE, "targets exchanged"),
    training("a box of the share that is kept", "mixed", _MIXED, NO_CAUSE, "box"),
    setting("images repeated three times", "augmentation.repeats=3", "train_data/orders", "repeated augmentation"),
    training("epochs from the end", "order reversed", "train_data/orders", NO_CAUSE),
)
_BLOCK = "transformers.1.blocks.0"
INIT = (
    initial("positions that start half as wide", "half as wide", "pos_embed", "scaled"),
    initial("a normal by the fan-out", "fan out", "patch_embed.conv.weight", ("normal for uniform", "kaiming normal")),
    initial("an MLP's biases start at zero", "zeros", "transformers.*.mlp.fc1.bias", "constant"),
    initial("norms that start at zero", "zeros", "transformers.*.norm2.weight", "constant"),
    initial("Kaiming's gain forgotten", "kaiming", f"{_BLOCK}.mlp.fc2.weight", "scaled"),
    initial("an orthogonal projection", "orthogonal", f"{_BLOCK}.attn.proj.weight", NO_CAUSE),
    initial("a heavy-tailed start", "heavy tailed", "pos_embed", NO_CAUSE),
    initial(
        "a weight that starts 1.03 times wider", "slightly wider", "transformers.2.blocks.0.mlp.fc1.weight", "scaled"
    ),
    training("blocks that are copies of one", "twins", "init/alike", NO_CAUSE),
)
_WARMUP = ("warm-up lost", "warm-up length", "warm-up rate")
_LR = "schedule/lr"
SCHEDULE = (
    training("a cosine that falls at every update", "scheduled", _LR, NO_CAUSE, "every update"),
    training("a polynomial of power 0.9", "scheduled", _LR, NO_CAUSE, "power"),
    training("a tenth every seven epochs", "scheduled", _LR, NO_CAUSE, "steps"),
    training("a cosine over the cooldown too", "scheduled", _LR, "cooldown lost", "cooldown within"),
    training("a cosine that starts again", "scheduled", _LR, NO_CAUSE, "restarts"),
    training("a warm-up that is a step up", "scheduled", _LR, _WARMUP, "warm-up a step up"),
    training("a warm-up by powers", "scheduled", _LR, NO_CAUSE, "warm-up by powers"),
    setting("a rate times 1.25", "optimizer.learning_rate=0.0125", _LR, "rate scaled"),
    setting("a minimum rate of 0.00037", "schedule.minimum_rate=0.00037", _LR, "minimum rate"),
    setting("a warm-up of 3 epochs for 5", "schedule.warmup_epochs=3", _LR, "warm-up length"),
    setting("a cooldown of 5 epochs for 3", "schedule.cooldown_epochs=5", _LR, "cooldown lost"),
)
_DECAY, _PATHS = "regularisation/decay", "regularisation/drop_path"
REGULARISATION = (
    training("the last norm decays", "decays", f"{_DECAY}/norm.weight", "decay group", parameter="norm.weight"),
    training("the class token decays", "decays", f"{_DECAY}/cls_token", "decay group", parameter="cls_token"),
    training("all biases decay", "decayed", f"{_DECAY}s", "decay group", "biases"),
    training("less decay in the first stage", "decayed", f"{_DECAY}s", NO_CAUSE, "less in the first stage"),
    setting("a decay of 0.0731 for 0.05", "optimizer.weight_decay=0.0731", f"{_DECAY}s", "decay scaled"),
    setting("drop paths up to 0.15 for 0.2", "model.drop_path_rate=0.15", f"{_PATHS}s", "drop path rate"),
    training("drop paths that reach their rate", "paths dropped", f"{_PATHS}s", "drop path rate", "rate reached"),
    training("drop paths of attentions only", "paths dropped", f"{_PATHS}s", "drop path rate", "attention only"),
    setting("dropout that should not be", "model.drop_rate=0.1", "regularisation/dropout", "dropout left on"),
)
_ALL = "optimizer/all"
OPTIMIZER = (
    setting("an epsilon of 1e-7 for 1e-8", "optimizer.epsilon=1e-7", _ALL, "epsilon"),
    setting("a second beta of 0.95", "optimizer.betas=[0.9,0.95]", _ALL, "betas"),
    setting("a second beta of 0.9985", "optimizer.betas=[0.9,0.9985]", _ALL, "betas"),
    setting("clipping to 0.0613 for 0.05", "optimizer.clip=0.0613", _ALL, "clip"),
    training("clipping by value", "gradients", _ALL, "clip by value", "by value"),
    training("clipping without 1e-6", "gradients", _ALL, "clip", "Paddle's own"),
    training("centred gradients", "gradients", _ALL, NO_CAUSE, "centred"),
    training("AMSGrad", "updated", _ALL, NO_CAUSE, "largest variance"),
    training("epsilon within the root", "updated", _ALL, "epsilon", "epsilon within"),
    training("epsilon beside the uncorrected root", "updated", _ALL, "epsilon", "epsilon uncorrected"),
    training("Nesterov's momentum", "updated", _ALL, NO_CAUSE, "nesterov"),
    training("momentum without a variance", "updated", _ALL, NO_CAUSE, "momentum only"),
    training("LAMB's trust ratio", "updated", _ALL, NO_CAUSE, "trust ratio"),
    training("twice the rate for biases", "updated", _ALL, NO_CAUSE, "biases twice"),
    training("updates in float32", "updated", _ALL, _ROUNDED, "in float32"),
    training("decay by the square of the rate", "decayed", _ALL, NO_CAUSE, "square of the rate"),
    training(
        "the last norm decays in the optimizer",
        "decays",
        "optimizer/parameter/norm.weight",
        "decay group",
        parameter="norm.weight",
    ),
)
_UPDATE_0, _UPDATE_1, _UPDATE_3 = ((f"train/loss_{at}", f"train/gradient_norm_{at}") for at in (0, 1, 3))
_NORM, _EMA = "train/gradient_norm_0", "train/ema"
_distilled = partial(training, kind="distilled", places=_UPDATE_0, recipe="soft")
TRAIN = (
    setting("smoothing of 0.137 in a run", "loss.smoothing=0.137", _UPDATE_0, "label smoothing"),
    setting("an average of decay 0.9731", "ema.decay=0.9731", _EMA, "ema decay"),
    training("an average whose decay warms up", "averaged", _EMA, "ema decay", "warmed up"),
    training("an average of every second update", "averaged", _EMA, NO_CAUSE, "every second"),
    training("an average in float32", "averaged", _EMA, _ROUNDED, "in float32"),
    training("clipping by value in a run", "gradients", _UPDATE_1, "clip by value", "by value"),
    setting("three micro-batches for two", "run.accumulation=3", _UPDATE_0, "not divided"),
    training("only the last micro-batch's gradients", "last micro-batch only", _NORM, NO_CAUSE),
    training("a loss scale that is left on", "loss scale left", _NORM, "gradient scaled", factor=1024.0),
    setting("a rate times 1.25 in a run", "optimizer.learning_rate=0.0125", "train/lr_4", "rate scaled"),
    training("paths dropped for whole batches", "paths dropped", _UPDATE_0, NO_CAUSE, "batch"),
    training("paths scaled up twice", "paths dropped", _UPDATE_0, "drop path rate", "scaled twice"),
    training("a fresh optimizer every epoch", "moments forgotten", _UPDATE_3, NO_CAUSE),
    training("micro-batches that mix alike", "mixing repeated", _UPDATE_0, NO_CAUSE),
    setting("a share of 0.3 for the teacher", "distillation.alpha=0.3", _UPDATE_0, "distillation alpha", recipe="soft"),
    _distilled("the temperature not squared", cause="distillation temperature", change="temperature not squared"),
    _distilled("the divergence reversed", cause="divergence for entropy", change="reversed divergence"),
    _distilled("distillation over the batch, not the logits", cause="reduction", change="over the batch"),
    _distilled("the heads of the losses exchanged", cause=NO_CAUSE, change="heads exchanged"),
    _distilled("a teacher that sees mirrored images", cause=NO_CAUSE, change="teacher sees a mirror"),
)
_SHARES = "inference/probabilities"
INFERENCE = (
    training("probabilities at a temperature of 2", "answered", _SHARES, NO_CAUSE, "tempered"),
    training("a softmax over the batch", "answered", "inference/answers", "softmax axis", "over the batch"),
    training("logarithms of probabilities", "answered", _SHARES, "no softmax", "logarithms"),
    training("classes off by one", "answered", "inference/answers", ("class order", "labels shifted"), "rolled"),
    training("probabilities in float16", "answered", _SHARES, _ROUNDED, "half precision"),
    training("the mean of an image and its mirror", "predicted", "inference/answers", NO_CAUSE, "both ways"),
    training("images to predict turned by their tags", "predicted", "inference/answers", NO_CAUSE, "turned"),
    setting("deviations of BGR in inference", "data.std=[0.225,0.224,0.229]", _SHARES, "mean or std"),
)
_WORKERS = ("distributed/loss_0", "distributed/gradient_norm_0")
DISTRIBUTED = (
    training("gradients divided by the workers twice", "workers", _WORKERS[1], NO_CAUSE, "divided twice"),
    training("a rate for each worker", "workers", "distributed/lr_0", "rate scaled", "rate times workers"),
    training("workers that start from other weights", "workers", _WORKERS, NO_CAUSE, "weights not shared"),
    training("images dealt out one by one", "workers", _WORKERS, NO_CAUSE, "images dealt out"),
)
HELD_OUT_TRAINING = (
    *(*DATA, *TRAIN_DATA, *INIT, *SCHEDULE, *REGULARISATION),
    *(*OPTIMIZER, *TRAIN, *INFERENCE, *DISTRIBUTED),
)
"""All of them, in the order of the check points."""
