"""Files of MindCV, which are flat, translated to the settings of `recipe.config`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from porting import architectures
from porting.names import did_you_mean
from recipe.dialects.base import Translation, literal, refusal, refuse
from recipe.dialects.mindcv_keys import DIRECT, FLAGS, IDLE, IN_MINDSPORE, KNOWN, MARKS, OF_MINDSPORE, ONLY, SPECIAL
from recipe.yaml_text import Setting

PRESET = "mindcv_defaults"
_POLICIES = {"randaug": "rand", "autoaug": "original", "autoaugr": "originalr", "3a": "3a"}
_PRECISIONS = {"O0": "float32", "O1": "mixed", "O2": "mixed", "O3": "mixed"}
_WHOLE = 255.0
_SELDOM = 10**9
_UNSET = (None, "")


def recognises(settings: Mapping[str, Setting]) -> bool:
    """Return True if settings are those of a file of MindCV: some of its own names, without sections."""
    return len(MARKS & settings.keys()) > 1


def translate(settings: Mapping[str, Setting]) -> Translation:
    """Translate settings of MindCV to those of `recipe.config`.

    Raises:
        ConfigError: A key is unknown, a model is none of ours, or a value is one that is not carried out here; all of
            them are named, with file and line.
    """
    read = {name: Setting(_read(name, setting.value), setting.where) for name, setting in settings.items()}
    translator = _Translator(read)
    for name, setting in read.items():
        translator.take(name, setting)
    translator.settle()
    if translator.problems:
        raise refusal("MindCV", translator.problems)
    return Translation(translator.out, notes=tuple(translator.notes), preset=PRESET)


def _read(name: str, value: Any) -> Any:
    """A value as MindCV's options read it: the flags are true for 1 and false for 0."""
    return bool(value) if name in FLAGS and value in (0, 1) else literal(value)


