"""The configuration of a training run, typed; `recipe.loading` reads it from YAML."""

from __future__ import annotations

from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class Model:
    """What is trained.

    Attributes:
        name: A model of `paddle_impl`, such as `pit_b_distilled`.
        image_size: Pixels, square.
        num_classes: Number of classes, the columns of the head.
        drop_rate: Dropout rate of the embedding and after each projection.
        attn_drop_rate: Dropout rate of the attention weights.
        drop_path_rate: Drop path rate that the blocks rise to.
        weights: Checkpoint to start from, of any format and layout; null starts from random weights. Position
            embeddings are resized and heads of another class count are drawn anew; both is reported.
    """

    name: str = "pit_b"
    image_size: int = 224
    num_classes: int = 1000
    drop_rate: float = 0.0
    attn_drop_rate: float = 0.0
    drop_path_rate: float = 0.1
    weights: str | None = None


@dataclass(frozen=True, slots=True)
class Data:
    """Where images come from, and how they are brought to the model.

    Attributes:
        path: Folder of the data set.
        format: `folder` (a folder a class), `list` (`train_list.txt`, `val_list.txt`), or `auto`.
        train: Folder or list of the training images, below `path`; by default the usual name of its format.
        validation: Folder or list of the validation images, likewise.
        batch_size: Images of one micro-batch on one device.
        workers: Processes that read and augment; 0 does it in the training process.
        crop: Share of the evaluation image's side that the centre crop keeps.
        interpolation: `bicubic` or `bilinear`, for evaluation and for training crops.
        mean: Mean of each channel, subtracted after scaling to [0, 1].
        std: Standard deviation of each channel, by which it is divided.
        corrupt: What to do with an image that cannot be read: `report` it, count it and take another in its place, or
            `raise`.
    """

    path: str = "data/imagenet"
    format: str = "auto"
    train: str | None = None
    validation: str | None = None
    batch_size: int = 128
    workers: int = 8
    crop: float = 0.9
    interpolation: str = "bicubic"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    corrupt: str = "report"


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Augmentation of single training images, in the order of timm's `create_transform`.

    Attributes:
        scale: Share of the area that a random crop covers.
        ratio: Width over height of a random crop.
        flip: Probability of a horizontal flip.
        auto: RandAugment or AutoAugment in timm's notation (`rand-m9-mstd0.5-inc1`, `original-mstd0.5`); null for
            neither.
        color_jitter: Strength of colour jitter; used only where `auto` is null.
        erasing: Probability that a rectangle is erased.
        erasing_mode: `pixel` (normal noise a pixel), `rand` (one colour) or `const` (`Data.mean`, zero to the model).
        erasing_count: Largest number of rectangles in an image.
        repeats: Times that an image is seen in one epoch, each augmented anew; that many times fewer images are seen.
    """

    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (0.75, 4 / 3)
    flip: float = 0.5
    auto: str | None = "rand-m9-mstd0.5-inc1"
    color_jitter: float = 0.3
    erasing: float = 0.25
    erasing_mode: str = "pixel"
    erasing_count: int = 1
    repeats: int = 1


@dataclass(frozen=True, slots=True)
class Mixing:
    """Mixing of the images of a batch, as timm's `Mixup` in batch mode does it.

    Attributes:
        mixup: Alpha of mixup's beta distribution; 0 turns it off.
        cutmix: Alpha of cutmix's beta distribution; 0 turns it off.
        probability: Probability that a batch is mixed.
        switch: Probability of cutmix instead of mixup, where both are on.
    """

    mixup: float = 0.8
    cutmix: float = 1.0
    probability: float = 1.0
    switch: float = 0.5

    @property
    def active(self) -> bool:
        """True if a batch may be mixed."""
        return (self.mixup > 0 or self.cutmix > 0) and self.probability > 0


@dataclass(frozen=True, slots=True)
class Optimizer:
    """AdamW, with decoupled weight decay.

    Attributes:
        learning_rate: Learning rate for `base_batch` images in an update.
        base_batch: Global batch (devices times accumulation times batch size) that the rate is meant for; the rate is
            scaled in proportion. 0 takes the rate as it is.
        weight_decay: Weight decay of the parameters that decay.
        decay_all: True if biases, norms, tokens and position embeddings decay as well, which timm exempts.
        betas: Decay rates of the first and the second moment.
        epsilon: Added to the root of the second moment.
        clip: Largest norm of all gradients; null clips nothing.
    """

    learning_rate: float = 5e-4
    base_batch: int = 512
    weight_decay: float = 0.05
    decay_all: bool = False
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    clip: float | None = None


@dataclass(frozen=True, slots=True)
class Schedule:
    """Learning rate over the epochs: timm's cosine as the DeiT recipe drives it, constant within an epoch.

    Attributes:
        epochs: Epochs of warm-up and cosine together.
        warmup_epochs: First epochs, in which the rate rises linearly.
        warmup_rate: Rate of the first epoch.
        minimum_rate: Rate at the end of the cosine.
        cooldown_epochs: Further epochs at the minimum rate.
        deit_quirk: The DeiT recipe steps its scheduler after an epoch with that epoch's number, so that the first two
            epochs both run at the rate of the first.
        ahead: Epochs that the schedule runs ahead: an epoch has the rate of the one so many later. hatimwen/paddle_pit
            steps its scheduler once before the first epoch, which is 1.
        decay_epochs: Epochs of the cosine, which then begins after the warm-up; the minimum rate follows. 0 takes all
            epochs after the warm-up. Null is timm's: the cosine counts from the first epoch, over `epochs`.
        per_update: True if the rate changes with every update, as in MindCV; false keeps it within an epoch.
        scaled: True if `warmup_rate` and `minimum_rate` follow the global batch as the learning rate does, as in
            PaddleViT.
    """

    epochs: int = 300
    warmup_epochs: int = 5
    warmup_rate: float = 1e-6
    minimum_rate: float = 1e-5
    cooldown_epochs: int = 10
    deit_quirk: bool = True
    ahead: int = 0
    decay_epochs: int | None = None
    per_update: bool = False
    scaled: bool = False

    @property
    def cosine(self) -> tuple[int, int]:
        """The time at which the cosine's count begins, and its length, in epochs."""
        if self.decay_epochs is None:
            return 0, self.epochs
        return self.warmup_epochs, self.decay_epochs or max(1, self.epochs - self.warmup_epochs)


