"""PaddleViT's configuration files, for PiT and DeiT, translated to the settings of `recipe.config`.

Its files name few settings; the others come from the preset `paddlevit`, which holds the defaults of its `config.py`.
What it does by mistake (see the preset) is not imitated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any, TypeAlias

from porting import architectures
from porting.names import did_you_mean
from recipe.errors import ConfigError
from recipe.yaml_text import Setting, read_settings

PRESET = "paddlevit"
"""The shipped configuration that stands for the defaults of PaddleViT's `config.py`."""
_SECTIONS = ("AMP", "AUG", "BASE", "DATA", "EVAL", "MODEL", "SAVE", "SEED", "TAG", "TRAIN")
_RAND_AUGMENT = "rand-m9-mstd0.5-inc1"

_DIRECT = {
    "DATA.BATCH_SIZE": "data.batch_size",
    "DATA.DATA_PATH": "data.path",
    "DATA.IMAGE_SIZE": "model.image_size",
    "DATA.CROP_PCT": "data.crop",
    "DATA.NUM_WORKERS": "data.workers",
    "DATA.IMAGENET_MEAN": "data.mean",
    "DATA.IMAGENET_STD": "data.std",
    "MODEL.NUM_CLASSES": "model.num_classes",
    "MODEL.DROPOUT": "model.drop_rate",
    "MODEL.ATTENTION_DROPOUT": "model.attn_drop_rate",
    "MODEL.DROP_PATH": "model.drop_path_rate",
    "MODEL.DROPPATH": "model.drop_path_rate",
    "TRAIN.NUM_EPOCHS": "schedule.epochs",
    "TRAIN.WARMUP_EPOCHS": "schedule.warmup_epochs",
    "TRAIN.WARMUP_START_LR": "schedule.warmup_rate",
    "TRAIN.END_LR": "schedule.minimum_rate",
    "TRAIN.COOLDOWN_EPOCHS": "schedule.cooldown_epochs",
    "TRAIN.WEIGHT_DECAY": "optimizer.weight_decay",
    "TRAIN.BASE_LR": "optimizer.learning_rate",
    "TRAIN.OPTIMIZER.EPS": "optimizer.epsilon",
    "TRAIN.OPTIMIZER.BETAS": "optimizer.betas",
    "TRAIN.ACCUM_ITER": "run.accumulation",
    "TRAIN.MIXUP_ALPHA": "mixing.mixup",
    "TRAIN.CUTMIX_ALPHA": "mixing.cutmix",
    "TRAIN.MIXUP_PROB": "mixing.probability",
    "TRAIN.MIXUP_SWITCH_PROB": "mixing.switch",
    "TRAIN.SMOOTHING": "loss.smoothing",
    "TRAIN.COLOR_JITTER": "augmentation.color_jitter",
    "TRAIN.RANDOM_ERASE_PROB": "augmentation.erasing",
    "TRAIN.RANDOM_ERASE_MODE": "augmentation.erasing_mode",
    "TRAIN.RANDOM_ERASE_COUNT": "augmentation.erasing_count",
    "TRAIN.DISTILLATION_TYPE": "distillation.kind",
    "TRAIN.DISTILLATION_ALPHA": "distillation.alpha",
    "TRAIN.DISTILLATION_TAU": "distillation.temperature",
    "SAVE": "run.output",
    "SEED": "run.seed",
    "SAVE_FREQ": "run.save_every",
    "VALIDATE_FREQ": "run.validate_every",
    "REPORT_FREQ": "run.log_every",
}
"""Keys of PaddleViT to the setting with the same meaning."""
_ONLY: Mapping[str, tuple[Any, ...]] = {
    "DATA.DATASET": ("imagenet2012",),
    "DATA.IMAGE_CHANNELS": (3,),
    "MODEL.TYPE": ("PiT", "DeiT"),
    "TRAIN.CUTMIX_MINMAX": (None,),
    "TRAIN.MIXUP_MODE": ("batch",),
    "TRAIN.RANDOM_ERASE_SPLIT": (False,),
    "TRAIN.LR_SCHEDULER.NAME": ("warmupcosine",),
    "TRAIN.OPTIMIZER.NAME": ("AdamW",),
}
"""Keys of PaddleViT that have no setting here, with the values that this toolkit carries out."""
IDLE = {
    "BASE": "the files that it names are merged in",
    "TAG": "runs are told apart by run.output",
    "NGPUS": "devices are chosen by paddle.distributed.launch",
    "LOCAL_RANK": "devices are chosen by paddle.distributed.launch",
    "DATA.BATCH_SIZE_EVAL": "evaluation takes data.batch_size",
    "MODEL.RESUME_EMA": "a checkpoint holds its average",
    "TRAIN.LAST_EPOCH": "a checkpoint knows its epoch",
    "TRAIN.MODEL_EMA_FORCE_CPU": "the average stays with the model",
    "TRAIN.LR_SCHEDULER.MILESTONES": "the cosine has none",
    "TRAIN.LR_SCHEDULER.DECAY_EPOCHS": "the cosine has none",
    "TRAIN.LR_SCHEDULER.DECAY_RATE": "the cosine has none",
    "TRAIN.OPTIMIZER.MOMENTUM": "AdamW has betas",
}
"""Keys of PaddleViT that change nothing here, and why."""
_ARCHITECTURE = {
    "PATCH_SIZE": "patch_size",
    "STRIDE": "stride",
    "BASE_DIMS": "base_dims",
    "DEPTH": "depth",
    "HEADS": "heads",
    "NUM_HEADS": "heads",
    "EMBED_DIM": "width",
    "MLP_RATIO": "mlp_ratio",
    "IN_CHANNELS": "in_channels",
}
"""Hyper-parameters below MODEL or MODEL.TRANS to their names here; they must be those of the named model."""


