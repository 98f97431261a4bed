"""YAML with the line of every setting, so that an error can say where it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from porting.installing import install_command
from porting.plain_files import read_plain_text
from recipe.errors import ConfigError

try:
    import yaml
except ImportError:
    raise ImportError(f"configurations need PyYAML: {install_command('train')}", name="yaml") from None


@dataclass(frozen=True, slots=True)
class Setting:
    """The value of a setting, and where it comes from.

    Attributes:
        value: The value as YAML reads it.
        where: `file:line`, or the override.
    """

    value: Any
    where: str


def read_settings(path: Path) -> dict[str, Setting]:
    """Return the settings of a YAML file by dotted name; everything that is no mapping is a value.

    Raises:
        ConfigError: The file cannot be read, is no YAML or no mapping, or has a key twice.
    """
    try:
        loader = yaml.SafeLoader(read_plain_text(path))
        loader.name = str(path)
        try:
            node = loader.get_single_node()
            if node is None:
                raise ConfigError(f"{path}: is empty, expected sections such as model, data and schedule")
            return dict(_settings(loader, node, path, ""))
        finally:
            loader.dispose()
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is no text, expected a YAML file") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from None
    except yaml.YAMLError as error:
        raise ConfigError(_refusal(path, error)) from None
    except RecursionError:
        raise ConfigError(f"{path}: is nested too deeply for a configuration") from None
    except ValueError as error:  # of YAML's own dates and numbers
        raise ConfigError(f"{path}: holds a value that is none: {error}") from None


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


def _settings(loader: Any, node: Any, path: Path, prefix: str) -> Iterator[tuple[str, Setting]]:
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(f"{path}:{node.start_mark.line + 1}: expected a mapping of sections")
    seen: set[str] = set()
    for key_node, value_node in node.value:
        key, where = str(key_node.value), f"{path}:{key_node.start_mark.line + 1}"
        name = f"{prefix}{key}"
        if key in seen:
            raise ConfigError(f"{where}: {name} is given twice in the file; keep one")
        seen.add(key)
        if isinstance(value_node, yaml.MappingNode) and value_node.value:
            yield from _settings(loader, value_node, path, f"{name}.")
        else:
            yield name, Setting(loader.construct_object(value_node, deep=True), where)


def _refusal(path: Path, error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    line = f":{mark.line + 1}" if mark is not None else ""
    return f"{path}{line}: is no YAML: {getattr(error, 'problem', None) or 'unreadable'}"
