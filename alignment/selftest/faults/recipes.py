"""The recipes that faults in training are put into: small, and with everything switched on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a fault in training is put into.

    Attributes:
        model: The model that is trained.
        settings: `section.setting=value` each, over the configuration that is shipped for it.
        teacher: The model of the teacher, where there is one.
        classes: Of the model.
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
"""By name. The rate is high, so that what an update does is seen in the loss of the next one."""
