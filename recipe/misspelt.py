"""Sections that are misspelt as a whole: one problem instead of one for each of their settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from porting.names import nearest
from recipe.yaml_text import Setting


def misspelt_sections(settings: Mapping[str, Setting], known: Iterable[str]) -> tuple[list[str], dict[str, Setting]]:
    """Return a problem for each section that stands for a known one, and the settings outside of such sections.

    An unknown section stands for the known one that looks most like it, if that has a setting of a name that is in it.

    Args:
        settings: Settings of a file by dotted name.
        known: All settings that there are, by dotted name.
    """
    known = set(known)
    sections = {section for name in known for section in _sections(name)}
    problems: dict[str, str] = {}
    others: dict[str, Setting] = {}
    for name, setting in settings.items():
        section = next((section for section in _sections(name) if section not in sections), None)
        if section is None or len(setting.around) <= section.count("."):
            others[name] = setting
        elif section not in problems:
            names = [other[len(section) + 1 :] for other in settings if other.startswith(f"{section}.")]
            meant = _meant(section, names, sections, known)
            if meant is None:
                others[name] = setting
            else:
                place = setting.around[section.count(".")]
                problems[section] = f"{place}: unknown section {section}; did you mean {meant}?"
    return list(problems.values()), others


def _sections(name: str) -> list[str]:
    """The sections that a setting stands in, the outermost first: `TRAIN`, `TRAIN.OPTIMIZER`."""
    parts = name.split(".")
    return [".".join(parts[:depth]) for depth in range(1, len(parts))]


def _meant(section: str, names: Iterable[str], sections: Iterable[str], known: set[str]) -> str | None:
    close = nearest(section, [other for other in sections if other.count(".") == section.count(".")], cutoff=0.6)
    return close[0] if close and any(f"{close[0]}.{name}" in known for name in names) else None
