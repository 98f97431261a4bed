"""Configurations from YAML files and shipped presets, and back to YAML.

A file holds the sections and settings of `recipe.config.Config`; `extends: NAME` takes what it does not say from a
shipped preset or from a file beside it. Files of PaddleViT are recognised and translated (see `recipe.paddlevit`).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from porting.names import nearest
from recipe import fields, paddlevit
from recipe.config import Config
from recipe.errors import ConfigError
from recipe.validation import validate
from recipe.yaml_text import Setting, read_settings, read_value, write_mapping

SUFFIXES = (".yaml", ".yml")
_EXTENDS = "extends"


def load(
    source: str | PathLike[str],
    overrides: Iterable[str] = (),
    *,
    note: Callable[[str], None] | None = None,
) -> Config:
    """Read a configuration, check it, and give it its types.

    Args:
        source: A YAML file, or the name of a shipped one: `pit_b_224`.
        overrides: `section.setting=value` each, the value as in YAML; they come last.
        note: Called with each line about what a PaddleViT file says that has no meaning here.

    Raises:
        ConfigError: There is no such file or preset, or it holds settings that are unknown, of a wrong type or out of
            range; all of them are named, with file and line.
    """
    settings = _collect(locate(source), (), note or (lambda line: None))
    settings.update(_overrides(overrides))
    return _applied(Config(), settings, f"{source}: ")


def override(config: Config, overrides: Iterable[str]) -> Config:
    """A configuration with some settings changed, and checked again.

    Args:
        config: Where the others come from.
        overrides: `section.setting=value` each, the value as in YAML.

    Raises:
        ConfigError: Settings are unknown, of a wrong type or out of range; all of them are named.
    """
    return _applied(config, _overrides(overrides), "")


def dump(config: Config) -> str:
    """The configuration as YAML, every setting of it; `load` gives the same configuration again."""
    sections: dict[str, dict[str, Any]] = {}
    for name, value in fields.flatten(config).items():
        section, _, field = name.partition(".")
        sections.setdefault(section, {})[field] = list(value) if isinstance(value, tuple) else value
    return write_mapping(sections)


def differences(config: Config, base: Config | None = None) -> list[str]:
    """What a configuration changes: `optimizer.learning_rate: 0.0005 -> 0.001`, one line a setting.

    Args:
        config: The configuration.
        base: What it is compared with; the defaults of the classes if not given.
    """
    before, after = fields.flatten(base or Config()), fields.flatten(config)
    return [f"{name}: {_text(before[name])} -> {_text(after[name])}" for name in after if after[name] != before[name]]


def preset_names() -> tuple[str, ...]:
    """The names of the shipped configurations, sorted."""
    folder = _preset_folder()
    return tuple(sorted(path.stem for path in folder.glob("*.yaml"))) if folder else ()


def locate(source: str | PathLike[str]) -> Path:
    """The file that a path or the name of a shipped configuration stands for.

    Raises:
        ConfigError: There is none; the nearest name is given.
    """
    path = Path(source)
    if path.is_file():
        return path
    folder, name = _preset_folder(), path.name.removesuffix(path.suffix) if path.suffix in SUFFIXES else path.name
    if folder and str(source) in preset_names():
        return folder / f"{source}.yaml"
    close = nearest(name, preset_names())
    hint = f"did you mean the shipped {close[0]}?" if close else f"shipped: {', '.join(preset_names())}"
    raise ConfigError(f"{source}: there is no such file, nor a shipped configuration of this name; {hint}")


def _preset_folder() -> Path | None:
    """Where the shipped files lie, found without importing the package, which needs Paddle."""
    spec = importlib.util.find_spec("paddle_impl")
    places = (spec.submodule_search_locations or ()) if spec else ()
    return next((folder for place in places if (folder := Path(place) / "configs").is_dir()), None)


def _collect(path: Path, seen: tuple[Path, ...], note: Callable[[str], None]) -> dict[str, Setting]:
    """The settings of a file over those of what it extends."""
    if path.resolve() in seen:
        chain = " -> ".join(each.name for each in (*seen, path))
        raise ConfigError(f"{path}: extends itself: {chain}")
    settings, seen = read_settings(path), (*seen, path.resolve())
    if paddlevit.recognises(settings):
        base, settings = _from_paddlevit(path, note)
        return {**_collect(base, seen, note), **settings}
    extends = settings.pop(_EXTENDS, None)
    if extends is None:
        return settings
    return {**_collect(_extended(path, extends), seen, note), **settings}


def _from_paddlevit(path: Path, note: Callable[[str], None]) -> tuple[Path, dict[str, Setting]]:
    translation = paddlevit.translate(paddlevit.read(path))
    for line in translation.notes:
        note(line)
    return locate(paddlevit.PRESET), dict(translation.settings)


def _extended(path: Path, extends: Setting) -> Path:
    if not isinstance(extends.value, str):
        raise ConfigError(f"{extends.where}: extends is {extends.value!r}, expected the name of a configuration")
    beside = path.parent / extends.value
    try:
        return beside if beside.is_file() else locate(extends.value)
    except ConfigError as error:
        raise ConfigError(f"{extends.where}: extends {error.summary}") from None


def _overrides(overrides: Iterable[str]) -> Mapping[str, Setting]:
    settings = {}
    for text in overrides:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise ConfigError(f"{text!r} is no override, expected section.setting=value")
        settings[name.strip()] = Setting(_value(name.strip(), value), text)
    return settings


def _value(name: str, text: str) -> Any:
    """What YAML makes of it; a path stays what it is, also where YAML would see a number, a date or a mapping."""
    if not fields.takes_text(name):
        return read_value(text)
    try:
        value = read_value(text)
    except ConfigError:
        return text
    return value if value is None or isinstance(value, str) else text


def _applied(base: Config, settings: Mapping[str, Setting], where: str) -> Config:
    config, problems = fields.apply(base, settings)
    if problems:
        raise _refused(f"{where}{_count(problems)} cannot be understood", problems)
    validate(config)
    return config


def _refused(summary: str, problems: list[str]) -> ConfigError:
    return ConfigError(problems[0]) if len(problems) == 1 else ConfigError(summary, problems)


def _count(problems: list[str]) -> str:
    return f"{len(problems)} setting{'s' if len(problems) > 1 else ''}"


def _text(value: object) -> str:
    if value is None:
        return "null"
    return str(list(value)) if isinstance(value, tuple) else str(value)