@dataclass
class _Translator:
    settings: Mapping[str, Setting]
    out: dict[str, Setting] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def take(self, name: str, setting: Setting) -> None:
        value, where = setting.value, setting.where
        if name in FLAGS and not isinstance(value, bool | None):
            self.problems.append(f"{where}: {name} is {value!r}, expected true or false")
        elif name in IDLE:
            if value not in _UNSET:
                self.notes.append(f"{where}: {name} changes nothing here: {IDLE[name]}")
        elif name in DIRECT or name in OF_MINDSPORE:
            self._direct(name, setting)
        elif name in ONLY:
            known, meaning = ONLY[name]
            if (value.lower() if isinstance(value, str) else value) not in known:
                self.problems.append(refuse(where, name, value, known, meaning))
        elif name not in SPECIAL:
            self.problems.append(f"{where}: unknown key of MindCV {name}{did_you_mean(name, KNOWN)}")

    def _direct(self, name: str, setting: Setting) -> None:
        if setting.value in _UNSET:
            return
        meaning, instead = OF_MINDSPORE.get(name) or (DIRECT[name], "")
        self.out[meaning] = setting
        if instead:
            self.notes.append(f"{setting.where}: {name} {IN_MINDSPORE[0]} {instead}")

    def settle(self) -> None:
        """Translate the keys that are converted or depend on others."""
        for name, convert in _CONVERTERS.items():
            if name in self.settings:
                value, where = self.settings[name].value, self.settings[name].where
                for setting, given in convert(self, name, value, where):
                    self.out[setting] = Setting(given, where)
        validate = self._value("val_while_train", False), self._value("val_interval", 1)
        self.out["run.validate_every"] = Setting(validate[1] if validate[0] else 0, self._where("val_while_train"))
        if "log_interval" in self.settings and self.settings["log_interval"].value is None:
            self.out["run.log_every"] = Setting(_SELDOM, self._where("log_interval"))
        if self._value("ema", False):
            self.out["ema.decay"] = Setting(self._value("ema_decay", 0.9999), self._where("ema"))
            less = "MindCV multiplies its decay by 1 - exp(-updates / 2000), which it is not here"
            self.notes.append(f"{self._where('ema')}: ema: {less}")
        if self._value("clip_grad", False):
            self.out["optimizer.clip"] = Setting(self._value("clip_value", 15.0), self._where("clip_grad"))
        self._model()

    def _model(self) -> None:
        named = self.settings.get("model")
        if named is not None and named.value not in architectures.NAMES:
            hint = did_you_mean(str(named.value), architectures.NAMES)
            self.problems.append(f"{named.where}: model stands for no model here: {named.value}{hint}")

    def _value(self, name: str, default: Any) -> Any:
        return self.settings[name].value if name in self.settings else default

    def _where(self, name: str) -> str:
        return self.settings[name].where if name in self.settings else "MindCV's default"

    def policy(self, name: str, value: Any, where: str) -> Iterator[tuple[str, Any]]:
        """Translate MindCV's notation of RandAugment and AutoAugment, whose standard deviation is 0.5 by default."""
        if value in (*_UNSET, "None"):
            yield "augmentation.auto", None
            return
        first, _, rest = str(value).partition("-")
        if first not in _POLICIES or re.search(r"(^|-)w\d", rest):
            problem = refuse(where, name, value, ("randaug-m9-mstd0.5-inc1", "autoaug", "autoaugr"), "another policy")
            self.problems.append(problem)
            return
        more = "" if "mstd" in rest else "-mstd0.5"
        yield "augmentation.auto", "-".join(filter(None, (_POLICIES[first], rest))) + more

    def jitter(self, name: str, value: Any, where: str) -> Iterator[tuple[str, Any]]:
        """Translate a strength, or one each for brightness, contrast and saturation, which have to be equal here."""
        strengths = value if isinstance(value, list) else [value or 0.0] * 3
        if len(strengths) != 3 or len(set(strengths)) != 1:
            meaning = "a strength of its own for brightness, contrast and saturation"
            self.problems.append(refuse(where, name, value, ([0.4, 0.4, 0.4], 0.4), meaning))
            return
        yield "augmentation.color_jitter", strengths[0]

    def erasing(self, name: str, value: Any, where: str) -> Iterator[tuple[str, Any]]:
        """Translate what an erased rectangle is filled with."""
        if value == "random":
            yield "augmentation.erasing_mode", "pixel"
        elif value in (0, None):
            yield "augmentation.erasing_mode", "const"
        else:
            self.problems.append(refuse(where, name, value, ("random", 0), "a colour to fill with"))

    def precision(self, name: str, value: Any, where: str) -> Iterator[tuple[str, Any]]:
        """Translate a level of mixed precision."""
        level = str(value).upper()
        if level not in _PRECISIONS:
            self.problems.append(refuse(where, name, value, tuple(_PRECISIONS), "another mixed precision"))
            return
        if level in ("O2", "O3"):
            kept = "Paddle's mixed precision keeps float32 weights" + (" and norms" if level == "O3" else "")
            half = "is float16 on a GPU and float32 on a CPU"
            self.notes.append(f"{where}: {name} {level} {half}: {kept}; {IN_MINDSPORE[1]} on any device")
        yield "run.precision", _PRECISIONS[level]
        yield "mindspore.amp_level", level

    def mode(self, name: str, value: Any, where: str) -> Iterator[tuple[str, Any]]:
        """Translate the mode of MindSpore: 0 compiles graphs, 1 runs op by op."""
        if value not in (0, 1):
            self.problems.append(refuse(where, name, value, (0, 1), "another mode of MindSpore"))
            return
        self.notes.append(f"{where}: {name} {IN_MINDSPORE[0]} Paddle and torch run op by op")
        yield "mindspore.mode", "pynative" if value else "graph"

    def decay(self, name: str, value: Any, where: str) -> Iterator[tuple[str, Any]]:
        """Translate which parameters are exempt from weight decay."""
        exempts = value is True or value == "norm_and_bias"
        if exempts:
            self.notes.append(f"{where}: {name} exempts tokens and position embeddings too, as timm does")
        elif value not in (False, "disable"):
            meaning = "another choice of what decays"
            self.problems.append(refuse(where, name, value, (True, False, "norm_and_bias", "disable"), meaning))
        yield "optimizer.decay_all", not exempts

    def shares(self, name: str, value: Any, where: str) -> Iterator[tuple[str, Any]]:
        """Translate a mean or standard deviation of pixels from 0 to 255 to one of pixels from 0 to 1."""
        try:
            yield f"data.{name}", [float(part) / _WHOLE for part in value]
        except (TypeError, ValueError):
            self.problems.append(f"{where}: {name} is {value!r}, expected a list of 3 numbers from 0 to 255")

    def warm_up(self, name: str, value: Any, where: str) -> Iterator[tuple[str, Any]]:
        """Translate the first rate, which is a share of the highest."""
        try:
            yield "schedule.warmup_rate", float(value) * float(self._value("lr", 0.001))
        except (TypeError, ValueError):
            self.problems.append(f"{where}: {name} is {value!r}, expected a share of lr")


_Converter = Callable[[_Translator, str, Any, str], Iterator[tuple[str, Any]]]
_CONVERTERS: Mapping[str, _Converter] = {
    "auto_augment": _Translator.policy,
    "color_jitter": _Translator.jitter,
    "re_value": _Translator.erasing,
    "amp_level": _Translator.precision,
    "mode": _Translator.mode,
    "filter_bias_and_bn": _Translator.decay,
    "weight_decay_filter": _Translator.decay,
    "mean": _Translator.shares,
    "std": _Translator.shares,
    "warmup_factor": _Translator.warm_up,
    "aug_repeats": lambda _, __, value, ___: iter([("augmentation.repeats", value or 1)]),
    "lr_epoch_stair": lambda _, __, value, ___: iter([("schedule.per_update", not value)]),
}
"""Keys to what gives the settings that they stand for; problems and notes go to the translator."""
