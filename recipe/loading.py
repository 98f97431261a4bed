"""Configurations from YAML files and shipped presets, and back to YAML.

A file holds the sections and settings of `recipe.config.Config`; with `extends: NAME`, the others come from a shipped
preset or from a file beside it. Files of other projects are recognised and translated (see `recipe.dialects`).
"""

from __future__ import annotations

import dataclasses
import importlib.util
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from operator import attrgetter
from os import PathLike
from pathlib import Path
from typing import Any, get_args, get_type_hints

from porting.errors import FieldError
from porting.fields import decode_value, encode, expected, shown
from porting.names import nearest
from recipe.config import Config
from recipe.dialects import reading
from recipe.dialects.base import Asked, Translation
from recipe.errors import ConfigError
from recipe.misspelt import misspelt_sections
from recipe.validation import validate
from recipe.yaml_text import Setting, read_settings, read_value, write_mapping

SUFFIXES = (".yaml", ".yml")
_EXTENDS = "extends"


@dataclasses.dataclass(frozen=True)
class Loaded:
    """A configuration, and what its file asks for beside it.

    Attributes:
        config: The configuration.
        evaluate: True if the file asks for evaluation only.
        resume: The checkpoint to go on from, if the file names one.
        last_epoch: Epochs that the run to resume has done, if the file says so.
        dialect: The project whose file it is; None for our own.
        places: Where each setting that is not the default was made: a file with its line, or an override.
    """

    config: Config
    evaluate: bool = False
    resume: str | None = None
    last_epoch: int | None = None
    dialect: str | None = None
    places: Mapping[str, str] = dataclasses.field(default_factory=dict)


def load(
    source: str | PathLike[str],
    overrides: Iterable[str] = (),
    *,
    note: Callable[[str], None] | None = None,
    dialect: str | None = None,
) -> Config:
    """Read a configuration, check it, and give it its types.

    Args:
        source: A YAML file, or the name of a shipped one: `pit_b_224`.
        overrides: `section.setting=value` each, the value as in YAML; they come last.
        note: Called with a line for every setting of another project's file that has no effect here.
        dialect: The project whose file it is, one of `recipe.dialects.reading.DIALECTS`; found by default.

    Raises:
        ConfigError: There is no such file or preset, it may be that of several projects, or it holds settings that are
            unknown, of a wrong type or out of range; all of them are named, with file and line.
    """
    return load_run(source, overrides, note=note, dialect=dialect).config


def load_run(
    source: str | PathLike[str],
    overrides: Iterable[str] = (),
    *,
    note: Callable[[str], None] | None = None,
    dialect: str | None = None,
    asked: Asked | None = None,
    keys: Mapping[str, str] | None = None,
) -> Loaded:
    """Read a configuration as `load` does, and what its file asks for beside it.

    Args:
        source: A YAML file, or the name of a shipped one.
        overrides: `section.setting=value` each, the value as in YAML; they come last.
        note: Called with each decision, and with a line for every setting that has no effect here.
        dialect: The project whose file it is; found by default.
        asked: The script and the teacher that the command line asks for.
        keys: Keys of the project's own that come after those of its file, as texts.

    Raises:
        ConfigError: As `load`, or the command line asks for a teacher that the configuration has no use for.
    """
    path, overrides, asked = locate(source), list(overrides), asked or Asked()
    settings = read_settings(path)
    given = {name: Setting(read_value(text), f"--{name} {text}") for name, text in (keys or {}).items()}
    if given or dialect or reading.recognises(settings):
        return _foreign(path, {**settings, **given}, overrides, note or _ignored, dialect, asked)
    all_settings = {**_collect(path, (), note or _ignored), **_overrides(overrides)}
    config = _applied(Config(), all_settings, f"{source}: ")
    if asked.teacher is not None and config.distillation.kind == "none":
        raise ConfigError(
            f"{asked.teacher}: a teacher is asked for, but distillation.kind is none: add distillation.kind=hard or "
            "soft, or leave the teacher out"
        )
    return Loaded(config, places=_places(all_settings))


def _ignored(line: str) -> None:
    """Take a note that nobody wants."""