@dataclass(frozen=True, slots=True)
class Loss:
    """Cross entropy against soft targets.

    Attributes:
        smoothing: Label smoothing, with or without mixing.
    """

    smoothing: float = 0.1


@dataclass(frozen=True, slots=True)
class Ema:
    """Exponential moving average of the weights.

    Attributes:
        decay: Share that the average keeps at each update; 0 turns it off.
    """

    decay: float = 0.99996


@dataclass(frozen=True, slots=True)
class Distillation:
    """Distillation from a teacher, as DeiT does it.

    Attributes:
        kind: `none`, `hard` (the teacher's decision is a label) or `soft` (Kullback-Leibler divergence).
        teacher: A model of `paddle_impl`.
        weights: The teacher's checkpoint, of any format and layout.
        alpha: Share of the distillation loss.
        temperature: Temperature of the soft targets.
    """

    kind: str = "none"
    teacher: str = "regnety_160"
    weights: str | None = None
    alpha: float = 0.5
    temperature: float = 1.0


@dataclass(frozen=True, slots=True)
class Run:
    """How the run is carried out.

    Attributes:
        output: Folder of checkpoints, log and curves.
        seed: Seed of every random generator of the run.
        accumulation: Micro-batches in an update.
        precision: `float32`, `float64` (CPU), the mixed `float16` and `bfloat16` (GPU), or `mixed`: float16 on a GPU,
            and float32 on a CPU, where Paddle has no mixed precision.
        device: `auto`, `cpu` or `gpu`.
        save_every: Epochs between checkpoints that are kept beside the latest and the best; 0 keeps no others.
        save_updates: Updates between saves of the latest checkpoint within an epoch; 0 saves at the end of the epoch.
        validate_every: Epochs between evaluations; 0 evaluates never.
        log_every: Updates between lines of the log.
        tracker: `none`, `visualdl` or `tensorboard`.
    """

    output: str = "logs/train"
    seed: int = 0
    accumulation: int = 1
    precision: str = "float32"
    device: str = "auto"
    save_every: int = 0
    save_updates: int = 0
    validate_every: int = 1
    log_every: int = 50
    tracker: str = "none"


