"""The message of an error and the line of the user's code, whatever frames lie around it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from alignment.user_code import message_of, place_of


def _error_of(path: Path, text: str) -> BaseException:
    path.write_text(text, encoding="utf-8")
    try:
        exec(compile(text, str(path), "exec"), {"__name__": "user"})
    except Exception as error:
        return error
    raise AssertionError("no error")


def test_the_innermost_line_of_the_users_files_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    error = _error_of(path, "import json\n\ndef build():\n    return json.loads('{')\n\nbuild()\n")
    assert isinstance(error, json.JSONDecodeError)
    assert place_of(error) == (f'File "{path}", line 4, in build', "  return json.loads('{')")


def test_an_installed_package_is_named_where_nothing_of_the_users_is(tmp_path: Path) -> None:
    package = tmp_path / "site-packages" / "transformers"
    package.mkdir(parents=True)
    framework = tmp_path / "site-packages" / "torch"
    framework.mkdir()
    error = _error_of(package / "model.py", "x = 1 / 0\n")
    error.__traceback__ = error.__traceback__.tb_next if error.__traceback__ else None  # the frame of this test
    assert place_of(error)[0] == f'File "{package / "model.py"}", line 1, in <module>'
    error = _error_of(framework / "model.py", "x = 1 / 0\n")
    error.__traceback__ = error.__traceback__.tb_next if error.__traceback__ else None
    assert place_of(error) == ()


def test_a_syntax_error_has_the_line_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    error = _error_of(path, "x = (1\ny = 2)\n")
    assert message_of(error).startswith("SyntaxError: ")
    assert place_of(error)[0].startswith(f'File "{path}", line ')


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "ValueError: no message"),
        ("\n  first\nsecond", "ValueError: first"),
        ("C++ Traceback:\n0 frame\n-----\nError Message Summary:\n----\nInvalid: x\n", "ValueError: Invalid: x"),
    ],
)
def test_a_message_is_its_first_line(text: str, message: str) -> None:
    assert message_of(ValueError(text)) == message