def _foreign(
    path: Path,
    settings: Mapping[str, Setting],
    overrides: list[str],
    note: Callable[[str], None],
    dialect: str | None,
    asked: Asked,
) -> Loaded:
    """The configuration of another project's file, in the one dialect that it is in."""
    found = reading.readings(path, settings, dialect, asked)
    last, keys = _overrides(overrides), _keys(settings)
    configs = {
        name: _applied(Config(), {**_defaults(translation), **translation.settings, **last}, f"{path}: ", keys)
        for name, translation in found.items()
    }
    first, *others = configs
    if any(configs[name] != configs[first] for name in others):
        raise _ambiguous(path, configs)
    translation = found[first]
    for line in translation.notes:
        note(line)
    resume, epochs = translation.resume, translation.last_epoch
    places = _places({**_defaults(translation), **translation.settings, **last})
    return Loaded(configs[first], translation.evaluate, resume, epochs, first, places)


def _keys(settings: Mapping[str, Setting]) -> dict[str, str]:
    """The keys of a file by the lines that they stand in, for lines of one key."""
    places = Counter(setting.where for setting in settings.values())
    return {setting.where: key for key, setting in settings.items() if places[setting.where] == 1}


def _places(settings: Mapping[str, Setting]) -> dict[str, str]:
    return {name: setting.where for name, setting in settings.items()}


def _defaults(translation: Translation) -> dict[str, Setting]:
    return _collect(locate(translation.preset), (), _ignored)


def _ambiguous(path: Path, configs: Mapping[str, Config]) -> ConfigError:
    """The error of a file that means different things in several dialects: both readings where they differ."""
    flat = {name: {key: attrgetter(key)(config) for key in _types()} for name, config in configs.items()}
    first, *others = flat
    details = [
        f"{key}: " + ", ".join(f"{_shown(values[key])} as {name}'s" for name, values in flat.items())
        for key in _types()
        if any(flat[name][key] != flat[first][key] for name in others)
    ]
    choice = " or ".join(f"--dialect {name}" for name in flat)
    return ConfigError(
        f"{path}: may be a file of {' or of '.join(flat)}, which mean different things: give {choice}", details
    )


def override(config: Config, overrides: Iterable[str]) -> Config:
    """Return a configuration with some settings changed, and checked again.

    Args:
        config: The configuration to change.
        overrides: `section.setting=value` each, the value as in YAML.

    Raises:
        ConfigError: Settings are unknown, of a wrong type or out of range; all of them are named.
    """
    return _applied(config, _overrides(overrides), "")


def dump(config: Config) -> str:
    """Return every setting of a configuration as YAML; `load` gives the same configuration again."""
    return write_mapping(encode(config))


def preset_names() -> tuple[str, ...]:
    """Return the names of the shipped configurations, sorted."""
    folder = _preset_folder()
    return tuple(sorted(path.stem for path in folder.glob("*.yaml"))) if folder else ()


def locate(source: str | PathLike[str]) -> Path:
    """Return the file that a path or the name of a shipped configuration stands for.

    Raises:
        ConfigError: There is no such file; the message has the nearest name.
    """
    path = Path(source)
    if path.is_file():
        return path
    folder, name = _preset_folder(), path.name.removesuffix(path.suffix) if path.suffix in SUFFIXES else path.name
    if folder and str(source) in preset_names():
        return folder / f"{source}.yaml"
    close = nearest(name, preset_names())
    if path.is_dir():
        raise ConfigError(f"{source}: is a folder, expected a YAML file or the name of a shipped configuration")
    some = [name for name in preset_names() if name.startswith("pit_")][:3]
    hint = f"did you mean the shipped {close[0]}?" if close else f"shipped are {', '.join(some)} and others"
    raise ConfigError(f"{source}: there is no such file, nor a shipped configuration of this name; {hint}")


def _preset_folder() -> Path | None:
    """The folder of the shipped files, found without importing `paddle_impl`, which needs Paddle."""
    spec = importlib.util.find_spec("paddle_impl")
    places = (spec.submodule_search_locations or ()) if spec else ()
    return next((folder for place in places if (folder := Path(place) / "configs").is_dir()), None)


