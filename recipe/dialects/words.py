"""Options of a command line of another project: names to values, without click, which takes no options of one dash."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from porting.names import nearest
from recipe.errors import ConfigError


def parse_options(
    words: Sequence[str],
    known: Collection[str],
    flags: Collection[str] = (),
    *,
    dash: str,
    truth: str | None = None,
    several: Collection[str] = (),
) -> dict[str, str]:
    """Return the values of options by their names without dashes; of one that is given twice the last.

    Args:
        words: `--name value`, `--name=value` or `--flag` each, with the dashes of `dash`.
        known: Names of the options that there are.
        flags: Names of those that need no value.
        dash: `-` or `--`.
        truth: What a flag without a value is, where it may have one; None gives every flag the empty text, and takes
            no value.
        several: Names of those that take several values, which are joined by spaces.

    Raises:
        ConfigError: An option is unknown or has no value.
    """
    values: dict[str, str] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.removeprefix(dash).partition("=")
        if not word.startswith(dash) or name not in known:
            raise ConfigError(f"unknown option {word!r}{_nearest(name, known, dash)}")
        follows = bool(rest) and not _is_option(rest[0], known, dash)
        if name in flags and (truth is None or not (equals or follows)):
            values[name] = truth or ""
        elif equals:
            values[name] = value
        elif follows:
            values[name] = rest.pop(0)
            while name in several and rest and not _is_option(rest[0], known, dash):
                values[name] += f" {rest.pop(0)}"
        else:
            raise ConfigError(f"{dash}{name} needs a value")
    return values


def _is_option(word: str, known: Collection[str], dash: str) -> bool:
    """True if a word is an option and no value; a negative number, or a path that begins with a dash, is a value."""
    return word.startswith("--") or (dash == "-" and word[1:].partition("=")[0] in known and word.startswith("-"))


_SIMILARITY = 0.6
"""Least similarity of a misspelt option and the one that is proposed: at 0.5 `--cosine` would be `--config`."""
_OURS = {"dry-run": "--dry-run", "framework": "--framework"}


def _nearest(name: str, known: Collection[str], dash: str) -> str:
    names = {option: dash + option for option in known} | _OURS
    close = nearest(name.lstrip("-"), names, cutoff=_SIMILARITY)
    return f"; did you mean {names[close[0]]}?" if close else ""
