"""The errors of training: what was found, where, what was expected, what to do."""

from __future__ import annotations

from porting.errors import ExpectedError


class TrainingError(ExpectedError):
    """A training run that cannot start or cannot go on."""


class ConfigError(TrainingError):
    """A configuration that cannot be understood or carried out. Exits with 2."""

    exit_code = 2


class DataError(TrainingError):
    """Images, or lists of them, that do not fit the configuration or cannot be read; the summary names the path."""
