"""PaddleViT's configuration files and single-dash options, translated to the settings of `recipe.config`.

Its files, for PiT and DeiT, name few settings; the others come from the preset `paddlevit`, which holds the defaults
of its `config.py`. What it does by mistake (see the preset) is not imitated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from porting import architectures
from porting.names import did_you_mean, nearest
from recipe.errors import ConfigError
from recipe.yaml_text import Setting, read_settings

PRESET = "paddlevit"
"""The shipped configuration that stands for the defaults of PaddleViT's `config.py`."""
_SECTIONS = ("AMP", "AUG", "BASE", "DATA", "EVAL", "MODEL", "SAVE", "SEED", "TAG", "TRAIN")

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
_IDLE = {
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

_CONVERTED: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "AMP": ("run.precision", lambda value: "float16" if value else "float32"),
    "TRAIN.GRAD_CLIP": ("optimizer.clip", lambda value: value or None),
}
"""Keys of PaddleViT to the setting with the same meaning, and its value."""
_CHECKPOINTS = {
    "MODEL.PRETRAINED": "model.weights",
    "TRAIN.TEACHER_MODEL": "distillation.weights",
    "TRAIN.TEACHER_MODEL_PATH": "distillation.weights",
}
_SPECIAL = (
    *("EVAL", "MODEL.NAME", "MODEL.DISTILL", "MODEL.RESUME", "TRAIN.MODEL_EMA", "TRAIN.MODEL_EMA_DECAY"),
    *("TRAIN.LINEAR_SCALED_LR", "TRAIN.RAND_AUGMENT", "TRAIN.AUTO_AUGMENT"),
    *("TRAIN.RAND_AUGMENT_LAYERS", "TRAIN.RAND_AUGMENT_MAGNITUDE"),
)
"""Keys of PaddleViT that depend on others or are not settings here; those of augmentation are read at the end."""


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
        if name in _CONVERTED:
            setting_name, convert = _CONVERTED[name]
            self.out[setting_name] = Setting(convert(value), where)
        elif name in _CHECKPOINTS:
            if value:
                self.out[_CHECKPOINTS[name]] = Setting(with_suffix(str(value)), where)
        elif name in _DIRECT:
            self.out[_DIRECT[name]] = setting
        elif name in _IDLE:
            if value not in (None, "", [""], []):
                self.notes.append(f"{where}: {name} changes nothing here: {_IDLE[name]}")
        elif name in _SPECIAL:
            self._special(name, value, where)
        elif name in _ONLY:
            self._only(name, value, where)
        elif self._hyper_parameter(name) is None and name != "MODEL.TRANS.QKV_BIAS":
            known = (*_DIRECT, *_ONLY, *_IDLE, *_CONVERTED, *_CHECKPOINTS, *_SPECIAL)
            self.problems.append(f"{where}: unknown key of PaddleViT {name}{did_you_mean(name, known)}")

    def _special(self, name: str, value: Any, where: str) -> None:
        match name:
            case "MODEL.NAME":
                self.out["model.name"] = Setting(self._model_name(str(value)), where)
            case "MODEL.DISTILL" if not isinstance(value, bool):
                self.problems.append(f"{where}: MODEL.DISTILL is {value!r}, expected true or false")
            case "MODEL.RESUME":
                self.resume = with_suffix(str(value)) if value else None
            case "EVAL":
                self.evaluate = bool(value)
            case "TRAIN.MODEL_EMA" if not value:
                self.out["ema.decay"] = Setting(0.0, where)
            case "TRAIN.MODEL_EMA" if "TRAIN.MODEL_EMA_DECAY" in self.settings:
                self.out["ema.decay"] = self.settings["TRAIN.MODEL_EMA_DECAY"]
            case "TRAIN.MODEL_EMA_DECAY" if "TRAIN.MODEL_EMA" not in self.settings:
                self.out["ema.decay"] = Setting(value, where)
            case "TRAIN.LINEAR_SCALED_LR":
                self.out["optimizer.base_batch"] = Setting(value or 0, where)
                if value:
                    what = "scales the learning rate only; PaddleViT scales the first and the last rate too"
                    self.notes.append(f"{where}: {name} {what}")

    def _model_name(self, name: str) -> str:
        """Return the name here of a model of PaddleViT: `pit_b_distill` is `pit_b_distilled`."""
        parts = [part for part in name.lower().split("_") if part not in ("patch16", "224", "384")]
        name = "_".join("distilled" if part == "distill" else part for part in parts)
        distil = self.settings.get("MODEL.DISTILL")
        if distil is not None and distil.value and not name.endswith("_distilled") and not name.startswith("regnet"):
            return f"{name}_distilled"
        return name

    def settle(self) -> None:
        """Translate what follows from several keys at once."""
        self._check_model()
        self._augmentation()
        self._distillation()

    def _only(self, name: str, value: Any, where: str) -> None:
        if value not in _ONLY[name]:
            known = " or ".join(map(repr, _ONLY[name]))
            self.problems.append(f"{where}: {name} is {value!r}, which is not carried out here; only {known}")

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
            layers = self.settings.get("TRAIN.RAND_AUGMENT_LAYERS", Setting(2, "")).value
            magnitude = self.settings.get("TRAIN.RAND_AUGMENT_MAGNITUDE", Setting(9, "")).value
            policy = "rand-m9" if (layers, magnitude) == (2, 9) else f"rand-m{magnitude}-n{layers}"
            self.out["augmentation.auto"] = Setting(f"{policy}-mstd0.5-inc1", rand.where)
        elif auto is not None and auto.value:
            self.out["augmentation.auto"] = Setting("original", auto.where)
        else:
            self.out["augmentation.auto"] = Setting(None, (rand or auto or Setting(None, "")).where)

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