@dataclass(frozen=True)
class Translation:
    """A file of PaddleViT, translated.

    Attributes:
        settings: Settings by dotted name.
        evaluate: True if the file asks for evaluation only.
        resume: The checkpoint to go on from, if the file names one.
        notes: What the file says that changes nothing here, and why.
    """

    settings: Mapping[str, Setting]
    evaluate: bool = False
    resume: str | None = None
    notes: tuple[str, ...] = ()


def recognises(settings: Iterable[str]) -> bool:
    """Return True if settings of these names are a file of PaddleViT."""
    return any(name.split(".")[0] in _SECTIONS for name in settings)


def read(path: Path, seen: tuple[Path, ...] = ()) -> dict[str, Setting]:
    """Return the settings of a file of PaddleViT over those of the files that its `BASE` names.

    Raises:
        ConfigError: A file cannot be read, or is its own base.
    """
    if path.resolve() in seen:
        raise ConfigError(f"{path}: is its own BASE")
    own = read_settings(path)
    merged: dict[str, Setting] = {}
    bases = own["BASE"].value if "BASE" in own else []
    for base in [bases] if isinstance(bases, str) else bases or []:
        if base:
            merged.update(read(path.parent / str(base), (*seen, path.resolve())))
    return {**merged, **own}


def translate(settings: Mapping[str, Setting]) -> Translation:
    """Translate settings of PaddleViT to those of `recipe.config`.

    Raises:
        ConfigError: A key is unknown, a model is none of ours, or a value is one that is not carried out here; all of
            them are named, with file and line.
    """
    translator = _Translator(settings)
    for name in settings:
        translator.take(name)
    translator.settle()
    if translator.problems:
        raise ConfigError("this file of PaddleViT cannot be carried out", translator.problems)
    return Translation(translator.out, translator.evaluate, translator.resume, tuple(translator.notes))


