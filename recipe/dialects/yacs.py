"""Files of PaddleViT and hatimwen/paddle_pit, which share their keys, translated to the settings of `recipe.config`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from porting import architectures
from porting.names import did_you_mean
from recipe.dialects.base import Asked, Translation, literal, refusal, refuse, with_suffix
from recipe.dialects.distilling import Choice, choose, family_of
from recipe.dialects.yacs_keys import (
    ARCHITECTURE,
    CONVERTED,
    DIRECT,
    EMPTY,
    IDLE,
    KNOWN,
    MARKS,
    OF_HATIMWEN,
    ONLY,
    SECTIONS,
    SPECIAL,
    SWITCHES,
)
from recipe.errors import ConfigError
from recipe.misspelt import misspelt_sections
from recipe.yaml_text import Setting, read_settings

PROJECTS = {"paddlevit": "PaddleViT", "hatimwen": "hatimwen/paddle_pit"}
"""Dialects to the names of their projects."""
_UNSET: tuple[object, ...] = (None, "", [""], [])


def recognises(settings: Iterable[str]) -> bool:
    """Return True if settings of these names are a file of PaddleViT's family."""
    return any(name.split(".")[0] in SECTIONS for name in settings)


def dialects_of(settings: Mapping[str, Setting]) -> dict[str, str]:
    """Return the dialects that a file may be in, each with the line and key that only that project has, if any."""
    if family_of(settings) != "pit":
        return {"paddlevit": ""}
    marks = {
        dialect: next((f"{setting.where}: {key}" for key, setting in settings.items() if has(key)), "")
        for dialect, has in MARKS.items()
    }
    marked = {dialect: mark for dialect, mark in marks.items() if mark}
    return marked or marks


def read(path: Path, seen: tuple[Path, ...] = ()) -> dict[str, Setting]:
    """Return the settings of a file over those of the files that its `BASE` names, values as yacs reads them.

    Raises:
        ConfigError: A file cannot be read, or is its own base.
    """
    if path.resolve() in seen:
        raise ConfigError(f"{path}: is its own BASE")
    own = {name: replace(setting, value=literal(setting.value)) for name, setting in read_settings(path).items()}
    merged: dict[str, Setting] = {}
    bases = own["BASE"].value if "BASE" in own else []
    bases = [bases] if isinstance(bases, str) else bases or []
    if not isinstance(bases, list):
        raise ConfigError(f"{own['BASE'].where}: BASE is {bases!r}, expected a list of files")
    for base in bases:
        if base:
            merged.update(read(path.parent / str(base), (*seen, path.resolve())))
    return {**merged, **own}


def translate(
    settings: Mapping[str, Setting], dialect: str = "paddlevit", stem: str = "", asked: Asked | None = None
) -> Translation:
    """Translate settings of PaddleViT's family to those of `recipe.config`.

    Args:
        settings: What `read` returned.
        dialect: `paddlevit` or `hatimwen`.
        stem: Name of the file without its suffix, which says where the model's name does not whether it is distilled.
        asked: What the command line says beside the file.

    Raises:
        ConfigError: A key is unknown, a model is none of ours, or a value is one that is not carried out here; all of
            them are named, with file and line.
    """
    translator = _Translator(settings, dialect, choose(settings, dialect, stem, asked or Asked()))
    problems, others = misspelt_sections(settings, KNOWN)
    translator.problems += problems
    for name in others:
        translator.take(name)
    translator.settle()
    if translator.problems:
        raise refusal(PROJECTS[dialect], translator.problems)
    preset = "paddlevit_deit" if family_of(settings) != "pit" else "paddlevit"
    return Translation(
        translator.out,
        translator.evaluate,
        translator.resume,
        tuple(dict.fromkeys(translator.notes)),
        "hatimwen_defaults" if dialect == "hatimwen" else preset,
        translator.last_epoch,
    )


