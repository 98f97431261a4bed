"""YAML with the line of every setting, so that an error can say where it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from porting.installing import install_command
from porting.plain_files import read_plain_text
from recipe.errors import ConfigError

try:
    import yaml
except ImportError:
    raise ImportError(f"configurations need PyYAML: {install_command('train')}", name="yaml") from None


_MOST = 10_000
"""Largest number of settings in a file, which references to references could make any number of."""
_MERGE = "tag:yaml.org,2002:merge"
_MISTAKES = {
    "mapping values are not allowed here": "a value that holds ': ' needs quotes, or the line above lacks its colon or "
    "the space after it",
    "could not find expected ':'": "the line lacks its colon, or the space after it",
    "found character '\\t' that cannot start any token": "a tab; lines are indented by spaces",
    "expected <block end>, but found '<block mapping start>'": "the indentation does not fit the lines above it",
    "expected '<document start>', but found '<block mapping start>'": "the indentation does not fit the lines above it",
    "but found another document": "a second document begins; keep one",
}
"""What PyYAML says of mistakes that are often made, and which mistakes they are."""
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Setting:
    """The value of a setting, and where it comes from.

    Attributes:
        value: The value as YAML reads it.
        where: `file:line`, or the override.
        around: `file:line` of the sections that it stands in, the outermost first.
    """

    value: Any
    where: str
    around: tuple[str, ...] = ()


def read_settings(path: Path) -> dict[str, Setting]:
    """Return the settings of a YAML file by dotted name; everything that is no mapping is a value.

    Mappings that a `<<` merges are read as if they stood there, behind the section's own keys.

    Raises:
        ConfigError: The file cannot be read, is no YAML or no mapping, has a key twice, or more than 10,000 settings.
    """
    try:
        loader = yaml.SafeLoader(text := read_plain_text(path))
        loader.name = str(path)
        try:
            node = loader.get_single_node()
            if node is None:
                raise ConfigError(f"{path}: is empty, expected sections such as model, data and schedule")
            settings = dict(islice(_settings(loader, node, path), _MOST + 1))
        finally:
            loader.dispose()
        if len(settings) > _MOST:
            raise ConfigError(f"{path}: holds more than {_MOST:,} settings, expected those of a configuration")
        return settings
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}{_no_text(error)}") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        problem = f"holds the character U+{error.character:04X}, which YAML does not have"
        raise ConfigError(f"{path}:{line}: {problem}") from None
    except yaml.YAMLError as error:
        raise ConfigError(_refusal(path, error)) from None
    except RecursionError:
        raise ConfigError(f"{path}: is nested too deeply for a configuration") from None


def read_value(text: str) -> Any:
    """Return the value of a piece of YAML.

    Raises:
        ConfigError: The text is no YAML.
    """
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        raise ConfigError(f"{text[:60]!r} is no YAML value; quote what holds special characters") from None


def write_mapping(values: Mapping[str, Any]) -> str:
    """Return a mapping as YAML text, in its order, lists in one line."""
    return str(yaml.dump(dict(values), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120))


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]  # yaml is untyped
    """Writes a mapping over several lines and a list in one."""

    def represent_list(self, data: Any) -> Any:
        """Return the node of a list within brackets."""
        return self.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=True)


_Dumper.add_representer(list, _Dumper.represent_list)


def _settings(
    loader: Any, node: Any, path: Path, prefix: str = "", around: tuple[str, ...] = ()
) -> Iterator[tuple[str, Setting]]:
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(f"{path}:{node.start_mark.line + 1}: expected a mapping of sections")
    for key, (key_node, value_node) in _pairs(node, path, prefix, {}).items():
        where, name = f"{path}:{key_node.start_mark.line + 1}", f"{prefix}{key}"
        if isinstance(value_node, yaml.MappingNode) and value_node.value:
            yield from _settings(loader, value_node, path, f"{name}.", (*around, where))
        else:
            try:
                value = loader.construct_object(value_node, deep=True)
            except ValueError as error:  # of YAML's own dates and numbers
                raise ConfigError(f"{where}: {name} holds a value that is none: {error}") from None
            yield name, Setting(value, where, around)


def _pairs(node: Any, path: Path, prefix: str, merged: dict[int, dict[str, Any]]) -> dict[str, tuple[Any, Any]]:
    """The nodes of a mapping's keys and values by key; its own keys come before those that it merges."""
    own: dict[str, tuple[Any, Any]] = {}
    more: dict[str, tuple[Any, Any]] = {}
    for key_node, value_node in node.value:
        where = f"{path}:{key_node.start_mark.line + 1}"
        if key_node.tag == _MERGE:
            several = value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]
            for other in several:
                if not isinstance(other, yaml.MappingNode):
                    raise ConfigError(f"{where}: << merges mappings only, such as *name of one that is called &name")
                if id(other) not in merged:
                    merged[id(other)] = _pairs(other, path, prefix, merged)
                more = {**merged[id(other)], **more}
        elif not isinstance(key_node, yaml.ScalarNode):
            raise ConfigError(f"{where}: a key is a list or a mapping, expected a name")
        elif key_node.value in own:
            raise ConfigError(f"{where}: {prefix}{key_node.value} is given twice in the file; keep one")
        else:
            own[key_node.value] = key_node, value_node
    return {**own, **{key: pair for key, pair in more.items() if key not in own}}


def _refusal(path: Path, error: yaml.YAMLError) -> str:
    problem = str(getattr(error, "problem", None) or "unreadable")
    begun = getattr(error, "context_mark", None) if problem.startswith("could not find") else None
    mark = begun or getattr(error, "problem_mark", None)
    line = f":{mark.line + 1}" if mark is not None else ""
    mistake = _MISTAKES.get(problem)
    return f"{path}{line}: is no YAML: {problem}" + (f" ({mistake})" if mistake else "")


def _no_text(error: UnicodeDecodeError) -> str:
    """What follows the path of a file that is no UTF-8."""
    if error.object.startswith(_UTF_16):
        return ": is UTF-16, expected UTF-8: save it as UTF-8"
    if b"\0" in error.object:
        return ": is no text, expected a YAML file"
    line = error.object.count(b"\n", 0, error.start) + 1
    return f":{line}: is no text in UTF-8: save the file as UTF-8"