@dataclass
class _Translator:
    settings: Mapping[str, Setting]
    out: dict[str, Setting] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    evaluate: bool = False
    resume: str | None = None

    def take(self, name: str) -> None:
        setting = self.settings[name]
        value, where = setting.value, setting.where
        special = _SPECIAL.get(name)
        if special is not None:
            special(self, setting)
        elif name in _DIRECT:
            self.out[_DIRECT[name]] = setting
        elif name in IDLE:
            if value not in (None, "", [""], []):
                self.notes.append(f"{where}: {name} changes nothing here: {IDLE[name]}")
        elif name in _ONLY:
            self._only(name, setting)
        elif self._hyper_parameter(name) is None and name != "MODEL.TRANS.QKV_BIAS":
            known = (*_DIRECT, *_ONLY, *IDLE, *_SPECIAL)
            self.problems.append(f"{where}: unknown key of PaddleViT {name}{did_you_mean(name, known)}")

    def settle(self) -> None:
        """Translate what follows from several keys at once."""
        self._check_model()
        self._augmentation()
        self._distillation()

    def _only(self, name: str, setting: Setting) -> None:
        if setting.value not in _ONLY[name]:
            known = " or ".join(repr(value) for value in _ONLY[name])
            self.problems.append(
                f"{setting.where}: {name} is {setting.value!r}, which is not carried out here; only {known}"
            )

    def _hyper_parameter(self, name: str) -> str | None:
        section, _, key = name.rpartition(".")
        return _ARCHITECTURE.get(key) if section in ("MODEL", "MODEL.TRANS") else None

    def _check_model(self) -> None:
        named = self.out.get("model.name")
        if named is None:
            return
        if named.value not in architectures.NAMES:
            hint = did_you_mean(str(named.value), architectures.NAMES)
            self.problems.append(f"{named.where}: MODEL.NAME stands for no model here: {named.value}{hint}")
            return
        family = architectures.build(named.value).family
        config = architectures.FAMILIES[family].CONFIGS[named.value]
        for name, setting in self.settings.items():
            attribute = self._hyper_parameter(name)
            if attribute is None:
                continue
            expected = getattr(config, attribute, None)
            value = tuple(setting.value) if isinstance(setting.value, list) else setting.value
            if value != expected:
                self.problems.append(f"{setting.where}: {name} is {setting.value}, but {named.value} has {expected}")
        if family == "deit" and "model.drop_path_rate" not in self.out:
            self.out["model.drop_path_rate"] = Setting(0.0, f"{named.where} (PaddleViT's DeiT has no drop path)")

    def _augmentation(self) -> None:
        """Take RandAugment where the file sets both policies, colour jitter where it sets neither."""
        rand, auto = self.settings.get("TRAIN.RAND_AUGMENT"), self.settings.get("TRAIN.AUTO_AUGMENT")
        if rand is None and auto is None:
            return
        if rand is not None and rand.value:
            self.out["augmentation.auto"] = Setting(self._policy(), rand.where)
        elif auto is not None and auto.value:
            self.out["augmentation.auto"] = Setting("original", auto.where)
        else:
            self.out["augmentation.auto"] = Setting(None, (rand or auto or Setting(None, "")).where)

    def _policy(self) -> str:
        layers = self.settings.get("TRAIN.RAND_AUGMENT_LAYERS", Setting(2, "")).value
        magnitude = self.settings.get("TRAIN.RAND_AUGMENT_MAGNITUDE", Setting(9, "")).value
        return _RAND_AUGMENT if (layers, magnitude) == (2, 9) else f"rand-m{magnitude}-n{layers}-mstd0.5-inc1"

    def _distillation(self) -> None:
        """Distil hard by default, as PaddleViT's `config.py` does; that has a meaning for a distilled model only."""
        named = self.out.get("model.name")
        distilled = named is not None and str(named.value).endswith("_distilled")
        if not distilled:
            kind = self.out.pop("distillation.kind", None)
            if kind is not None and kind.value != "none":
                self.notes.append(
                    f"{kind.where}: TRAIN.DISTILLATION_TYPE changes nothing for a model without second head"
                )
        elif named is not None:
            self.out.setdefault("distillation.kind", Setting("hard", f"{named.where} (PaddleViT's default)"))
            self.out.setdefault("distillation.weights", Setting("./regnety_160.pdparams", "PaddleViT's default"))