def with_suffix(path: str) -> str:
    """Return the path of a checkpoint, which PaddleViT names without the suffix `.pdparams`."""
    return path if PurePath(path).suffix == ".pdparams" or Path(path).is_file() else f"{path}.pdparams"


@dataclass(frozen=True)
class Invocation:
    """A command line of PaddleViT, translated.

    Attributes:
        config: The configuration file, if the command line names one.
        overrides: `section.setting=value` each, for `recipe.loading.load`.
        evaluate: True for evaluation only.
        resume: The checkpoint to go on from.
        notes: The options that change nothing here, and why.
    """

    config: str | None = None
    overrides: tuple[str, ...] = ()
    evaluate: bool = False
    resume: str | None = None
    notes: tuple[str, ...] = ()


_OPTIONS: Mapping[str, str] = {
    "batch_size": "data.batch_size",
    "data_path": "data.path",
    "image_size": "model.image_size",
    "num_classes": "model.num_classes",
    "output": "run.output",
    "accum_iter": "run.accumulation",
    "pretrained": "model.weights",
    "teacher_model_path": "distillation.weights",
    "teacher_model": "distillation.weights",
}
"""Options with a value to the setting with the same meaning."""
_IDLE_OPTIONS = {
    "batch_size_eval": _IDLE["DATA.BATCH_SIZE_EVAL"],
    "last_epoch": _IDLE["TRAIN.LAST_EPOCH"],
    "ngpus": _IDLE["NGPUS"],
}
_PATHS = ("pretrained", "teacher_model_path", "teacher_model", "resume")
_FLAGS = ("eval", "amp")
_KNOWN_OPTIONS = ("cfg", "dataset", "resume", *_OPTIONS, *_IDLE_OPTIONS, *_FLAGS)


def is_option(argument: str) -> bool:
    """Return True if an argument is one of PaddleViT's single-dash options: `-cfg`, `-batch_size=8`."""
    return argument.startswith("-") and argument[1:].partition("=")[0] in _KNOWN_OPTIONS


def translate_arguments(arguments: Sequence[str]) -> Invocation:
    """Translate a command line of PaddleViT.

    Args:
        arguments: The single-dash options, as `-name value` or `-name=value`.

    Raises:
        ConfigError: An option is unknown or has no value, or asks for another data set than ImageNet.
    """
    values = _parse(arguments)
    if values.get("dataset", "imagenet2012") != "imagenet2012":
        raise ConfigError(f"-dataset is {values['dataset']!r}, which is not read here; only imagenet2012")
    overrides = [
        f"{_OPTIONS[name]}={with_suffix(value) if name in _PATHS else value}"
        for name, value in values.items()
        if name in _OPTIONS
    ]
    if "amp" in values and "eval" not in values:
        overrides.append("run.precision=float16")
    notes = tuple(f"-{name} changes nothing here: {_IDLE_OPTIONS[name]}" for name in values if name in _IDLE_OPTIONS)
    resume = values.get("resume")
    return Invocation(
        values.get("cfg"), tuple(overrides), "eval" in values, with_suffix(resume) if resume else None, notes
    )


def _parse(arguments: Sequence[str]) -> dict[str, str]:
    values: dict[str, str] = {}
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        name, equals, value = argument.removeprefix("-").partition("=")
        if not argument.startswith("-") or name not in _KNOWN_OPTIONS:
            close = nearest(name, _KNOWN_OPTIONS)
            raise ConfigError(f"unknown option {argument!r}" + (f"; did you mean -{close[0]}?" if close else ""))
        if name in _FLAGS:
            values[name] = ""
        elif equals:
            values[name] = value
        elif rest:
            values[name] = rest.pop(0)
        else:
            raise ConfigError(f"-{name} needs a value")
    return values