def _collect(path: Path, seen: tuple[Path, ...], note: Callable[[str], None]) -> dict[str, Setting]:
    """The settings of a file over those of what it extends."""
    if path.resolve() in seen:
        chain = " -> ".join(file.name for file in (*seen, path))
        raise ConfigError(f"{path}: extends itself: {chain}")
    settings, seen = read_settings(path), (*seen, path.resolve())
    if reading.recognises(settings):
        found = reading.readings(path, settings, None, Asked())
        if len(found) > 1:
            raise ConfigError(f"{path}: may be a file of {' or of '.join(found)}, so that it cannot be extended")
        (translation,) = found.values()
        for line in translation.notes:
            note(line)
        return {**_defaults(translation), **translation.settings}
    extends = settings.pop(_EXTENDS, None)
    if extends is None:
        return settings
    return {**_collect(_extended(path, extends), seen, note), **settings}


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
    """The value of an override as YAML; a path stays text, also where YAML would read a number, a date or a mapping."""
    hint = _types().get(name)
    if hint is not str and str not in get_args(hint):
        return read_value(text)
    try:
        value = read_value(text)
    except ConfigError:
        return text
    return value if value is None or isinstance(value, str) else text


def _applied(
    base: Config, settings: Mapping[str, Setting], where: str, keys: Mapping[str, str] | None = None
) -> Config:
    """The configuration with some settings replaced, and checked.

    Args:
        base: The configuration to change.
        settings: The settings by name, with their places.
        where: Beginning of an error about several settings.
        keys: What the file of another project calls what stands in a place.
    """
    keys = keys or {}
    values: dict[str, dict[str, Any]] = {}
    problems, known = misspelt_sections(settings, _types())
    for name, setting in known.items():
        hint = _types().get(name)
        if hint is None:
            problems += [f"{setting.where}: {problem}" for problem in _unknown(name, setting.value)]
            continue
        section, _, field = name.partition(".")
        try:
            values.setdefault(section, {})[field] = decode_value(hint, setting.value, name, yaml=True)
        except FieldError:
            problem = f"{name} is {_shown(setting.value)}, expected {expected(hint)}"
            problems.append(f"{_prefix([setting], keys)}{problem}")
    if len(problems) == 1:
        raise ConfigError(problems[0])
    if problems:
        raise ConfigError(f"{where}{len(problems)} settings cannot be understood", problems)
    changed = {section: dataclasses.replace(getattr(base, section), **fields) for section, fields in values.items()}
    config = dataclasses.replace(base, **changed)
    validate(config, lambda names: _prefix([settings[name] for name in names if name in settings], keys))
    return config


def _prefix(settings: Iterable[Setting], keys: Mapping[str, str]) -> str:
    """Where settings were made, as the beginning of a problem; shipped files only where there are no others."""
    folder = str(_preset_folder())
    places = dict.fromkeys(setting.where for setting in settings)
    own = [place for place in places if not place.startswith(folder)] or list(places)
    shown = [f"{place}: {keys[place]}" if place in keys else place for place in own]
    return f"{', '.join(shown)}: " if shown else ""


@cache
def _types() -> Mapping[str, Any]:
    """The type of every setting by its dotted name, in the order of the classes."""
    sections = get_type_hints(Config)
    return {
        f"{section}.{name}": hint for section, cls in sections.items() for name, hint in get_type_hints(cls).items()
    }


def _unknown(name: str, value: object) -> Iterator[str]:
    section, _, field = name.partition(".")
    sections = get_type_hints(Config)
    if section in sections:
        if not field:
            if value not in (None, {}):
                yield f"{section} is {_shown(value)}, expected a mapping of settings"
            return
        known = [key for key in _types() if key.startswith(f"{section}.")]
        close = nearest(name, known) or nearest(field, [key.partition(".")[2] for key in known])
        hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
    else:
        of_this_name = [key for key in _types() if key.partition(".")[2] == (field or section)]
        close = nearest(name, _types()) or of_this_name or nearest(section, sections)
        hint = f"did you mean {close[0]}?" if close else f"known sections: {', '.join(sections)}"
    yield f"unknown setting {name}; {hint}"


def _shown(value: object) -> str:
    return "null" if value is None else shown(value)