def _name(translator: _Translator, setting: Setting) -> None:
    distil = translator.settings.get("MODEL.DISTILL")
    name = _model_name(str(setting.value))
    if distil is not None and distil.value and not name.endswith("_distilled") and not name.startswith("regnet"):
        name = f"{name}_distilled"
    translator.out["model.name"] = Setting(name, setting.where)


def _model_name(name: str) -> str:
    """Return the name here of a model of PaddleViT: `pit_b_distill` is `pit_b_distilled`."""
    parts = [part for part in name.lower().split("_") if part not in ("patch16", "224", "384")]
    return "_".join("distilled" if part == "distill" else part for part in parts)


def _distill_flag(translator: _Translator, setting: Setting) -> None:
    if not isinstance(setting.value, bool):
        translator.problems.append(f"{setting.where}: MODEL.DISTILL is {setting.value!r}, expected true or false")


def _checkpoint(name: str) -> _Special:
    """What takes a path of PaddleViT over as the setting of this name; an empty one is left out."""

    def take(translator: _Translator, setting: Setting) -> None:
        if setting.value:
            translator.out[name] = Setting(with_suffix(str(setting.value)), setting.where)

    return take


def _resume(translator: _Translator, setting: Setting) -> None:
    translator.resume = with_suffix(str(setting.value)) if setting.value else None


def _evaluate(translator: _Translator, setting: Setting) -> None:
    translator.evaluate = bool(setting.value)


def _amp(translator: _Translator, setting: Setting) -> None:
    translator.out["run.precision"] = Setting("float16" if setting.value else "float32", setting.where)


def _clip(translator: _Translator, setting: Setting) -> None:
    translator.out["optimizer.clip"] = Setting(setting.value or None, setting.where)


def _ema(translator: _Translator, setting: Setting) -> None:
    decay = translator.settings.get("TRAIN.MODEL_EMA_DECAY")
    if not setting.value:
        translator.out["ema.decay"] = Setting(0.0, setting.where)
    elif decay is not None:
        translator.out["ema.decay"] = decay


def _ema_decay(translator: _Translator, setting: Setting) -> None:
    if "TRAIN.MODEL_EMA" not in translator.settings:
        translator.out["ema.decay"] = setting


def _scaled(translator: _Translator, setting: Setting) -> None:
    translator.out["optimizer.base_batch"] = Setting(setting.value or 0, setting.where)
    if setting.value:
        translator.notes.append(
            f"{setting.where}: TRAIN.LINEAR_SCALED_LR scales the learning rate only; PaddleViT scales the first and "
            "the last rate too"
        )


def _later(translator: _Translator, setting: Setting) -> None:
    """Do nothing: `_Translator.settle` reads the setting."""


_Special: TypeAlias = Callable[[_Translator, Setting], None]
_SPECIAL: Mapping[str, _Special] = {
    "MODEL.NAME": _name,
    "MODEL.DISTILL": _distill_flag,
    "MODEL.PRETRAINED": _checkpoint("model.weights"),
    "MODEL.RESUME": _resume,
    "EVAL": _evaluate,
    "AMP": _amp,
    "TRAIN.TEACHER_MODEL": _checkpoint("distillation.weights"),
    "TRAIN.TEACHER_MODEL_PATH": _checkpoint("distillation.weights"),
    "TRAIN.GRAD_CLIP": _clip,
    "TRAIN.MODEL_EMA": _ema,
    "TRAIN.MODEL_EMA_DECAY": _ema_decay,
    "TRAIN.LINEAR_SCALED_LR": _scaled,
    "TRAIN.RAND_AUGMENT": _later,
    "TRAIN.AUTO_AUGMENT": _later,
    "TRAIN.RAND_AUGMENT_LAYERS": _later,
    "TRAIN.RAND_AUGMENT_MAGNITUDE": _later,
}


def with_suffix(path: str) -> str:
    """Return the path of a checkpoint, which PaddleViT names without the suffix `.pdparams`."""
    return path if PurePath(path).suffix == ".pdparams" or Path(path).is_file() else f"{path}.pdparams"