@dataclass
class _Translator:
    settings: Mapping[str, Setting]
    dialect: str
    choice: Choice
    out: dict[str, Setting] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    evaluate: bool = False
    resume: str | None = None
    last_epoch: int | None = None

    def take(self, name: str) -> None:
        setting = self.settings[name]
        value, where = setting.value, setting.where
        if self._settled(name, value, where):
            return
        if name in CONVERTED:
            setting_name, convert = CONVERTED[name]
            self.out[setting_name] = Setting(convert(value), where)
        elif name in DIRECT:
            self.out[DIRECT[name]] = setting
        elif name in SPECIAL:
            self._special(name, value, where)
        elif name in ONLY:
            self._only(name, value, where)
        elif self._hyper_parameter(name) is None:
            project = PROJECTS[self.dialect]
            self.problems.append(f"{where}: unknown key of {project} {name}{did_you_mean(name, KNOWN)}")

    def _settled(self, name: str, value: Any, where: str) -> bool:
        """True for a key that changes nothing, which is noted, an empty section, and a switch that is none."""
        if name in SWITCHES and not isinstance(value, bool | None):
            self.problems.append(f"{where}: {name} is {value!r}, expected true or false")
            return True
        idle = OF_HATIMWEN.get(name) if self.dialect == "hatimwen" else None
        if idle is None and name not in DIRECT and name not in SPECIAL:
            idle = IDLE.get(name)
        if idle is not None and value not in _UNSET:
            self.notes.append(f"{where}: {name} changes nothing here: {idle}")
        return idle is not None or (name in EMPTY and value in (None, {}))

    def _special(self, name: str, value: Any, where: str) -> None:
        match name:
            case "MODEL.PRETRAINED" if value:
                self.out["model.weights"] = Setting(with_suffix(str(value)), where)
            case "MODEL.RESUME":
                self.resume = with_suffix(str(value)) if value else None
            case "TRAIN.LAST_EPOCH" if value:
                self._last_epoch(value, where)
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

    def _last_epoch(self, value: Any, where: str) -> None:
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            self.problems.append(f"{where}: TRAIN.LAST_EPOCH is {value!r}, expected 0 or more epochs")
            return
        self.last_epoch = value
        if self.dialect == "paddlevit":
            self.notes.append(f"{where}: TRAIN.LAST_EPOCH changes nothing here: a checkpoint knows its epoch")

    def _only(self, name: str, value: Any, where: str) -> None:
        known, meaning = ONLY[name]
        lowered = value.lower() if isinstance(value, str) else value
        if lowered not in [item.lower() if isinstance(item, str) else item for item in known]:
            self.problems.append(refuse(where, name, value, known, meaning))

    def _hyper_parameter(self, name: str) -> str | None:
        section, _, key = name.rpartition(".")
        return ARCHITECTURE.get(key) if section in ("MODEL", "MODEL.TRANS") else None

    def settle(self) -> None:
        """Translate what follows from several keys at once."""
        choice = self.choice
        self.problems += choice.problems
        line = f"{choice.line}; read over the defaults of {PROJECTS[self.dialect]}"
        self.notes = [*([line] if choice.line else []), *choice.notes, *self.notes]
        self.evaluate = self.evaluate or choice.evaluate
        if choice.model is not None:
            self.out["model.name"] = Setting(choice.model, choice.where)
            self.out["distillation.kind"] = Setting(choice.kind, choice.where)
            if choice.teacher is not None:
                self.out["distillation.weights"] = Setting(choice.teacher, choice.where)
            self._check_architecture(choice.model)
            self._unused_distillation(choice)
        self._augmentation()

    def _unused_distillation(self, choice: Choice) -> None:
        declared = self.settings.get("TRAIN.DISTILLATION_TYPE")
        if choice.kind == "none" and declared is not None and str(declared.value).lower() not in ("none", "null"):
            second = choice.model is not None and not choice.model.endswith("_distilled")
            why = "for a model without second head" if second else "here"
            self.notes.append(f"{declared.where}: TRAIN.DISTILLATION_TYPE changes nothing {why}")

    def _check_architecture(self, model: str) -> None:
        if model not in architectures.NAMES:
            return
        config = architectures.FAMILIES[architectures.build(model).family].CONFIGS[model]
        for name, setting in self.settings.items():
            attribute = self._hyper_parameter(name)
            if attribute is None:
                continue
            expected = getattr(config, attribute, None)
            value = tuple(setting.value) if isinstance(setting.value, list) else setting.value
            if value != expected:
                self.problems.append(f"{setting.where}: {name} is {setting.value}, but {model} has {expected}")

    def _augmentation(self) -> None:
        """Take RandAugment where the file sets both policies, colour jitter where it sets neither."""
        rand, auto = self.settings.get("TRAIN.RAND_AUGMENT"), self.settings.get("TRAIN.AUTO_AUGMENT")
        if rand is None and (auto is None or (self.dialect == "paddlevit" and not auto.value)):
            return
        if rand is not None and rand.value:
            if self.dialect == "hatimwen":
                self.problems.append(refuse(rand.where, "TRAIN.RAND_AUGMENT", rand.value, (False,), "RandAugment"))
            layers = self.settings.get("TRAIN.RAND_AUGMENT_LAYERS", Setting(2, "")).value
            magnitude = self.settings.get("TRAIN.RAND_AUGMENT_MAGNITUDE", Setting(9, "")).value
            policy = "rand-m9" if (layers, magnitude) == (2, 9) else f"rand-m{magnitude}-n{layers}"
            self.out["augmentation.auto"] = Setting(f"{policy}-mstd0.5-inc1", rand.where)
        elif auto is not None and auto.value:
            self.out["augmentation.auto"] = Setting("original", auto.where)
        else:
            self.out["augmentation.auto"] = Setting(None, (rand or auto or Setting(None, "")).where)