@dataclass(frozen=True, slots=True)
class MindSpore:
    """How MindSpore carries the run out; the other frameworks take no notice of it.

    Attributes:
        mode: `graph` compiles an update and an evaluation; `pynative` runs them op by op, which is far slower.
        amp_level: MindCV's level where `run.precision` is `float16` or `mixed`, on any device: `O1` (convolutions and
            linears in float16), `O2` (all but norms), `O3` (all), or `O0` (nothing).
        loss_scale_type: `fixed`, `dynamic` (halved where gradients overflow, doubled after 2000 updates without), or
            `auto`: dynamic from 2**24 in float16, and none in float32.
        loss_scale: The fixed scale, or the first of `dynamic`.
        drop_overflow_update: Leave an update out whose gradients overflow; `dynamic` and `auto` always do.
        exact_gelu: GELU by the error function, as the published weights and the other frameworks have it; MindCV's own
            PiT approximates it by tanh.
        reference_init: Initial values from the distributions of the reference, which the other frameworks have too;
            MindCV's own PiT has other ones in linears and in the convolutions of its pools.
    """

    mode: str = "graph"
    amp_level: str = "O2"
    loss_scale_type: str = "auto"
    loss_scale: float = 1.0
    drop_overflow_update: bool = False
    exact_gelu: bool = True
    reference_init: bool = True


@dataclass(frozen=True, slots=True)
class Config:
    """A whole training run; the sections' classes say what each setting means."""

    model: Model = field(default_factory=Model)
    data: Data = field(default_factory=Data)
    augmentation: Augmentation = field(default_factory=Augmentation)
    mixing: Mixing = field(default_factory=Mixing)
    optimizer: Optimizer = field(default_factory=Optimizer)
    schedule: Schedule = field(default_factory=Schedule)
    loss: Loss = field(default_factory=Loss)
    ema: Ema = field(default_factory=Ema)
    distillation: Distillation = field(default_factory=Distillation)
    run: Run = field(default_factory=Run)
    mindspore: MindSpore = field(default_factory=MindSpore)


def global_batch(config: Config, world: int = 1) -> int:
    """Return the images in an update, over all devices and micro-batches."""
    return world * config.run.accumulation * config.data.batch_size


def peak_rate(config: Config, world: int = 1) -> float:
    """Return the rate at the end of the warm-up: in proportion to the global batch, unless `base_batch` is 0."""
    rate, base = config.optimizer.learning_rate, config.optimizer.base_batch
    return rate * global_batch(config, world) / base if base else rate


def scaled_schedule(config: Config, world: int = 1) -> Schedule:
    """Return the schedule with the rates of this global batch: other ones than configured only where it is `scaled`."""
    schedule, rate = config.schedule, config.optimizer.learning_rate
    if not schedule.scaled:
        return schedule
    factor = peak_rate(config, world) / rate
    rates = schedule.warmup_rate * factor, schedule.minimum_rate * factor
    return replace(schedule, warmup_rate=rates[0], minimum_rate=rates[1], scaled=False)


def schedule_time(schedule: Schedule, epoch: int, update: int = 0, updates: int = 1) -> float:
    """Return the time, in epochs, at which the schedule's curve is read for an update.

    Args:
        schedule: Its `deit_quirk`, `ahead` and `per_update` matter here.
        epoch: Number of the epoch, from 0.
        update: Number of the update in it, from 0.
        updates: Updates of an epoch.
    """
    if schedule.deit_quirk:
        epoch = max(0, epoch - 1)
    share = update / updates if schedule.per_update else 0
    return epoch + schedule.ahead + share
